//! A reward model: the score of the whole conversation, read at the token that closes the answer.

use std::path::PathBuf;

use athanor_models::{Head, Model, Pass};
use athanor_store::{Check, Error, Input, OwnKeys, Result, section, sha256_file};
use athanor_tensor::Graph;
use athanor_text::{SpecialTokens, Tokenizer};
use athanor_training::Packed;

use super::{Reward, RewardKind, Setup};
use crate::episode::Episode;

section! {
    /// A reward model.
    pub struct ModelRewardSection {
        /// Its folder; that of this run's reward stage if not set.
        path: Option<PathBuf> = None,
    }
}

impl Check for ModelRewardSection {}

/// The reward's line in the registry.
pub(super) const REWARD: RewardKind = RewardKind {
    name: "model",
    about: "a reward model, such as RUN/reward/model",
    keys: OwnKeys::of::<ModelRewardSection>(),
    normalise: true,
    open,
    inputs: |key, choice| {
        let path = choice.own::<ModelRewardSection>().path;
        vec![Input::model(format!("{key}.model.path"), path.as_deref(), "reward")]
    },
};

/// Episodes that are read at once.
const READ_TOGETHER: usize = 64;

struct RewardModel {
    model: Model,
    end: u32,
}

fn open(setup: &Setup<'_>) -> Result<Box<dyn Reward>> {
    let dir = (setup.place)(&format!("{}.model.path", setup.key));
    let (tokenizer, model) = (setup.tokenizer, Model::load(&dir, setup.device)?);
    if model.head() != Head::SCALAR {
        return Err(Error::input("the model has no head with one score").at(dir.display()).hint(
            "reinforce.rewards.model.path must name a reward model, such as RUN/reward/model",
        ));
    }
    let same = athanor_store::sha256_bytes(tokenizer.to_json()?.as_bytes());
    let own = athanor_store::sha256_bytes(Tokenizer::load(&dir)?.to_json()?.as_bytes());
    if same != own {
        let file = dir.join("tokenizer.json");
        return Err(Error::input(format!(
            "the reward model's tokenizer (sha256 {}) is not the policy's",
            sha256_file(&file)?
        ))
        .at(file.display())
        .hint("train both from the same pretrained model"));
    }
    Ok(Box::new(RewardModel { model, end: tokenizer.require(SpecialTokens::END)? }))
}

/// The scores of conversations, read at their last tokens, a few rows at a time.
pub(crate) fn scores(model: &Model, rows: &[&[u32]]) -> Vec<f32> {
    let mut scores = Vec::with_capacity(rows.len());
    for rows in rows.chunks(READ_TOGETHER) {
        let packed = Packed::new(rows, model.sizes().context, model.device());
        let last = packed.starts.iter().zip(rows).map(|(s, r)| (s + r.len() - 1) as i32).collect();
        let graph = Graph::inference(&model.params);
        let hidden = model.hidden(&mut Pass::new(&graph, &packed.input));
        scores.extend(model.logits(&graph, &model.rows(&hidden, last)).value().to_vec());
    }
    scores
}

impl Reward for RewardModel {
    fn score(&self, episodes: &[Episode]) -> Result<Vec<Option<f64>>> {
        let closed: Vec<Vec<u32>> = episodes
            .iter()
            .map(|e| {
                let open = e.tokens.last() != Some(&self.end);
                e.tokens.iter().copied().chain(open.then_some(self.end)).collect()
            })
            .collect();
        let rows: Vec<&[u32]> = closed.iter().map(Vec::as_slice).collect();
        Ok(scores(&self.model, &rows).into_iter().map(|x| Some(f64::from(x))).collect())
    }

    fn models(&self) -> Vec<&Model> {
        vec![&self.model]
    }
}
