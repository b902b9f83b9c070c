//! The loop of reinforcement learning, whatever the algorithm: write, measure, score, learn, steer.

use athanor_models::Model;
use athanor_store::{
    Error, Result,
    figures::{
        DISTINCT2, ENTROPY, EVAL, FINISHED, FLOPS, GRAD_NORM, KL, LEARNING_RATE, LENGTH,
        LOGPROB_GAP, Logged, REWARD, REWARD_STD, ReinforceSummary, SPEED, TRAIN,
    },
};
use athanor_training::{EpochSampler, Figures, Trainer};
use serde_json::{Value, json};

use crate::{
    algorithms::{Online, Rollouts},
    environments::Part,
    episode::Episode,
    evaluate::{Evaluator, PolicyFigures, WRITE_TOGETHER},
    figures::mean_std,
    learn::learn,
    memory,
    rollout::{EpisodeLogProbs, episode_log_probs},
    section::ReinforceSection,
};

/// Episodes from which the scale of rewards is taken.
const SCALE_EPISODES: usize = 256;

/// What the loop keeps in a checkpoint, beside weights and optimiser.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct LoopState {
    /// The reference on held-out examples.
    before: PolicyFigures,
    /// Factor and shift of each reward.
    scales: Vec<(f64, f64)>,
    /// Greatest difference of a token's log-probability between writing and learning, and the sum of the
    /// iterations' means.
    gap_max: f64,
    gap_sum: f64,
    /// The algorithm's own.
    algorithm: Value,
}

/// What the loop writes into metrics.jsonl with any algorithm. With several rewards there is `reward.NAME`, too.
pub const LOGGED: Logged = Logged {
    train: &[
        &REWARD,
        &REWARD_STD,
        &ENTROPY,
        &LENGTH,
        &FINISHED,
        &KL,
        &GRAD_NORM,
        &LEARNING_RATE,
        &LOGPROB_GAP,
        &SPEED,
        &FLOPS,
    ],
    eval: &[&REWARD, &REWARD_STD, &KL, &DISTINCT2, &LENGTH, &FINISHED],
    eval_also: &[],
};

/// Improves the trainer's policy; gives the fields of summary.json that are this loop's.
///
/// # Errors
/// Interrupted after a checkpoint; those of the environment, the rewards and of writing.
pub(crate) fn iterate(
    trainer: &mut Trainer<'_>,
    section: &ReinforceSection,
    evaluator: &mut Evaluator<'_>,
    algorithm: &mut dyn Online,
) -> Result<ReinforceSummary> {
    let needs = algorithm.needs();
    memory::check(trainer, section, evaluator, algorithm)?;
    let mut state = begin(trainer, evaluator, algorithm)?;
    let evaluator = &*evaluator;
    let environment = evaluator.generator.environment;
    let mut walk = EpochSampler::new(environment.examples(Part::Train), evaluator.seed);
    let starts = section.answers / needs.group;
    while trainer.step() < trainer.steps() {
        // 1. The policy writes.
        let step = trainer.step();
        let examples = walk.items(step, starts);
        let seed = trainer.rng("answers").at(step).below(0, u64::MAX);
        let generator = &evaluator.generator;
        let episodes =
            generator.episodes(&trainer.model, Part::Train, &examples, needs.group, seed)?;

        // 2. Each token's log-probability under policy and reference, each state's value, and each
        //    episode's score.
        let measure = |model: &Model, values: bool| {
            episode_log_probs(model, &episodes, section.temperature, values)
        };
        let policy = measure(&trainer.model, needs.values);
        let reference = match needs.reference {
            true => measure(evaluator.reference, false),
            false => EpisodeLogProbs::zeros(&episodes),
        };
        let given = evaluator.rewards.score(&episodes)?;
        let learned = given.learned.iter().zip(&episodes);
        let scores = learned
            .map(|(score, e)| if e.is_finished() { *score } else { section.unfinished_reward });
        let rollouts = Rollouts { scores: scores.collect(), policy, reference, episodes };
        let (gap, mean_gap) = log_prob_gap(&rollouts);
        state.gap_max = f64::max(state.gap_max, gap);
        // JSON has no NaN, and a checkpoint must be read again.
        state.gap_sum += if mean_gap.is_finite() { mean_gap } else { 0.0 };

        // 3. Advantages, then several epochs of updates over the same episodes.
        let (advantages, figures) = algorithm.advantages(&rollouts);
        let steered = algorithm.steered();
        let progress = learn(trainer, section, algorithm, &rollouts, &advantages)?;

        // 4. The algorithm steers.
        let kl = needs.reference.then(|| rollouts.kl());
        if let Some(kl) = kl {
            algorithm.after(kl, rollouts.episodes.len());
        }

        let done = step + 1;
        let last = done == trainer.steps();
        if done.is_multiple_of(section.train.log_every) || last {
            let names: Vec<String> = evaluator.rewards.names().map(str::to_owned).collect();
            let mut values = rollouts.figures(&given.raw, kl);
            values.extend(progress);
            values.extend(figures.into_iter().chain(steered));
            values.push((LOGPROB_GAP.name, gap));
            record(trainer, done, values, &names, &given.apart)?;
        }
        let every = |n: u64| n > 0 && done.is_multiple_of(n) && !last;
        if every(section.train.evaluate.every) {
            let figures = evaluator.evaluate(&trainer.model)?;
            trainer.record_at(EVAL, done, &figures.named())?;
            trainer.reset_rates();
        }
        if every(section.train.evaluate.sample_every) {
            let samples = evaluator.samples(&trainer.model)?;
            trainer.sample_at(done, &samples)?;
            trainer.reset_rates();
        }
        state.algorithm = algorithm.state();
        let mut kept = json!(state);
        kept["cursor"] = json!(walk.cursor(done, starts));
        trainer.end_step(kept)?;
    }
    finish(trainer, evaluator, algorithm, &state)
}

/// Where the loop begins: the reference's figures and the rewards' scales, taken from the checkpoint or
/// measured.
fn begin(
    trainer: &mut Trainer<'_>,
    evaluator: &mut Evaluator<'_>,
    algorithm: &mut dyn Online,
) -> Result<LoopState> {
    if !trainer.state().is_null() {
        let wrong = |e: serde_json::Error| {
            Error::input(format!("the checkpoint's state is not reinforcement learning's: {e}"))
                .hint("--force begins anew")
        };
        let state: LoopState = serde_json::from_value(trainer.state().clone()).map_err(wrong)?;
        evaluator.rewards.set_scales(&state.scales);
        algorithm.restore(&state.algorithm);
        return Ok(state);
    }
    if evaluator.rewards.normalises() {
        fit_scales(evaluator)?;
    }
    let before = evaluator.evaluate(evaluator.reference)?;
    trainer.record_at(EVAL, 0, &before.named())?;
    let samples = evaluator.samples(&trainer.model)?;
    trainer.sample(&samples)?;
    let scales = evaluator.rewards.scales();
    Ok(LoopState { before, scales, gap_max: 0.0, gap_sum: 0.0, algorithm: algorithm.state() })
}

/// Scales rewards by the first policy's episodes.
fn fit_scales(evaluator: &mut Evaluator<'_>) -> Result<()> {
    let count = evaluator.generator.environment.examples(Part::Train);
    let examples: Vec<usize> = (0..count).cycle().take(SCALE_EPISODES).collect();
    let mut scores: Vec<Vec<Option<f64>>> = Vec::new();
    for (i, chunk) in examples.chunks(WRITE_TOGETHER).enumerate() {
        let seed = athanor_tensor::splitmix64(!evaluator.seed ^ i as u64);
        let generator = &evaluator.generator;
        let episodes = generator.episodes(evaluator.reference, Part::Train, chunk, 1, seed)?;
        let apart = evaluator.rewards.score(&episodes)?.apart;
        scores.resize_with(apart.len(), Vec::new);
        scores.iter_mut().zip(apart).for_each(|(all, more)| all.extend(more));
    }
    evaluator.rewards.fit_scales(&scores);
    Ok(())
}

/// The last figures and samples.
fn finish(
    trainer: &mut Trainer<'_>,
    evaluator: &Evaluator<'_>,
    algorithm: &dyn Online,
    state: &LoopState,
) -> Result<ReinforceSummary> {
    let before = &state.before;
    let after = evaluator.evaluate(&trainer.model)?;
    trainer.record(EVAL, &after.named())?;
    let samples = evaluator.samples(&trainer.model)?;
    trainer.sample(&samples)?;
    let steered = algorithm.steered().into_iter();
    Ok(ReinforceSummary {
        reward_before: Some(before.reward),
        reward_std_before: Some(before.reward_std),
        reward_after: Some(after.reward),
        reward_std_after: Some(after.reward_std),
        kl: Some(after.kl),
        distinct2_before: Some(before.distinct2),
        distinct2_after: Some(after.distinct2),
        finished_before: Some(before.finished),
        finished_after: Some(after.finished),
        length_before: Some(before.length),
        length_after: Some(after.length),
        others: steered.map(|(name, value)| (name.to_owned(), json!(value))).collect(),
        logprob_gap_max: Some(state.gap_max),
        logprob_gap_mean: Some(state.gap_sum / trainer.steps().max(1) as f64),
        ..ReinforceSummary::default()
    })
}

impl Rollouts {
    /// Mean over episodes of Σ ln π - ln π_ref, in nats.
    fn kl(&self) -> f64 {
        (self.policy.sum() - self.reference.sum()) / self.episodes.len().max(1) as f64
    }

    fn figures(&self, rewards: &[f64], kl: Option<f64>) -> Figures {
        let n = self.episodes.len().max(1) as f64;
        let (mean, deviation) = mean_std(rewards);
        let finished = self.episodes.iter().filter(|e| e.is_finished()).count() as f64 / n;
        let length = self.episodes.iter().map(Episode::learned_count).sum::<usize>() as f64 / n;
        let mut figures = vec![
            (REWARD.name, mean),
            (REWARD_STD.name, deviation),
            (ENTROPY.name, self.policy.entropy),
            (LENGTH.name, length),
            (FINISHED.name, finished),
        ];
        figures.extend(kl.map(|kl| (KL.name, kl)));
        figures
    }
}

/// Writes an iteration's figures, those of several rewards apart.
fn record(
    trainer: &mut Trainer<'_>,
    step: u64,
    mut values: Figures,
    names: &[String],
    apart: &[Vec<Option<f64>>],
) -> Result<()> {
    let (rate, flops) = trainer.rates();
    values.extend([(SPEED.name, rate), (FLOPS.name, flops)]);
    let figure = |name: &str| values.iter().find(|(n, _)| *n == name).map_or(f64::NAN, |(_, v)| *v);
    let kl = figure(KL.name);
    let kl = if kl.is_nan() { String::new() } else { format!("  KL {kl:.2}") };
    trainer.message(&format!(
        "reward {:+.3}{kl}  entropy {:.2}  {rate:.0} tok/s",
        figure(REWARD.name),
        figure(ENTROPY.name)
    ));
    let named: Vec<(String, f64)> = match names {
        [_] => Vec::new(),
        _ => names
            .iter()
            .zip(apart)
            .map(|(name, scores)| {
                let scores: Vec<f64> = scores.iter().copied().flatten().collect();
                (format!("{}.{name}", REWARD.name), mean_std(&scores).0)
            })
            .collect(),
    };
    let all = values.iter().map(|(n, v)| (*n, *v));
    let all: Vec<(&str, f64)> = all.chain(named.iter().map(|(n, v)| (n.as_str(), *v))).collect();
    trainer.record_at(TRAIN, step, &all)
}

/// Greatest and mean |difference| between a token's log-probability as it was drawn and as the
/// training forward pass has it.
fn log_prob_gap(rollouts: &Rollouts) -> (f64, f64) {
    let drawn = rollouts.episodes.iter().flat_map(|e| &e.log_probs);
    let (mut max, mut sum, mut n) = (0.0f64, 0.0, 0usize);
    for (a, b) in drawn.zip(rollouts.policy.log_probs.iter().flatten()) {
        let gap = f64::from((a - b).abs());
        max = max.max(gap);
        sum += gap;
        n += 1;
    }
    (max, sum / n.max(1) as f64)
}
