//! Proximal policy optimisation for language models: Schulman et al. 2017 (PPO), as Ziegler et al.
//! 2019, "Fine-tuning language models from human preferences", and Stiennon et al. 2020 use it. Of
//! Huang et al. 2024, "The N implementation details of RLHF with PPO", these are in:
//!
//! - reward and value heads read the state before (value) and after (reward) a token; the reward
//!   comes at the answer's last token, the KL penalty -β(ln π - ln π_ref) at each (detail 1.1–1.3);
//! - rewards are shifted and scaled so that the first policy's have mean 0 and deviation 1 (1.4);
//! - padding is never read, and tokens after the end of the answer count nowhere (2.1, 2.3);
//! - an answer that does not end gets a fixed low reward (2.4, the rejection of Ziegler et al.);
//! - the same temperature while writing and while learning (3.2);
//! - adaptive β: proportional control of the KL per answer, error cut to ±0.2 (Ziegler et al., 2.2);
//! - GAE (Schulman et al. 2016), advantages whitened over the iteration's tokens (4.4);
//! - clipped ratio, clipped values, value loss ½·max of both (4.5), several epochs of minibatches
//!   over shuffled answers, the learning rate going down linearly where the recipe says so;
//! - no dropout; Adam's ε as the recipe says (1e-5 in the original); value head begins at 0.
//!
//! Departures: policy and value share a trunk (as in Ziegler et al., not Stiennon et al.); an
//! answer ends with a token of its own, not at a full stop after at least 16 tokens; advantages are
//! whitened over the iteration, not over each minibatch; gradients are clipped where the recipe says
//! so (the original does not clip).
//!
//! Metrics: reward (raw, of the iteration's answers), kl (nats an answer), entropy (nats a token),
//! clip_fraction, policy_loss, value_loss, explained_variance (of returns by old values), beta,
//! logprob_gap (greatest |ln π| difference between writing and the training forward pass).

mod section;

use athanor_generation::Sampling;
use athanor_models::Model;
use athanor_store::Result;
use athanor_tensor::{GradSet, Tensor, Var, ops};
use athanor_training::{Figures, Trainer, Walk};
use serde_json::json;

use crate::{
    evaluate::{Standing, TOGETHER, mean_std},
    paper,
    prompts::Prompt,
    rollout::{Answer, Batch, Measured, answer, measure, opinion},
    section::ReinforceSection,
    stage::Materials,
};

pub use section::{KlSection, PpoSection};

/// Answers from which the scale of rewards is taken.
const SCALE_ANSWERS: usize = 256;

pub(super) fn updates(section: &ReinforceSection) -> u64 {
    let minibatch = section.train.batch_size * section.train.accumulate;
    (section.answers / minibatch * section.ppo.epochs) as u64
}

/// What an iteration learns from: for each answer, for each of its tokens.
struct Experience {
    answers: Vec<Answer>,
    log_probs: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    advantages: Vec<Vec<f32>>,
    returns: Vec<Vec<f32>>,
}

impl Experience {
    /// Of nothing but zeros.
    fn blank(answers: &[Answer]) -> Self {
        let zeros: Vec<Vec<f32>> = answers.iter().map(|a| vec![0.0; a.written().len()]).collect();
        Self {
            answers: answers.to_vec(),
            log_probs: zeros.clone(),
            values: zeros.clone(),
            advantages: zeros.clone(),
            returns: zeros,
        }
    }
}

/// Means over the updates of an iteration.
#[derive(Default)]
struct Progress {
    policy_loss: f64,
    value_loss: f64,
    clip_fraction: f64,
    grad_norm: f64,
    learning_rate: f64,
    updates: f64,
}

pub(super) fn train(trainer: &mut Trainer<'_>, m: &Materials<'_>) -> Result<Figures> {
    let section = m.section;
    let ppo = &section.ppo;
    paper::check(trainer, m, &|policy, answers, train| {
        let section = ReinforceSection { train: train.clone(), ..section.clone() };
        let experience = Experience::blank(answers);
        let all: Vec<usize> = (0..answers.len()).collect();
        let mut grads = GradSet::new();
        for rows in all.chunks(train.batch_size) {
            let progress = &mut Progress::default();
            surrogate(policy, &experience, rows, 1, &section, &mut grads, progress);
        }
        grads
    })?;
    let (scale, shift) = reward_scale(m)?;
    let before = m.bench.stand(m.bench.reference, &m.prompts.heldout)?;
    let mut beta = trainer.state()["beta"].as_f64().unwrap_or(ppo.kl.coefficient);
    let mut gap_max = trainer.state()["gap_max"].as_f64().unwrap_or(0.0);
    let mut gap_sum = trainer.state()["gap_sum"].as_f64().unwrap_or(0.0);
    if trainer.step() == 0 {
        record_standing(trainer, 0, &before)?;
        let samples = m.bench.samples(&trainer.model, m.samples)?;
        trainer.sample(&samples)?;
    }
    let mut walk = Walk::new(m.prompts.train.len(), m.bench.seed);

    while trainer.step() < trainer.steps() {
        // 1. The policy answers a batch of requests.
        let step = trainer.step();
        let prompts: Vec<&Prompt> =
            walk.items(step, section.answers).iter().map(|&i| &m.prompts.train[i]).collect();
        let seed = trainer.rng("answers").at(step).below(0, u64::MAX);
        let answers = answer(&trainer.model, &prompts, m.bench.stops, &m.bench.sampling, seed)?;

        // 2. Each token's log-probability under policy and reference, each state's value, and each
        //    answer's reward.
        let policy = measure(&trainer.model, &answers, section.temperature, true);
        let reference = measure(m.bench.reference, &answers, section.temperature, false);
        let raw = m.bench.reward.score(&answers)?;
        let scores: Vec<f64> = raw
            .iter()
            .zip(&answers)
            .map(|(r, a)| if a.finished { (r - shift) * scale } else { section.unfinished_reward })
            .collect();
        let (gap, mean_gap) = log_prob_gap(&answers, &policy);
        gap_max = f64::max(gap_max, gap);
        gap_sum += mean_gap;

        // 3. Advantages.
        let rewards = token_rewards(&policy, &reference, &scores, beta);
        let entropy = policy.entropy;
        let experience = experience(answers, policy, rewards, ppo);
        let explained = explained_variance(&experience);
        let kl = kl_per_answer(&experience, &reference);

        // 4. Several epochs of minibatches over the same answers.
        let progress = learn(trainer, &experience, section)?;

        // 5. Steer the penalty towards the wanted distance.
        if ppo.kl.target > 0.0 {
            let error = (kl / ppo.kl.target - 1.0).clamp(-0.2, 0.2);
            beta *= 1.0 + error * section.answers as f64 / ppo.kl.horizon;
        }

        let done = step + 1;
        let (mean, deviation) = mean_std(&raw);
        let finished = experience.answers.iter().filter(|a| a.finished).count() as f64
            / section.answers as f64;
        let length = experience.answers.iter().map(|a| a.written().len()).sum::<usize>() as f64
            / section.answers as f64;
        let (rate, flops) = trainer.rates();
        let values = [
            ("reward", mean),
            ("reward_std", deviation),
            ("kl", kl),
            ("entropy", entropy),
            ("policy_loss", progress.policy_loss),
            ("value_loss", progress.value_loss),
            ("clip_fraction", progress.clip_fraction),
            ("explained_variance", explained),
            ("beta", beta),
            ("length", length),
            ("finished", finished),
            ("logprob_gap", gap),
            ("grad_norm", progress.grad_norm),
            ("learning_rate", progress.learning_rate),
            ("tokens_per_second", rate),
            ("flops_per_second", flops),
        ];
        trainer.record_at("train", done, &values)?;
        trainer.message(&format!(
            "reward {mean:+.3}  KL {kl:.2}  entropy {entropy:.2}  {rate:.0} tok/s"
        ));
        let last = done == trainer.steps();
        let every = |n: u64| n > 0 && done.is_multiple_of(n) && !last;
        if every(section.train.eval_every) {
            let standing = m.bench.stand(&trainer.model, &m.prompts.heldout)?;
            record_standing(trainer, done, &standing)?;
            trainer.reset_rates();
        }
        if every(section.train.sample_every) {
            let samples = m.bench.samples(&trainer.model, m.samples)?;
            trainer.sample_at(done, &samples)?;
            trainer.reset_rates();
        }
        let cursor = walk.cursor(done, section.answers);
        trainer.end_step(
            json!({ "beta": beta, "gap_max": gap_max, "gap_sum": gap_sum, "cursor": cursor }),
        )?;
    }

    let after = m.bench.stand(&trainer.model, &m.prompts.heldout)?;
    record_standing(trainer, trainer.step(), &after)?;
    let samples = m.bench.samples(&trainer.model, m.samples)?;
    trainer.sample(&samples)?;
    Ok(vec![
        ("reward_before", before.reward),
        ("reward_std_before", before.reward_std),
        ("reward_after", after.reward),
        ("reward_std_after", after.reward_std),
        ("kl", after.kl),
        ("distinct2_before", before.distinct2),
        ("distinct2_after", after.distinct2),
        ("finished_before", before.finished),
        ("finished_after", after.finished),
        ("length_before", before.length),
        ("length_after", after.length),
        ("beta", beta),
        ("logprob_gap_max", gap_max),
        ("logprob_gap_mean", gap_sum / trainer.steps().max(1) as f64),
    ])
}

fn record_standing(trainer: &mut Trainer<'_>, step: u64, s: &Standing) -> Result<()> {
    let values = [
        ("reward", s.reward),
        ("reward_std", s.reward_std),
        ("kl", s.kl),
        ("distinct2", s.distinct2),
        ("length", s.length),
        ("finished", s.finished),
    ];
    trainer.record_at("eval", step, &values)
}

/// Factor and shift that give the reference's rewards mean 0 and deviation 1.
fn reward_scale(m: &Materials<'_>) -> Result<(f64, f64)> {
    if !m.section.normalise_rewards {
        return Ok((1.0, 0.0));
    }
    let mut rewards = Vec::new();
    let prompts: Vec<&Prompt> = m.prompts.train.iter().cycle().take(SCALE_ANSWERS).collect();
    for (i, chunk) in prompts.chunks(TOGETHER).enumerate() {
        let seed = athanor_tensor::splitmix64(!m.bench.seed ^ i as u64);
        let sampling: &Sampling = &m.bench.sampling;
        rewards.extend(m.bench.reward.score(&answer(
            m.bench.reference,
            chunk,
            m.bench.stops,
            sampling,
            seed,
        )?)?);
    }
    let (mean, deviation) = mean_std(&rewards);
    Ok((1.0 / deviation.max(1e-6), mean))
}

/// Greatest and mean |difference| between a token's log-probability as it was drawn and as the
/// training forward pass has it.
fn log_prob_gap(answers: &[Answer], policy: &Measured) -> (f64, f64) {
    let pairs = answers.iter().flat_map(|a| &a.log_probs).zip(policy.log_probs.iter().flatten());
    let (mut max, mut sum, mut n) = (0.0f64, 0.0, 0usize);
    for (a, b) in pairs {
        let gap = f64::from((a - b).abs());
        max = max.max(gap);
        sum += gap;
        n += 1;
    }
    (max, sum / n.max(1) as f64)
}

/// -β(ln π - ln π_ref) at each token, and the answer's score at its last.
fn token_rewards(
    policy: &Measured,
    reference: &Measured,
    scores: &[f64],
    beta: f64,
) -> Vec<Vec<f32>> {
    policy
        .log_probs
        .iter()
        .zip(&reference.log_probs)
        .zip(scores)
        .map(|((own, other), score)| {
            let mut rewards: Vec<f32> =
                own.iter().zip(other).map(|(a, b)| -(beta as f32) * (a - b)).collect();
            if let Some(last) = rewards.last_mut() {
                *last += *score as f32;
            }
            rewards
        })
        .collect()
}

/// Generalised advantage estimation, from the end of each answer:
/// δ_t = r_t + γV_{t+1} - V_t, A_t = δ_t + γλA_{t+1}; the state after the last token is worth 0.
fn experience(
    answers: Vec<Answer>,
    policy: Measured,
    rewards: Vec<Vec<f32>>,
    ppo: &PpoSection,
) -> Experience {
    let (gamma, lambda) = (ppo.gamma as f32, ppo.lambda as f32);
    let mut advantages = Vec::with_capacity(answers.len());
    let mut returns = Vec::with_capacity(answers.len());
    for (reward, value) in rewards.iter().zip(&policy.values) {
        let mut advantage = vec![0.0f32; reward.len()];
        let (mut next_value, mut next) = (0.0, 0.0);
        for t in (0..reward.len()).rev() {
            let delta = reward[t] + gamma * next_value - value[t];
            next = delta + gamma * lambda * next;
            next_value = value[t];
            advantage[t] = next;
        }
        returns.push(advantage.iter().zip(value).map(|(a, v)| a + v).collect());
        advantages.push(advantage);
    }
    if ppo.whiten_advantages {
        let flat: Vec<f64> = advantages.iter().flatten().map(|&a| f64::from(a)).collect();
        let (mean, deviation) = mean_std(&flat);
        let scale = 1.0 / (deviation + 1e-8);
        advantages.iter_mut().flatten().for_each(|a| *a = ((f64::from(*a) - mean) * scale) as f32);
    }
    Experience { answers, log_probs: policy.log_probs, values: policy.values, advantages, returns }
}

/// 1 - Var(return - value) / Var(return).
fn explained_variance(e: &Experience) -> f64 {
    let flat = |x: &[Vec<f32>]| x.iter().flatten().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let (returns, values) = (flat(&e.returns), flat(&e.values));
    let rest: Vec<f64> = returns.iter().zip(&values).map(|(r, v)| r - v).collect();
    let (all, left) = (mean_std(&returns).1.powi(2), mean_std(&rest).1.powi(2));
    if all > 0.0 { 1.0 - left / all } else { 0.0 }
}

fn kl_per_answer(e: &Experience, reference: &Measured) -> f64 {
    let own: f64 = e.log_probs.iter().flatten().map(|&x| f64::from(x)).sum();
    let other: f64 = reference.log_probs.iter().flatten().map(|&x| f64::from(x)).sum();
    (own - other) / e.answers.len().max(1) as f64
}

/// Epochs of minibatches in a shuffled order.
fn learn(
    trainer: &mut Trainer<'_>,
    e: &Experience,
    section: &ReinforceSection,
) -> Result<Progress> {
    let (micro, accumulate) = (section.train.batch_size, section.train.accumulate);
    let shuffle_seed = trainer.rng("minibatches").at(trainer.step()).below(0, u64::MAX);
    let mut progress = Progress::default();
    for epoch in 0..section.ppo.epochs {
        let order = athanor_data::Shuffle::new(e.answers.len(), shuffle_seed, epoch as u64);
        for minibatch in order.as_slice().chunks(micro * accumulate) {
            let tokens: usize = minibatch.iter().map(|&i| e.answers[i].written().len()).sum();
            let mut grads = GradSet::new();
            let mut loss = 0.0;
            for rows in minibatch.chunks(micro) {
                loss +=
                    surrogate(&trainer.model, e, rows, tokens, section, &mut grads, &mut progress);
                let passed: usize = rows.iter().map(|&i| e.answers[i].tokens.len()).sum();
                let flops =
                    trainer.model.flops_per_token(passed / rows.len().max(1)) * passed as f64;
                trainer.count(passed as u64, flops);
            }
            let update = trainer.update(&mut grads, loss)?;
            progress.updates += 1.0;
            progress.grad_norm += update.grad_norm;
            progress.learning_rate = update.learning_rate;
        }
    }
    let n = progress.updates.max(1.0);
    for mean in [
        &mut progress.policy_loss,
        &mut progress.value_loss,
        &mut progress.clip_fraction,
        &mut progress.grad_norm,
    ] {
        *mean /= n;
    }
    Ok(progress)
}

/// The clipped surrogate objective (Schulman et al. 2017, eq. 7) and the clipped value loss, as
/// means over the minibatch's `tokens`; adds their gradients.
fn surrogate(
    model: &Model,
    e: &Experience,
    rows: &[usize],
    tokens: usize,
    section: &ReinforceSection,
    grads: &mut GradSet,
    progress: &mut Progress,
) -> f64 {
    let ppo = &section.ppo;
    let answers: Vec<&Answer> = rows.iter().map(|&i| &e.answers[i]).collect();
    let batch = Batch::new(model, &answers);
    let gather = |from: &[Vec<f32>]| {
        let flat: Vec<f32> = rows.iter().flat_map(|&i| from[i].iter().copied()).collect();
        Var::constant(Tensor::from_slice(model.device(), &flat, [flat.len()]))
    };
    let (old, advantages) = (gather(&e.log_probs), gather(&e.advantages));
    let (returns, old_values) = (gather(&e.returns), gather(&e.values));

    let graph = section.train.graph(&model.params);
    let now = opinion(model, &graph, &batch, section.temperature, true);
    let values = now.values.unwrap_or_else(|| old_values.clone());

    // -min(ratio·A, clip(ratio)·A)
    let clip = ppo.clip as f32;
    let ratio = ops::exp(&ops::sub(&now.log_probs, &old));
    let plain = ops::mul(&ratio, &advantages);
    let clipped = ops::mul(&ops::clamp(&ratio, 1.0 - clip, 1.0 + clip), &advantages);
    let mean = |x: &Var| ops::scale(&ops::sum(x), 1.0 / tokens.max(1) as f32);
    let policy_loss = ops::neg(&mean(&ops::minimum(&plain, &clipped)));

    // ½·max((V - R)², (V_clipped - R)²), V_clipped within value_clip of the old value.
    let bound = ppo.value_clip as f32;
    let near = ops::add(&old_values, &ops::clamp(&ops::sub(&values, &old_values), -bound, bound));
    let error = |v: &Var| ops::square(&ops::sub(v, &returns));
    let value_loss = ops::scale(&mean(&ops::maximum(&error(&values), &error(&near))), 0.5);

    let loss = ops::add(&policy_loss, &ops::scale(&value_loss, ppo.value_coefficient as f32));
    let outside = ratio.value().to_vec().iter().filter(|r| (**r - 1.0).abs() > clip).count();
    progress.clip_fraction += outside as f64 / tokens.max(1) as f64;
    progress.policy_loss += f64::from(policy_loss.value().item());
    progress.value_loss += f64::from(value_loss.value().item());
    let total = f64::from(loss.value().item());
    graph.backward(&loss, grads);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(rewards: &[f32], values: &[f32], ppo: &PpoSection) -> Experience {
        let answer = Answer {
            tokens: vec![0; rewards.len() + 1],
            prompt: 1,
            log_probs: vec![0.0; rewards.len()],
            finished: true,
        };
        let policy = Measured {
            log_probs: vec![vec![0.0; rewards.len()]],
            values: vec![values.to_vec()],
            entropy: 0.0,
        };
        experience(vec![answer], policy, vec![rewards.to_vec()], ppo)
    }

    #[test]
    fn advantages_by_hand() {
        let plain = PpoSection { whiten_advantages: false, ..PpoSection::default() };
        // λ = 1, γ = 1: the return is the sum of what follows.
        let e =
            one(&[0.0, 0.5, 2.0], &[0.3, 0.1, -0.2], &PpoSection { lambda: 1.0, ..plain.clone() });
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(&e.returns[0], &[2.5, 2.5, 2.0]), "{:?}", e.returns);
        assert!(close(&e.advantages[0], &[2.2, 2.4, 2.2]), "{:?}", e.advantages);
        // λ = 0: one-step errors.
        let e = one(&[0.0, 0.5, 2.0], &[0.3, 0.1, -0.2], &PpoSection { lambda: 0.0, ..plain });
        assert!(close(&e.advantages[0], &[-0.2, 0.2, 2.2]), "{:?}", e.advantages);
        let e = one(&[0.0, 0.5, 2.0], &[0.3, 0.1, -0.2], &PpoSection::default());
        let (mean, deviation) =
            mean_std(&e.advantages[0].iter().map(|&a| f64::from(a)).collect::<Vec<_>>());
        assert!(mean.abs() < 1e-6 && (deviation - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_score_comes_last_and_the_penalty_everywhere() {
        let own = Measured { log_probs: vec![vec![-1.0, -2.0]], values: vec![], entropy: 0.0 };
        let other = Measured { log_probs: vec![vec![-1.5, -1.0]], values: vec![], entropy: 0.0 };
        assert_eq!(token_rewards(&own, &other, &[3.0], 0.1), [[-0.05, 3.1]]);
    }
}
