//! A rule: 1 where the answer is the expected one, 0 elsewhere. Both are compared without the spaces around them
//! and, where asked, without case. Records that expect nothing abstain.

use athanor_data::Template;
use athanor_store::{Check, Error, OwnKeys, Problem, Result, section};

use super::{Reward, RewardKind};
use crate::episode::Episode;

section! {
    /// Whether the answer is the expected one.
    pub struct ExactMatchSection {
        /// Template of the expected answer, over the fields of the record that the request comes from.
        expected: String = "{{ answer }}".into(),
        /// Compare without case.
        ignore_case: bool = false,
    }
}

impl Check for ExactMatchSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        Template::new(&self.expected).map(drop).map_err(|e| Problem::new("expected", e.to_string()))
    }
}

/// The reward's line in the registry.
pub(super) const REWARD: RewardKind = RewardKind {
    name: "exact_match",
    about: "1 where the answer is the expected one, 0 elsewhere",
    keys: OwnKeys::of::<ExactMatchSection>(),
    normalise: false,
    open: |setup| {
        let keys: ExactMatchSection = setup.choice.own();
        let expected = Template::new(&keys.expected)?;
        Ok(Box::new(ExactMatch { expected, ignore_case: keys.ignore_case }))
    },
    inputs: |_, _| Vec::new(),
};

struct ExactMatch {
    expected: Template,
    ignore_case: bool,
}

impl Reward for ExactMatch {
    fn score(&self, episodes: &[Episode]) -> Result<Vec<Option<f64>>> {
        let normal = |text: &str| match self.ignore_case {
            true => text.trim().to_lowercase(),
            false => text.trim().to_owned(),
        };
        let score = |episode: &Episode| {
            let Some(record) = &episode.record else { return Ok(None) };
            let at = |e: Error| e.at("reinforce.rewards.exact_match.expected");
            let expected = normal(&self.expected.render(record).map_err(at)?);
            Ok((!expected.is_empty())
                .then(|| f64::from(u8::from(normal(episode.answer()) == expected))))
        };
        episodes.iter().map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use athanor_data::Record;
    use serde_json::json;

    use super::*;
    use crate::algorithms::fixtures::episodes;

    #[test]
    fn the_expected_answer_is_worth_one() {
        let rule = |ignore_case| ExactMatch {
            expected: Template::new("{{ answer }}").unwrap(),
            ignore_case,
        };
        let mut all = episodes([1, 1, 1, 1], 1);
        let record = |answer: &str| {
            let fields = json!({ "answer": answer });
            Some(Arc::new(Record(fields.as_object().unwrap().clone())))
        };
        for (episode, (said, expected)) in all.iter_mut().zip([
            (" 北京\n", record("北京")),
            ("Paris", record("paris")),
            ("Rome", record("")),
            ("Rome", None),
        ]) {
            episode.turns[0].message.content = said.into();
            episode.record = expected;
        }
        let scores = rule(false).score(&all).unwrap();
        assert_eq!(scores, [Some(1.0), Some(0.0), None, None]);
        assert_eq!(rule(true).score(&all).unwrap()[1], Some(1.0));
    }
}
