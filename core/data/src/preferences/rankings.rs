//! Rankings: several answers to a request, the best first.

use athanor_store::{Check, Error, OwnKeys, Problem, section};
use serde_json::Value;

use super::{Form, Judgement};
use crate::Expression;

section! {
    /// Several answers, the best first.
    pub struct RankingsSection {
        /// Expression that gives the list of answers, the best first; a list in the list holds answers that tie.
        answers: String = "answers".into(),
    }
}

impl Check for RankingsSection {
    fn check(&self) -> Result<(), Problem> {
        Expression::check("answers", &self.answers)
    }
}

/// The form's line in the registry.
pub(super) const FORM: Form = Form {
    name: "rankings",
    about: "several answers, the best first",
    keys: Some(OwnKeys::of::<RankingsSection>()),
    open: |section| {
        let source = section.form.own::<RankingsSection>().answers;
        let answers = Expression::new(&source)?;
        Ok(Box::new(move |record| {
            let found = answers.value(record)?;
            let wrong = || {
                Error::input(format!("`{source}` gives {found}, a list of texts was expected"))
                    .hint("the best first; answers that tie stand in a list of their own")
            };
            let text = |v: &Value| v.as_str().map(str::to_owned).ok_or_else(wrong);
            let mut all = Vec::new();
            for (place, entry) in found.as_array().ok_or_else(wrong)?.iter().enumerate() {
                let judgement = Judgement::Ranked { place };
                match entry.as_array() {
                    Some(tied) => {
                        for answer in tied {
                            all.push((Some(text(answer)?), judgement));
                        }
                    }
                    None => all.push((Some(text(entry)?), judgement)),
                }
            }
            if all.len() < 2 {
                return Err(wrong());
            }
            Ok(all)
        }))
    },
};
