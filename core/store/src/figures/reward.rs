//! Figures of the stage reward, and its summary.json.

use serde_json::{Map, Value};

use super::{
    Unit::{Named, Number, Share},
    describe::objects,
};

crate::figures! {
    /// Figures of a reward model, in the report's order.
    ALL:
    /// Share of held-out pairs in which the reward model scores the text that people preferred higher; 50 % is chance.
    HELDOUT_ACCURACY = "heldout_accuracy", "held-out accuracy", Share, Higher;
    /// Ridge regression of the texts' mean ratings on TF-IDF word weights, fitted on the same training texts: what can
    /// be known without a language model.
    TFIDF_ACCURACY = "tfidf_accuracy", "TF-IDF baseline", Share, Higher;
    /// Expected calibration error: distance between predicted and observed shares in bins, weighted by pairs (Naeini et
    /// al. 2015). Of the pairs that the model calls 80 % sure, are 80 % right?
    ECE = "ece", "ECE", Share, Lower;
    /// Difference of the mean ratings of a pair's texts. People agree about pairs with a large gap, and a model should,
    /// too.
    GAP = "gap", "gap between the two texts' ratings", Number, Neither;
    /// Probability with which the reward model expects people to prefer the first text of a pair.
    PREDICTED = "predicted", "predicted probability", Share, Neither;
    /// Share of such pairs in which people preferred the first text.
    OBSERVED = "observed", "observed share", Share, Neither;
}

objects! {
    /// summary.json of the stage reward.
    RewardSummary of "reward" {
        /// Seconds of work, all sessions.
        seconds: Option<f64>, Named("s");
        /// Parameters of the model.
        parameters: Option<u64>, Number;
        /// Tokens that training read.
        tokens: Option<u64>, Named("tokens");
        /// Texts without tokens, or with more than fit.
        texts_left_out: Option<u64>, Number;
        /// Judged texts to train on.
        texts_train: Option<u64>, Number;
        /// Judged texts for evaluations during training.
        texts_validation: Option<u64>, Number;
        /// Judged texts held out.
        texts_heldout: Option<u64>, Number;
        /// Held-out pairs.
        pairs_heldout: Option<u64>, Number;
        /// Share of held-out pairs that the model puts in the right order.
        heldout_accuracy: Option<f64>, HELDOUT_ACCURACY.unit;
        /// Share of held-out pairs that TF-IDF puts in the right order.
        tfidf_accuracy: Option<f64>, TFIDF_ACCURACY.unit;
        /// Accuracy by size of gap, small gaps first; without gaps that no pair has.
        by_gap: Vec<GapRow>, Number;
        /// Accuracy by group of texts.
        by_group: Vec<GroupRow>, Number;
        /// Predicted and observed shares in tenths, over random held-out pairs of any gap.
        calibration: Vec<CalibrationRow>, Number;
        /// Expected calibration error.
        ece: Option<f64>, ECE.unit;
        /// Figures of another version.
        #[serde(flatten)]
        others: Map<String, Value>, Number;
    }

    /// Held-out pairs with gaps of a size.
    GapRow {
        /// The least gap.
        from: Option<f64>, Number;
        /// The gap that is too large; null in the last row.
        to: Option<f64>, Number;
        /// Pairs.
        pairs: Option<u64>, Number;
        /// Share that the model puts in the right order.
        accuracy: Option<f64>, Share;
        /// Share that TF-IDF puts in the right order.
        tfidf: Option<f64>, Share;
    }

    /// Held-out pairs of a group of texts.
    GroupRow {
        /// The group.
        name: String, Number;
        /// Pairs.
        pairs: Option<u64>, Number;
        /// Share that the model puts in the right order.
        accuracy: Option<f64>, Share;
        /// Share that TF-IDF puts in the right order.
        tfidf: Option<f64>, Share;
    }

    /// Pairs of which the model is about as sure.
    CalibrationRow {
        /// Mean probability that the model gives.
        predicted: Option<f64>, PREDICTED.unit;
        /// Share of people who agree.
        observed: Option<f64>, OBSERVED.unit;
        /// Pairs.
        pairs: Option<u64>, Number;
    }
}
