//! summary.json of the stage reinforce.

use serde_json::{Map, Value};

use super::{
    ACCURACY, DISTINCT2, FINISHED, KL, LENGTH, LOGPROB_GAP, LOSS, MARGIN, Memory, REWARD,
    REWARD_STD, Training, describe::objects,
};

objects! {
    /// summary.json of the stage reinforce.
    ReinforceSummary of "reinforce" {
        /// What every stage that trains writes.
        #[serde(flatten)]
        training: Training, "";
        /// The memory of the stage; reinforce expects answers of full length.
        #[serde(flatten)]
        memory: Memory, "";
        /// Mean reward of the reference on held-out requests. This and the fields up to `logprob_gap_mean`: only of algorithms that write (ppo, grpo).
        #[serde(skip_serializing_if = "Option::is_none")]
        reward_before: Option<f64>, REWARD.unit;
        /// Standard deviation of these rewards.
        #[serde(skip_serializing_if = "Option::is_none")]
        reward_std_before: Option<f64>, REWARD_STD.unit;
        /// Mean reward of the policy at the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        reward_after: Option<f64>, REWARD.unit;
        /// Standard deviation of these rewards.
        #[serde(skip_serializing_if = "Option::is_none")]
        reward_std_after: Option<f64>, REWARD_STD.unit;
        /// Distance of an answer from the reference at the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        kl: Option<f64>, KL.unit;
        /// Share of different pairs of words in the reference's answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        distinct2_before: Option<f64>, DISTINCT2.unit;
        /// The same of the policy at the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        distinct2_after: Option<f64>, DISTINCT2.unit;
        /// Share of the reference's answers that end.
        #[serde(skip_serializing_if = "Option::is_none")]
        finished_before: Option<f64>, FINISHED.unit;
        /// The same of the policy at the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        finished_after: Option<f64>, FINISHED.unit;
        /// Mean length of the reference's answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        length_before: Option<f64>, LENGTH.unit;
        /// The same of the policy at the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        length_after: Option<f64>, LENGTH.unit;
        /// What the algorithm steers, at the end, under names of its own.
        #[serde(flatten)]
        others: Map<String, Value>, "";
        /// Greatest difference of a token's log-probability between writing and training.
        #[serde(skip_serializing_if = "Option::is_none")]
        logprob_gap_max: Option<f64>, LOGPROB_GAP.unit;
        /// Mean of these differences.
        #[serde(skip_serializing_if = "Option::is_none")]
        logprob_gap_mean: Option<f64>, LOGPROB_GAP.unit;
        /// Loss on held-out comparisons before training. This and the following fields: only of algorithms over fixed comparisons (dpo).
        #[serde(skip_serializing_if = "Option::is_none")]
        heldout_loss_before: Option<f64>, LOSS.unit;
        /// The same at the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        heldout_loss: Option<f64>, LOSS.unit;
        /// Share of held-out comparisons in which the policy prefers the chosen text more than the reference does.
        #[serde(skip_serializing_if = "Option::is_none")]
        heldout_accuracy: Option<f64>, ACCURACY.unit;
        /// Mean margin of held-out comparisons.
        #[serde(skip_serializing_if = "Option::is_none")]
        heldout_margin: Option<f64>, MARGIN.unit;
    }
}
