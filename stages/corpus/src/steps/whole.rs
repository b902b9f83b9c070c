//! Steps that have to see all documents before they judge one.

use athanor_store::Result;
use serde_json::Value;

use super::Outcome;
use crate::Document;

/// Bits of a place that say which part of its document.
const PART_BITS: u32 = 24;

/// A part of a document among all: the documents are numbered in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub(crate) u64);

impl Place {
    /// The largest number of parts of a document.
    pub const PARTS: usize = 1 << PART_BITS;

    /// Part `part` of document `document`.
    pub fn new(document: u64, part: u32) -> Self {
        Self(document << PART_BITS | u64::from(part & ((1 << PART_BITS) - 1)))
    }

    /// The document's number.
    pub fn document(self) -> u64 {
        self.0 >> PART_BITS
    }

    /// The part's number.
    pub fn part(self) -> u32 {
        (self.0 & ((1 << PART_BITS) - 1)) as u32
    }
}

/// What was found out about a place, and the place that is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Where.
    pub place: Place,
    /// For the sake of what.
    pub other: Place,
}

/// A step that judges by what documents have in common. It is done in four phases, each of which many
/// processes can share: every document gives keys; those with a key in common are brought together (by
/// sorting, on disk) and places are marked; the marks are gathered; each document is judged by its marks.
pub trait Whole: Send + Sync {
    /// A document's keys, evenly spread over 64 bits, each with the part of the document that it belongs to.
    fn keys(&self, document: &Document) -> Vec<(u64, u32)>;

    /// Marks places among those, ascending and two or more, that have a key in common.
    fn compare(&self, places: &[Place], marks: &mut Vec<Mark>);

    /// Of all marks, ascending, those that count, ascending; and what the account notes.
    ///
    /// # Errors
    /// Those of reading and writing.
    fn gather(
        &self,
        marks: &mut dyn Iterator<Item = Result<Mark>>,
        keep: &mut dyn FnMut(Mark) -> Result<()>,
    ) -> Result<Value> {
        for mark in marks {
            keep(mark?)?;
        }
        Ok(Value::Null)
    }

    /// Judges a document by its marks.
    fn verdict(&self, document: &Document, marks: &[Mark]) -> Outcome;

    /// Memory for sorting, in bytes.
    fn memory(&self) -> usize {
        256 << 20
    }
}
