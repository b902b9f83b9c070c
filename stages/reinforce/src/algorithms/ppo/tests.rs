use athanor_tensor::Tape;

use super::*;
use crate::algorithms::{
    UpdateSize,
    fixtures::{cases, close, constant, episodes, flat, gradients, list, measured, rows},
};

/// What float32 may differ from TRL's float64.
const BOUND: f32 = 1e-6;

fn keys(case: &Value) -> PpoSection {
    let number = |name: &str| case[name].as_f64().unwrap();
    let mut keys = PpoSection {
        gamma: number("gamma"),
        lambda: number("lambda"),
        clip: number("clip"),
        value_clip: number("value_clip"),
        value_coefficient: number("value_coefficient"),
        ..PpoSection::default()
    };
    keys.kl.coefficient = number("kl_coefficient");
    keys
}

fn rollouts(case: &Value) -> Rollouts {
    let log_probs = rows(&case["log_probs"]);
    Rollouts {
        episodes: episodes(log_probs.iter().map(Vec::len), 1),
        policy: measured(log_probs, rows(&case["values"])),
        reference: measured(rows(&case["reference_log_probs"]), rows(&case["values"])),
        scores: list(&case["scores"]),
    }
}

#[test]
fn rewards_advantages_and_returns_are_those_of_trl() {
    for case in cases("ppo") {
        let r = rollouts(&case);
        let beta = case["kl_coefficient"].as_f64().unwrap();
        let rewards = token_rewards(&r.episodes, &r.policy, &r.reference, &r.scores, beta);
        close(&rewards.concat(), &rows(&case["rewards"]).concat(), BOUND, "rewards");
        for (whiten_advantages, name) in [(false, "advantages"), (true, "whitened")] {
            let keys = PpoSection { whiten_advantages, ..keys(&case) };
            let (all, _) = Ppo { beta, keys }.advantages(&r);
            close(&all.advantages.concat(), &rows(&case[name]).concat(), BOUND, name);
            close(&all.returns.concat(), &rows(&case["returns"]).concat(), BOUND, "returns");
        }
    }
}

#[test]
fn the_loss_and_its_gradients_are_those_of_trl() {
    for case in cases("ppo") {
        let ppo = Ppo { beta: 0.0, keys: keys(&case) };
        let tape = Tape::new();
        let log_probs = tape.leaf(flat(&rows(&case["new_log_probs"])));
        let values = tape.leaf(flat(&rows(&case["new_values"])));
        let now = TokenLogProbs {
            log_probs: log_probs.clone(),
            entropy: Vec::new(),
            values: Some(values.clone()),
        };
        let batch = Minibatch {
            old_log_probs: constant(&rows(&case["log_probs"])),
            reference_log_probs: None,
            advantages: constant(&rows(&case["whitened"])),
            values: Some(ValueTargets {
                old: constant(&rows(&case["values"])),
                returns: constant(&rows(&case["returns"])),
            }),
            lengths: rows(&case["values"]).iter().map(Vec::len).collect(),
            update: UpdateSize {
                tokens: rows(&case["values"]).concat().len(),
                episodes: rows(&case["values"]).len(),
            },
        };
        let PolicyLoss { loss, figures } = ppo.loss(&now, &batch);
        let figure = |name: &str| figures.iter().find(|(n, _)| *n == name).unwrap().1 as f32;
        let found = [loss.value().item(), figure("policy_loss"), figure("value_loss")];
        let expected = ["loss", "policy_loss", "value_loss"].map(|n| case[n].as_f64().unwrap());
        close(&found, &expected.map(|x| x as f32), BOUND, "losses");
        let [of_log_probs, of_values] = gradients(&tape, &loss, [&log_probs, &values]);
        close(&of_log_probs, &rows(&case["grad_log_probs"]).concat(), BOUND, "grad.log_probs");
        close(&of_values, &rows(&case["grad_values"]).concat(), BOUND, "grad.values");
    }
}

/// Ziegler et al. 2019, section 2.2: e = clip((KL - target) / target, ±0.2), β ← β(1 + K·e), K being episodes
/// over the horizon. No release of TRL since 0.11 has it.
#[test]
fn the_penalty_follows_the_distance() {
    let mut keys = PpoSection::default();
    (keys.kl.coefficient, keys.kl.target, keys.kl.horizon) = (0.1, 8.0, 1000.0);
    let mut ppo = Ppo { beta: 0.1, keys };
    ppo.after(80.0, 100);
    assert!((ppo.beta - 0.1 * 1.02).abs() < 1e-12, "far off: the error is cut to 0.2");
    ppo.after(7.2, 100);
    assert!((ppo.beta - 0.1 * 1.02 * 0.99).abs() < 1e-12, "{}", ppo.beta);
    let state = ppo.state();
    ppo.beta = 9.0;
    ppo.restore(&state);
    assert!((ppo.beta - 0.1 * 1.02 * 0.99).abs() < 1e-12);
    ppo.keys.kl.target = 0.0;
    ppo.after(1e9, 100);
    assert!((ppo.beta - 0.1 * 1.02 * 0.99).abs() < 1e-12, "a target of 0 keeps it fixed");
}
