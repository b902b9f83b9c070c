//! Cleaning steps. A step is one file here and one line in the registry below.

mod control;
mod duplicates;
mod entities;
mod gutenberg;
mod length;
mod repetition;
mod split;
mod symbols;
mod units;

use athanor_store::{Check, Section};
use serde_json::Value;

pub use control::Control;
pub use duplicates::Duplicates;
pub use entities::Entities;
pub use gutenberg::Gutenberg;
pub use length::Length;
pub use repetition::Repetition;
pub use split::SplitLong;
pub use symbols::Symbols;

/// What a step makes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Kept as it is.
    Keep,
    /// Kept, changed.
    Change(String),
    /// Several documents instead of one.
    Split(Vec<String>),
    /// Dropped, for this reason.
    Drop(&'static str),
    /// Kept if it is the first with this key, dropped for this reason otherwise.
    Once([u8; 32], &'static str),
}

/// A cleaning step.
pub trait Step: Send + Sync {
    /// Judges one text.
    fn apply(&self, text: &str) -> Outcome;
    /// Its parameters, for the account.
    fn parameters(&self) -> Value;
}

macro_rules! registry {
    ($( #[doc = $doc:literal] $name:ident: $type:ty, )+) => {
        athanor_store::section! {
            #[doc = " Parameters of the cleaning steps."]
            pub struct Settings {
                $( #[doc = $doc] $name: $type = <$type>::default(), )+
            }
        }

        impl Check for Settings {}

        /// All steps' names.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];

        /// The step of this name with its parameters.
        pub fn build(name: &str, settings: &Settings) -> Option<Box<dyn Step>> {
            match name {
                $( stringify!($name) => Some(Box::new(settings.$name.clone())), )+
                _ => None,
            }
        }
    };
}

registry! {
    /// HTML references such as `&amp;` become characters.
    entities: Entities,
    /// Project Gutenberg's front and end matter, credits and transcribers' notes go.
    gutenberg: Gutenberg,
    /// Line ends, control characters and broken characters.
    control: Control,
    /// Long documents are split at paragraph ends.
    split: SplitLong,
    /// Too short and too long documents go.
    length: Length,
    /// Documents that repeat themselves go.
    repetition: Repetition,
    /// Documents made of symbols rather than of words go.
    symbols: Symbols,
    /// Documents that came before go.
    duplicates: Duplicates,
}

/// The steps of a recipe that names none.
pub const DEFAULT: &[&str] = NAMES;

/// A section's values, for the account.
fn parameters<S: Section>(section: &S) -> Value {
    serde_json::to_value(section).unwrap_or_default()
}
