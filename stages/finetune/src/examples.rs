//! The recipe's sources of labelled examples, read and parted.

use athanor_data::labelled::{Part, Reader, Shares};
use athanor_data::{Labelled, LabelledSection};
use athanor_store::Result;

use crate::{section::ExampleSection, stage::Job};

/// A source, and what a task made of its records.
pub(crate) struct Source<'a, T> {
    pub section: &'a ExampleSection,
    pub title: String,
    pub examples: Vec<Labelled<T>>,
}

impl<T> Source<'_, T> {
    pub fn of(&self, part: Part) -> impl Iterator<Item = &Labelled<T>> {
        self.examples.iter().filter(move |e| e.part == part)
    }

    /// The examples of the file that is learned from, those of it that are held out among them: a label
    /// that is so rare that chance holds out all of its examples is a label all the same.
    pub fn own(&self) -> impl Iterator<Item = &Labelled<T>> {
        let separate = self.section.examples.as_ref().is_some_and(|e| e.heldout.is_some());
        self.examples.iter().filter(move |e| !separate || e.part != Part::Heldout)
    }
}

/// Reads all sources; `make` gives what turns a source's record into an example.
pub(crate) fn read<'a, T>(
    job: &Job<'a>,
    make: fn(&LabelledSection) -> Result<Reader<T>>,
) -> Result<Vec<Source<'a, T>>> {
    let shares = Shares {
        heldout: job.section.heldout_per_thousand as u64,
        validation: job.section.validation_per_thousand as u64,
    };
    let mut all = Vec::new();
    for section in &job.section.data {
        let Some(labelled) = &section.examples else { continue };
        let examples = labelled.read(&job.run.recipe, shares, &make(labelled)?)?;
        all.push(Source { section, title: labelled.title(), examples });
    }
    Ok(all)
}

/// What measures while training: the validation examples, or the held-out ones where there are none; at
/// most `most`, in an order by their hash, so that a sorted file does not show.
pub(crate) fn watched<'a, T>(sources: &'a [Source<'_, T>], most: usize) -> Vec<&'a Labelled<T>> {
    let of = |part| sources.iter().flat_map(move |s| s.of(part)).collect::<Vec<_>>();
    let mut found = of(Part::Validation);
    if found.is_empty() {
        found = of(Part::Heldout);
    }
    found.sort_by_key(|e| e.hash);
    found.truncate(most);
    found
}
