//! What an example is for: to learn from, to choose the best weights, to measure them. Its text alone decides, so
//! that every stage parts the same texts in the same way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash64;

/// What an example is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// Chooses the best weights.
    Validation,
    /// Measures them, and is never seen before.
    Heldout,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Heldout => "heldout",
        })
    }
}

/// Examples of a thousand that are not learned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Held out.
    pub heldout: u64,
    /// Of the others, those next to them by the same hash.
    pub validation: u64,
}

impl Shares {
    /// What a text is for. White space around it does not count. In Python, but for the few characters that
    /// `str.strip` strips and Unicode does not call white space:
    ///
    /// ```python
    /// h = int.from_bytes(hashlib.sha256(text.strip().encode()).digest()[:8], "little") % 1000
    /// split = "heldout" if h < heldout else "validation" if h < heldout + validation else "train"
    /// ```
    pub fn split(self, text: &str) -> Split {
        match hash64(text.trim().as_bytes()) % 1000 {
            place if place < self.heldout => Split::Heldout,
            place if place < self.heldout + self.validation => Split::Validation,
            _ => Split::Train,
        }
    }
}

impl From<u32> for Shares {
    /// So many of a thousand held out, and no validation part.
    fn from(heldout: u32) -> Self {
        Self { heldout: heldout.into(), validation: 0 }
    }
}

/// Whether a text is held out, where `per_thousand` of a thousand are.
pub fn heldout(text: &str, per_thousand: u32) -> bool {
    Shares::from(per_thousand).split(text) == Split::Heldout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_as_many_as_asked_for_and_nested() {
        let texts: Vec<String> = (0..20_000).map(|i| format!("text {i}")).collect();
        let count = |n| texts.iter().filter(|t| heldout(t, n)).count();
        assert_eq!(count(0), 0);
        assert_eq!(count(1000), texts.len());
        assert!((900..1100).contains(&count(50)), "{}", count(50));
        assert!(texts.iter().all(|t| !heldout(t, 10) || heldout(t, 50)));
        assert_eq!(heldout(" 春 \n", 500), heldout("春", 500));
        // A validation part takes nothing away from what is held out.
        let shares = Shares { heldout: 50, validation: 100 };
        assert!(texts.iter().all(|t| (shares.split(t) == Split::Heldout) == heldout(t, 50)));
        let validation = texts.iter().filter(|t| shares.split(t) == Split::Validation).count();
        assert!((1800..2200).contains(&validation), "{validation}");
    }
}
