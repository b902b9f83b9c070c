//! A bandit with several arms (Robbins 1952): the policy names an arm by its letter, and the arm pays 1 with a
//! probability of its own. An episode is one turn. The smallest task on which an algorithm shows whether it learns.

use std::sync::Arc;

use athanor_store::{Check, Error, OwnKeys, Problem, Result, section};
use athanor_tensor::Rng;
use athanor_text::{Message, encode_prompt};

use super::{Environment, EnvironmentKind, Part, Reply, Session, Setup, Start};

section! {
    /// A bandit with several arms.
    pub struct BanditSection {
        /// The probability that each arm pays 1; the first is called a, the second b, and so on.
        arms: Vec<f64> = vec![0.2, 0.8],
    }
}

impl Check for BanditSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        let count = (2..=26).contains(&self.arms.len());
        Problem::unless(count, "arms", "must be 2 to 26 probabilities")?;
        let share = self.arms.iter().all(|p| (0.0..=1.0).contains(p));
        Problem::unless(share, "arms", "must be probabilities: 0 to 1")
    }
}

/// The environment's line in the registry.
pub(super) const ENVIRONMENT: EnvironmentKind = EnvironmentKind {
    name: "bandit",
    about: "arms that pay with unknown probabilities: the smallest task",
    keys: Some(OwnKeys::of::<BanditSection>()),
    open,
};

/// Episodes, which differ in their seed alone.
const EXAMPLES: usize = 1024;

struct Bandit {
    arms: Arc<[f64]>,
    opening: Arc<[Message]>,
}

fn open(setup: &Setup<'_>) -> Result<Box<dyn Environment>> {
    let BanditSection { arms } = setup.choice.own();
    let names: Vec<String> = letters(arms.len()).map(String::from).collect();
    let opening = [Message::user(format!("Which arm: {}?", names.join(", ")))];
    let tokens = encode_prompt(setup.tokenizer, setup.template, &opening)?.len();
    if tokens + setup.max_new_tokens > setup.longest {
        return Err(Error::input(format!(
            "the request has {tokens} tokens, with max_new_tokens = {} more than {}",
            setup.max_new_tokens, setup.longest
        ))
        .at("reinforce.bandit")
        .hint("take a model with a longer context"));
    }
    Ok(Box::new(Bandit { arms: arms.into(), opening: opening.into() }))
}

fn letters(count: usize) -> impl Iterator<Item = char> {
    ('a'..='z').take(count)
}

impl Environment for Bandit {
    fn examples(&self, part: Part) -> usize {
        if part == Part::Sample { 0 } else { EXAMPLES }
    }

    fn begin(&self, part: Part, example: usize, seed: u64) -> Result<Start> {
        let rng = Rng::new(seed).fork("bandit").at(part as u64).at(example as u64);
        let session = Box::new(Pull { arms: self.arms.clone(), luck: rng.uniform_f64(0) });
        Ok(Start { opening: self.opening.clone(), record: None, session })
    }
}

/// One turn: how lucky it is stands before an arm is chosen.
struct Pull {
    arms: Arc<[f64]>,
    luck: f64,
}

impl Session for Pull {
    fn reply(&mut self, turn: &str) -> Result<Reply> {
        let named = turn.trim().chars().next();
        let arm = letters(self.arms.len()).position(|letter| Some(letter) == named);
        let pays = arm.is_some_and(|arm| self.luck < self.arms[arm]);
        Ok(Reply::end(if pays { 1.0 } else { 0.0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_pay_as_often_as_they_should() {
        let bandit = Bandit { arms: [0.25, 1.0].into(), opening: [].into() };
        let mut paid = [0.0; 3];
        for example in 0..1024 {
            for (sum, answer) in paid.iter_mut().zip(["a", " b ", "x"]) {
                let mut start = bandit.begin(Part::Train, example, 7).unwrap();
                let reply = start.session.reply(answer).unwrap();
                assert!(reply.done && reply.messages.is_empty());
                *sum += reply.reward / 1024.0;
            }
        }
        assert!((paid[0] - 0.25).abs() < 0.05, "{paid:?}");
        assert_eq!(paid[1..], [1.0, 0.0]);
    }
}
