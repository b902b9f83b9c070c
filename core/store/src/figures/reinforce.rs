//! Figures of the stage reinforce that the report knows, and its summary.json.

use serde_json::{Map, Value};

use super::{
    ACCURACY, LOSS,
    Unit::{Named, Number, Share},
    describe::objects,
};

crate::figures! {
    /// Figures of reinforcement learning, in the report's order.
    ALL:
    /// Mean score of what the policy writes.
    REWARD = "reward", "reward", Number, Higher;
    /// Standard deviation of the scores of what the policy writes.
    REWARD_STD = "reward_std", "standard deviation of rewards", Number, Neither;
    /// Kullback-Leibler divergence of the policy from the reference model over a whole text, in nats: how far it has
    /// moved. Reward against KL shows what each nat bought; a curve that goes right without going up is being
    /// over-optimised.
    KL = "kl", "KL", Named("nats"), Neither;
    /// Mean entropy of the next-token distribution, in nats; a fall to 0 means that the policy always writes the same.
    ENTROPY = "entropy", "entropy", Named("nats per token"), Neither;
    /// Share of tokens whose probability ratio left PPO's trust interval (Schulman et al. 2017, eq. 7).
    CLIP_FRACTION = "clip_fraction", "clip fraction", Named("share of tokens"), Neither;
    /// 1 − Var(return − value) / Var(return): 1 is a perfect value function, 0 is no better than the mean.
    EXPLAINED_VARIANCE = "explained_variance", "explained variance", Number, Higher;
    /// Clipped surrogate loss of the policy, the mean over an iteration's updates.
    POLICY_LOSS = "policy_loss", "policy loss", Number, Lower;
    /// Half the squared error of the values, the mean over an iteration's updates.
    VALUE_LOSS = "value_loss", "value loss", Number, Lower;
    /// Different pairs of neighbouring words divided by all of them, all texts together; a Chinese character counts as
    /// a word. A fall means repetition (Li et al. 2016).
    DISTINCT2 = "distinct2", "distinct-2", Share, Neither;
    /// Mean number of tokens that the policy writes in an answer.
    LENGTH = "length", "length", Named("tokens"), Neither;
    /// Share of answers that come to their end before the limit.
    FINISHED = "finished", "finished answers", Share, Neither;
    /// Difference between a token's log-probability when it was written and when training computes it again; should be
    /// near 0.
    LOGPROB_GAP = "logprob_gap", "log-probability gap", Named("nats"), Lower;
    /// How much more the policy prefers the chosen text to the rejected one than the reference does: the difference of
    /// β·ln(π / π_ref) (Rafailov et al. 2023).
    MARGIN = "margin", "margin", Named("β times the log-probability ratio"), Higher;
}

objects! {
    /// summary.json of the stage reinforce.
    ReinforceSummary of "reinforce" {
        /// Seconds of work, all sessions.
        seconds: Option<f64>, Named("s");
        /// Parameters of the policy.
        parameters: Option<u64>, Number;
        /// Tokens that training read.
        tokens: Option<u64>, Named("tokens");
        /// The forecast of the memory with answers of full length; null if it was not made.
        expected_memory_bytes: Option<u64>, Named("bytes");
        /// Greatest memory of the process; null if the system does not say.
        resident_memory_bytes: Option<u64>, Named("bytes");
        /// Greatest memory of tensors.
        peak_memory_bytes: Option<u64>, Named("bytes");
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
        others: Map<String, Value>, Number;
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
