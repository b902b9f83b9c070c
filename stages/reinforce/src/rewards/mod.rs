//! Where rewards come from. One is a file and a line in [`REWARDS`]; a recipe weighs several.

mod exact_match;
mod model;

use std::path::PathBuf;

use athanor_models::Model;
use athanor_store::{Check, Choice, Input, OwnKeys, Problem, Registry, Result, section};
use athanor_tensor::Device;
use athanor_text::Tokenizer;

pub(crate) use model::scores as read;

use crate::{episode::Episode, figures::mean_std};

section! {
    /// A reward, one of a weighted list.
    pub struct RewardSection {
        /// Where it comes from.
        kind: Choice<RewardKind> = "model".into(),
        /// Its name in figures; that of its kind if not set.
        name: String = String::new(),
        /// Its weight in the sum.
        weight: f64 = 1.0,
        /// Shift and scale it so that the first policy's have mean 0 and deviation 1; not set: where it comes
        /// from a model.
        normalise: Option<bool> = None,
        /// Largest size that it counts with, after shift and scale; 0 has no bound.
        clip: f64 = 0.0,
    }
}

impl Check for RewardSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(self.weight.is_finite(), "weight", "must be a number")?;
        Problem::unless(self.clip >= 0.0 && self.clip.is_finite(), "clip", "must be 0 or more")
    }
}

/// Scores episodes; higher is better.
pub(crate) trait Reward {
    /// A score for each episode; none where the reward has nothing to say.
    ///
    /// # Errors
    /// Those of the reward.
    fn score(&self, episodes: &[Episode]) -> Result<Vec<Option<f64>>>;

    /// The models that it reads episodes with, for their context and the forecast of memory.
    fn models(&self) -> Vec<&Model> {
        Vec::new()
    }
}

/// A kind of reward.
pub struct RewardKind {
    name: &'static str,
    about: &'static str,
    keys: OwnKeys,
    /// Whether it is shifted and scaled where the recipe does not say.
    normalise: bool,
    open: fn(&Setup<'_>) -> Result<Box<dyn Reward>>,
    /// What it is made from; the text is the key of the reward in the stage's section.
    inputs: fn(&str, &Choice<RewardKind>) -> Vec<Input>,
}

/// What a reward is opened with.
pub(crate) struct Setup<'a> {
    /// The reward's name and its own keys.
    choice: &'a Choice<RewardKind>,
    /// The reward's key in the stage's section.
    key: &'a str,
    /// Where an input is, by its name.
    place: &'a dyn Fn(&str) -> PathBuf,
    device: Device,
    tokenizer: &'a Tokenizer,
}

/// All kinds.
pub static REWARDS: Registry<RewardKind> =
    Registry::new("reward", &[model::REWARD, exact_match::REWARD]);

athanor_store::registered!(RewardKind, REWARDS, keys);

/// The key of the reward at a place of the list.
fn key(i: usize) -> String {
    format!("rewards.{i}")
}

/// What the rewards of a recipe are made from.
pub(crate) fn inputs(sections: &[RewardSection]) -> Vec<Input> {
    let own = |(i, section): (usize, &RewardSection)| {
        let kind = section.kind.entry();
        kind.map_or(Vec::new(), |kind| (kind.inputs)(&key(i), &section.kind))
    };
    sections.iter().enumerate().flat_map(own).collect()
}

/// A reward with its part in the sum.
struct Weighted {
    name: String,
    weight: f64,
    clip: f64,
    normalise: bool,
    /// Factor and shift that give the first policy's rewards mean 0 and deviation 1.
    scale: (f64, f64),
    reward: Box<dyn Reward>,
}

/// The rewards of a recipe.
pub(crate) struct Rewards {
    all: Vec<Weighted>,
}

/// What rewards said of episodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scores {
    /// By reward, by episode.
    pub apart: Vec<Vec<Option<f64>>>,
    /// The weighted sum as the rewards gave it, the environment's with it.
    pub raw: Vec<f64>,
    /// The weighted sum of the shifted, scaled and clipped rewards, without the environment's.
    pub learned: Vec<f64>,
}

impl Rewards {
    /// Opens the rewards of a recipe.
    ///
    /// # Errors
    /// Those of each.
    pub fn open(
        sections: &[RewardSection],
        tokenizer: &Tokenizer,
        device: Device,
        place: &dyn Fn(&str) -> PathBuf,
    ) -> Result<Self> {
        let open = |(i, section): (usize, &RewardSection)| {
            let (kind, key) = (section.kind.entry()?, key(i));
            let setup = Setup { choice: &section.kind, key: &key, place, device, tokenizer };
            Ok(Weighted {
                name: if section.name.is_empty() { kind.name.into() } else { section.name.clone() },
                weight: section.weight,
                clip: if section.clip > 0.0 { section.clip } else { f64::INFINITY },
                normalise: section.normalise.unwrap_or(kind.normalise),
                scale: (1.0, 0.0),
                reward: (kind.open)(&setup)?,
            })
        };
        Ok(Self { all: sections.iter().enumerate().map(open).collect::<Result<_>>()? })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|r| r.name.as_str())
    }

    /// The models that they read episodes with.
    pub fn models(&self) -> Vec<&Model> {
        self.all.iter().flat_map(|r| r.reward.models()).collect()
    }

    /// Whether any is shifted and scaled.
    pub fn normalises(&self) -> bool {
        self.all.iter().any(|r| r.normalise)
    }

    /// Factor and shift of each.
    pub fn scales(&self) -> Vec<(f64, f64)> {
        self.all.iter().map(|r| r.scale).collect()
    }

    /// Takes factors and shifts back.
    pub fn set_scales(&mut self, scales: &[(f64, f64)]) {
        self.all.iter_mut().zip(scales).for_each(|(r, scale)| r.scale = *scale);
    }

    /// Factors and shifts from the scores of the first policy's episodes.
    pub fn fit_scales(&mut self, scores: &[Vec<Option<f64>>]) {
        for (reward, scores) in self.all.iter_mut().zip(scores).filter(|(r, _)| r.normalise) {
            let scores: Vec<f64> = scores.iter().copied().flatten().collect();
            let (mean, deviation) = mean_std(&scores);
            reward.scale = (1.0 / deviation.max(1e-6), mean);
        }
    }

    /// Scores episodes.
    ///
    /// # Errors
    /// Those of each reward.
    pub fn score(&self, episodes: &[Episode]) -> Result<Scores> {
        let apart: Vec<Vec<Option<f64>>> =
            self.all.iter().map(|r| r.reward.score(episodes)).collect::<Result<_>>()?;
        let sum = |of: &dyn Fn(&Weighted, f64) -> f64, episode: usize| -> f64 {
            let scores = self.all.iter().zip(&apart);
            scores.filter_map(|(r, s)| Some(r.weight * of(r, s[episode]?))).sum()
        };
        let learned = |r: &Weighted, x: f64| ((x - r.scale.1) * r.scale.0).clamp(-r.clip, r.clip);
        let numbers = 0..episodes.len();
        let given = |i: usize| sum(&|_, x| x, i) + episodes[i].environment_reward();
        Ok(Scores {
            raw: numbers.clone().map(given).collect(),
            learned: numbers.map(|i| sum(&learned, i)).collect(),
            apart,
        })
    }
}
