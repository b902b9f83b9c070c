//! summary.json of the stage reward.

use serde_json::{Map, Value};

use super::{
    ECE, HELDOUT_ACCURACY, OBSERVED, PREDICTED, TFIDF_ACCURACY, Training, describe::objects,
};

objects! {
    /// summary.json of the stage reward.
    RewardSummary of "reward" {
        /// What every stage that trains writes.
        #[serde(flatten)]
        training: Training, "";
        /// Texts without tokens, or with more than fit.
        texts_left_out: Option<u64>, "";
        /// Judged texts to train on.
        texts_train: Option<u64>, "";
        /// Judged texts for evaluations during training.
        texts_validation: Option<u64>, "";
        /// Judged texts held out.
        texts_heldout: Option<u64>, "";
        /// Held-out pairs.
        pairs_heldout: Option<u64>, "";
        /// Share of held-out pairs that the model puts in the right order.
        heldout_accuracy: Option<f64>, HELDOUT_ACCURACY.unit;
        /// Share of held-out pairs that TF-IDF puts in the right order.
        tfidf_accuracy: Option<f64>, TFIDF_ACCURACY.unit;
        /// Accuracy by size of gap, small gaps first; sizes without a pair are left out.
        by_gap: Vec<GapRow>, "";
        /// Accuracy by group of texts.
        by_group: Vec<GroupRow>, "";
        /// Predicted and observed shares in tenths, over random held-out pairs of any gap.
        calibration: Vec<CalibrationRow>, "";
        /// Expected calibration error.
        ece: Option<f64>, ECE.unit;
        /// Figures of another version.
        #[serde(flatten)]
        others: Map<String, Value>, "";
    }

    /// Held-out pairs with gaps of a size.
    GapRow {
        /// The least gap.
        from: Option<f64>, "";
        /// Where the next row begins; null in the last row.
        to: Option<f64>, "";
        /// Pairs.
        pairs: Option<u64>, "";
        /// Share that the model puts in the right order.
        accuracy: Option<f64>, "share";
        /// Share that TF-IDF puts in the right order.
        tfidf: Option<f64>, "share";
    }

    /// Held-out pairs of a group of texts.
    GroupRow {
        /// The group.
        name: String, "";
        /// Pairs.
        pairs: Option<u64>, "";
        /// Share that the model puts in the right order.
        accuracy: Option<f64>, "share";
        /// Share that TF-IDF puts in the right order.
        tfidf: Option<f64>, "share";
    }

    /// Pairs of which the model is about as sure.
    CalibrationRow {
        /// Mean probability that the model gives.
        predicted: Option<f64>, PREDICTED.unit;
        /// Share of people who agree.
        observed: Option<f64>, OBSERVED.unit;
        /// Pairs.
        pairs: Option<u64>, "";
    }
}
