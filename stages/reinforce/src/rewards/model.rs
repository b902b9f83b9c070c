//! A reward model: the score of the whole conversation, read at the token that closes the answer.

use std::path::PathBuf;

use athanor_models::{Head, Model, Pass};
use athanor_store::{Error, Result, Run, sha256_file, sha256_folder};
use athanor_tensor::{Device, Graph};
use athanor_text::{SpecialTokens, Tokenizer};
use athanor_training::{Packed, stage_model};

use super::Reward;
use crate::{rollout::Answer, section::ReinforceSection};

struct RewardModel {
    model: Model,
    end: u32,
}

fn folder(run: &Run, section: &ReinforceSection) -> Result<PathBuf> {
    stage_model(run, "reward", "reinforce.reward_model", section.reward_model.as_deref())
}

pub(super) fn hash(run: &Run, section: &ReinforceSection) -> Result<String> {
    sha256_folder(&folder(run, section)?)
}

pub(super) fn open(
    run: &Run,
    section: &ReinforceSection,
    tokenizer: &Tokenizer,
) -> Result<Box<dyn Reward>> {
    let dir = folder(run, section)?;
    let model = Model::load(&dir, Device::Cpu)?;
    if model.head() != Head::SCALAR {
        return Err(Error::input("the model has no head with one score")
            .at(dir.display())
            .hint("reward_model must name a reward model, such as RUN/reward/model"));
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

impl Reward for RewardModel {
    fn planned(&self) -> Result<Box<dyn Reward>> {
        Ok(Box::new(Self { model: self.model.planned()?, end: self.end }))
    }

    fn longest(&self) -> usize {
        // The token that closes an answer comes behind one that was cut off.
        self.model.sizes().context - 1
    }

    fn score(&self, answers: &[Answer]) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(answers.len());
        for chunk in answers.chunks(64) {
            let closed: Vec<Vec<u32>> = chunk
                .iter()
                .map(|a| {
                    let open = a.tokens.last() != Some(&self.end);
                    a.tokens.iter().copied().chain(open.then_some(self.end)).collect()
                })
                .collect();
            let rows: Vec<&[u32]> = closed.iter().map(Vec::as_slice).collect();
            let packed = Packed::new(&rows, self.model.sizes().context, self.model.device());
            let last =
                packed.starts.iter().zip(&rows).map(|(s, r)| (s + r.len() - 1) as i32).collect();
            let graph = Graph::inference(&self.model.params);
            let hidden = self.model.hidden(&mut Pass::new(&graph, &packed.input));
            let values =
                self.model.logits(&graph, &self.model.rows(&hidden, last)).value().to_vec();
            scores.extend(values.into_iter().map(f64::from));
        }
        Ok(scores)
    }
}
