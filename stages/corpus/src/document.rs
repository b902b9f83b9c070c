//! What flows through the stage.

/// One text on its way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Which source it is from: its place in the recipe's list.
    pub source: usize,
    /// Its name within the source: the record's `id`, or file and line.
    pub id: String,
    /// The text.
    pub text: String,
    /// Whether it is held out: decided by the text as it came, before cleaning, so that later
    /// stages, which see the records and not our cleaning, hold out the same ones.
    pub heldout: bool,
    /// Where on the web it is from; empty if not known.
    pub url: String,
    /// Its language as ISO 639-1, as the step `language` found it; empty before.
    pub language: &'static str,
    /// The quality classifier's score, 0 to 1; none without that step.
    pub quality: Option<f32>,
}
