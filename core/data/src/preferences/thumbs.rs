//! Thumbs: an answer was liked or not. Texts are compared within their group.

use athanor_store::{Check, OwnKeys, Problem, section};

use super::{Form, Judgement};
use crate::Expression;

section! {
    /// An answer that was liked or not.
    pub struct ThumbsSection {
        /// Expression that is true where it was liked.
        up: String = "up".into(),
    }
}

impl Check for ThumbsSection {
    fn check(&self) -> Result<(), Problem> {
        Expression::check("up", &self.up)
    }
}

/// The form's line in the registry.
pub(super) const FORM: Form = Form {
    name: "thumbs",
    about: "answers that were liked or not",
    keys: Some(OwnKeys::of::<ThumbsSection>()),
    open: |section| {
        let up = Expression::new(&section.form.own::<ThumbsSection>().up)?;
        Ok(Box::new(move |record| Ok(vec![(None, Judgement::Thumb { up: up.holds(record)? })])))
    },
};
