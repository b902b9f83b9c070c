//! Pairs: of two answers to a request one was chosen.

use athanor_store::{Check, Error, OwnKeys, Problem, section};

use super::{Form, Judgement};
use crate::Template;

section! {
    /// Two answers; one was chosen.
    pub struct PairsSection {
        /// Template of the chosen answer.
        chosen: String = "{{ chosen }}".into(),
        /// Template of the other.
        rejected: String = "{{ rejected }}".into(),
    }
}

impl Check for PairsSection {
    fn check(&self) -> Result<(), Problem> {
        for (key, source) in [("chosen", &self.chosen), ("rejected", &self.rejected)] {
            Template::check(key, source)?;
        }
        Ok(())
    }
}

/// The form's line in the registry.
pub(super) const FORM: Form = Form {
    name: "pairs",
    about: "two answers, of which one was chosen",
    keys: Some(OwnKeys::of::<PairsSection>()),
    open: |section| {
        let keys: PairsSection = section.form.own();
        let (chosen, rejected) = (Template::new(&keys.chosen)?, Template::new(&keys.rejected)?);
        Ok(Box::new(move |record| {
            let (chosen, rejected) = (chosen.render(record)?, rejected.render(record)?);
            if chosen.trim() == rejected.trim() {
                return Err(Error::input("the chosen answer is the rejected one")
                    .hint("leave such records out with dialogue.only"));
            }
            Ok(vec![
                (Some(chosen), Judgement::Ranked { place: 0 }),
                (Some(rejected), Judgement::Ranked { place: 1 }),
            ])
        }))
    },
};
