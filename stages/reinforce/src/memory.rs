//! What an iteration takes of the memory, found before the first: written, measured and learned once on
//! [`Device::Plan`](athanor_tensor::Device::Plan).

use athanor_generation::Decoder;
use athanor_models::Model;
use athanor_store::Result;
use athanor_tensor::GradSet;
use athanor_text::Message;
use athanor_training::{EpochSampler, TrainSection, Trainer, forecast};

use crate::{
    advantages::Advantages,
    algorithms::{Online, Rollouts, UpdateSize},
    environments::Part,
    episode::{Episode, Turn},
    evaluate::{Evaluator, WRITE_TOGETHER},
    learn::Learner,
    rewards,
    rollout::{EpisodeLogProbs, Generator, episode_log_probs},
    section::ReinforceSection,
};

/// Tokens that are written of a turn: what the first leaves behind, the second finds.
const WRITTEN: usize = 2;

/// Reports what the first iteration takes where every turn is as long as it may be, or fails with a number of answers
/// or a batch size that fits.
///
/// # Errors
/// Input, at `reinforce.answers` or `reinforce.train.batch_size`.
pub(crate) fn check(
    trainer: &mut Trainer<'_>,
    section: &ReinforceSection,
    evaluator: &Evaluator<'_>,
    algorithm: &dyn Online,
) -> Result<()> {
    let (policy, reference) = (trainer.model.planned()?, evaluator.reference.planned()?);
    let models = evaluator.rewards.models();
    let judges: Vec<Model> = models.into_iter().map(Model::planned).collect::<Result<_>>()?;
    let (needs, generator) = (algorithm.needs(), &evaluator.generator);
    let minibatch = section.train.batch_size * section.train.accumulate;
    // Held-out examples are answered and measured together; those by which rewards are scaled only answered and scored.
    let heldout = WRITE_TOGETHER.min(evaluator.heldout);
    let measured = section.answers.max(heldout);
    let least = if evaluator.rewards.normalises() { WRITE_TOGETHER } else { heldout };
    let texts = section.answers.max(least);
    let examples = generator.environment.examples(Part::Train);
    let starts = EpochSampler::new(examples, evaluator.seed).items(0, texts);
    let openings = generator.openings(Part::Train, &starts)?;
    let prompts: Vec<Vec<u32>> = openings.iter().map(|e| e.tokens.clone()).collect();
    let episodes: Vec<Episode> = openings.into_iter().map(|e| longest(e, generator)).collect();
    let writing = || {
        let mut decoder = Decoder::new(&policy, &prompts, &[], &generator.sampling, 0)?;
        (0..WRITTEN.min(section.max_new_tokens)).for_each(|_| decoder.plan_step());
        drop(decoder);
        episode_log_probs(&policy, &episodes[..measured], section.temperature, needs.values);
        episode_log_probs(&reference, &episodes[..measured], section.temperature, false);
        // The token that closes a turn comes behind one that was cut off.
        let closed: Vec<Vec<u32>> =
            episodes.iter().map(|e| e.tokens.iter().copied().chain([0]).collect()).collect();
        let rows: Vec<&[u32]> = closed.iter().map(Vec::as_slice).collect();
        judges.iter().for_each(|judge| drop(rewards::read(judge, &rows)));
        Ok(())
    };
    let zeros = EpisodeLogProbs::zeros(&episodes);
    let advantages =
        Advantages { advantages: zeros.log_probs.clone(), returns: zeros.log_probs.clone() };
    let numbers: Vec<usize> = (0..episodes.len()).collect();
    let rollouts = Rollouts {
        scores: Vec::new(),
        policy: zeros.clone(),
        reference: zeros,
        episodes: episodes.clone(),
    };
    let learning = |trainer: &Trainer<'_>, train: &TrainSection| {
        let learner = Learner { section, algorithm, rollouts: &rollouts, advantages: &advantages };
        let mut params = policy.params.planned();
        for update in numbers.chunks(minibatch).take(2) {
            let mut grads = GradSet::new();
            for rows in update.chunks(train.batch_size) {
                let graph = train.graph(&policy.params);
                learner.loss(
                    &policy,
                    graph,
                    rows,
                    UpdateSize { tokens: 1, episodes: 1 },
                    &mut grads,
                );
            }
            trainer.plan_update(&mut params, &grads);
        }
        Ok(())
    };
    let texts = forecast::Writing { texts, least, unit: minibatch };
    forecast::check_writing(trainer, texts, &writing, &learning)
}

/// An episode as long as it may become: turns of the policy one after the other, as what an environment says
/// is not known.
fn longest(mut episode: Episode, generator: &Generator<'_>) -> Episode {
    let turn = generator.sampling.max_new_tokens;
    for _ in 0..generator.environment.max_turns() {
        let from = episode.tokens.len();
        let to = from + turn;
        if to > generator.longest {
            break;
        }
        episode.tokens.resize(to, 0);
        episode.turns.push(Turn {
            message: Message::new("assistant", ""),
            tokens: from..to,
            learned: true,
            reward: 0.0,
        });
        episode.log_probs.resize(episode.log_probs.len() + turn, 0.0);
    }
    episode
}
