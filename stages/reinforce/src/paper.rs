//! What an iteration takes of the memory, gone through on paper before the first.

use athanor_generation::Decoder;
use athanor_models::Model;
use athanor_store::Result;
use athanor_tensor::GradSet;
use athanor_training::{TrainSection, Trainer, Walk, forecast};

use crate::{
    evaluate::TOGETHER,
    prompts::Prompt,
    rollout::{Answer, measure},
    stage::Materials,
};

/// Tokens that are written of an answer: what the first leaves behind, the second finds.
const WRITTEN: usize = 2;

/// Says what the first iteration will take where every answer is as long as it may be, or refuses it with what would
/// fit. `learn` gives the gradients of a minibatch of answers, its rows `train.batch_size` at a time.
///
/// # Errors
/// Input, at `reinforce.answers` or `reinforce.train.batch_size`.
pub(crate) fn check(
    trainer: &mut Trainer<'_>,
    m: &Materials<'_>,
    learn: &dyn Fn(&Model, &[Answer], &TrainSection) -> GradSet,
) -> Result<()> {
    let (policy, reference) = (trainer.model.planned()?, m.bench.reference.planned()?);
    let reward = m.bench.reward.planned()?;
    let section = m.section;
    let minibatch = section.train.batch_size * section.train.accumulate;
    // Held-out requests are answered and measured together; those by which rewards are scaled only answered and scored.
    let heldout = TOGETHER.min(m.prompts.heldout.len());
    let measured = section.answers.max(heldout);
    let least = if section.normalise_rewards { TOGETHER } else { heldout };
    let texts = section.answers.max(least);
    let walk = &mut Walk::new(m.prompts.train.len(), m.bench.seed);
    let prompts: Vec<&Prompt> = walk.items(0, texts).iter().map(|&i| &m.prompts.train[i]).collect();
    let answers: Vec<Answer> = prompts
        .iter()
        .map(|p| {
            let new = section.max_new_tokens;
            let tokens = p.tokens.iter().copied().chain(std::iter::repeat_n(0, new)).collect();
            let log_probs = vec![0.0; new];
            Answer { tokens, prompt: p.tokens.len(), log_probs, finished: false }
        })
        .collect();
    let writing = || {
        let tokens: Vec<Vec<u32>> = prompts.iter().map(|p| p.tokens.clone()).collect();
        let mut decoder = Decoder::new(&policy, &tokens, &[], &m.bench.sampling, 0)?;
        (0..WRITTEN).for_each(|_| decoder.plan_step());
        drop(decoder);
        measure(&policy, &answers[..measured], section.temperature, true);
        measure(&reference, &answers[..measured], section.temperature, false);
        reward.score(&answers).map(drop)
    };
    let learning = |trainer: &Trainer<'_>, train: &TrainSection| {
        let mut params = policy.params.planned();
        for rows in answers.chunks(minibatch).take(2) {
            let grads = learn(&policy, rows, train);
            trainer.plan_update(&mut params, &grads);
        }
        Ok(())
    };
    let texts = forecast::Writing { texts, least, unit: minibatch };
    forecast::check_writing(trainer, texts, &writing, &learning)
}
