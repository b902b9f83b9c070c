//! From rewards to advantages: what the algorithms share. Rows are episodes, columns the tokens that the policy
//! wrote, the environment's between them left out, so estimates are carried across the environment's turns.

use crate::{episode::Episode, figures::mean_std, rollout::EpisodeLogProbs};

/// Rewards by token: -β(ln π - ln π_ref) at each, the environment's at the last of each turn, and the
/// episode's score at the last of all.
pub(crate) fn token_rewards(
    episodes: &[Episode],
    policy: &EpisodeLogProbs,
    reference: &EpisodeLogProbs,
    scores: &[f64],
    beta: f64,
) -> Vec<Vec<f32>> {
    let log_probs = policy.log_probs.iter().zip(&reference.log_probs);
    log_probs
        .zip(scores)
        .zip(episodes)
        .map(|(((own, other), score), episode)| {
            let mut rewards: Vec<f32> =
                own.iter().zip(other).map(|(a, b)| -(beta as f32) * (a - b)).collect();
            for (place, reward) in episode.turn_rewards() {
                rewards[place] += reward as f32;
            }
            if let Some(last) = rewards.last_mut() {
                *last += *score as f32;
            }
            rewards
        })
        .collect()
}

/// Advantages and returns by token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Advantages {
    pub advantages: Vec<Vec<f32>>,
    /// What values are to become; empty for algorithms without values.
    pub returns: Vec<Vec<f32>>,
}

/// Generalised advantage estimation (Schulman et al. 2016, eq. 16), from the end of each episode:
/// δ_t = r_t + γV_{t+1} - V_t, A_t = δ_t + γλA_{t+1}; the state after the last token is worth 0. Returns are
/// A_t + V_t.
pub(crate) fn gae(
    rewards: &[Vec<f32>],
    values: &[Vec<f32>],
    gamma: f64,
    lambda: f64,
) -> Advantages {
    let (gamma, lambda) = (gamma as f32, lambda as f32);
    let mut all = Advantages::default();
    for (reward, value) in rewards.iter().zip(values) {
        let mut advantage = vec![0.0f32; reward.len()];
        let (mut next_value, mut next) = (0.0, 0.0);
        for t in (0..reward.len()).rev() {
            let delta = reward[t] + gamma * next_value - value[t];
            next = delta + gamma * lambda * next;
            next_value = value[t];
            advantage[t] = next;
        }
        all.returns.push(advantage.iter().zip(value).map(|(a, v)| a + v).collect());
        all.advantages.push(advantage);
    }
    all
}

/// Shifts and scales all advantages together to mean 0 and deviation 1.
pub(crate) fn whiten(advantages: &mut [Vec<f32>]) {
    let flat: Vec<f64> = advantages.iter().flatten().map(|&a| f64::from(a)).collect();
    let (mean, deviation) = mean_std(&flat);
    let scale = 1.0 / (deviation + 1e-8);
    advantages.iter_mut().flatten().for_each(|a| *a = ((f64::from(*a) - mean) * scale) as f32);
}

/// 1 - Var(return - value) / Var(return); 0 where returns do not vary.
pub(crate) fn explained_variance(returns: &[Vec<f32>], values: &[Vec<f32>]) -> f64 {
    let flat = |x: &[Vec<f32>]| x.iter().flatten().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let (returns, values) = (flat(returns), flat(values));
    let rest: Vec<f64> = returns.iter().zip(&values).map(|(r, v)| r - v).collect();
    let (all, left) = (mean_std(&returns).1.powi(2), mean_std(&rest).1.powi(2));
    if all > 0.0 { 1.0 - left / all } else { 0.0 }
}
