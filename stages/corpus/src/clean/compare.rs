//! The phases of a step that has to see all documents ([`crate::steps::Whole`]), in files.
//!
//! A unit's keys stand in one file, in pieces of one partition each, so that a partition is read without
//! the others. Within a partition keys are sorted in memory, in several passes if they are too many.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result, durable::write_atomic_with};
use rayon::prelude::*;

use crate::{
    spool,
    steps::{Mark, Place, Whole},
};

/// Parts of the keys that are brought together one after the other, a power of two.
const PARTITIONS: usize = 64;
/// A pair's bytes.
const PAIR: usize = 16;
/// Pairs written at once.
const PIECE: usize = 4096;
/// Documents whose keys are made at once.
const BATCH: usize = 2048;
const BATCH_BYTES: usize = 16 << 20;

fn partition(key: u64) -> usize {
    (key >> (64 - PARTITIONS.trailing_zeros())) as usize
}

/// Writes the keys of a unit's documents; places count from the unit's first. `takes_part` says which
/// documents take part.
pub(crate) fn write_keys(
    documents: &Path,
    whole: &dyn Whole,
    takes_part: impl Fn(usize) -> bool + Sync,
    out: &Path,
) -> Result<Vec<u64>> {
    let mut counts = vec![0u64; PARTITIONS];
    write_atomic_with(out, |file| {
        let mut pieces: Vec<Vec<u8>> = vec![Vec::new(); PARTITIONS];
        let fail = |e| Error::io("write", out, e);
        let mut documents = spool::read(documents)?;
        let mut number = 0u64;
        loop {
            let mut batch = Vec::new();
            let mut bytes = 0;
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Some(document) = documents.next().transpose()? else { break };
                bytes += document.text.len();
                batch.push(document);
            }
            if batch.is_empty() {
                break;
            }
            let keys: Vec<Vec<(u64, u32)>> = batch
                .par_iter()
                .map(|d| if takes_part(d.source) { whole.keys(d) } else { Vec::new() })
                .collect();
            for keys in keys {
                for (key, part) in keys {
                    let place = Place::new(number, part);
                    let partition = partition(key);
                    counts[partition] += 1;
                    let piece = &mut pieces[partition];
                    piece.extend(key.to_le_bytes());
                    piece.extend(place.0.to_le_bytes());
                    if piece.len() == PIECE * PAIR {
                        write_piece(file, partition, piece).map_err(fail)?;
                    }
                }
                number += 1;
            }
        }
        for (partition, piece) in pieces.iter_mut().enumerate().filter(|(_, p)| !p.is_empty()) {
            write_piece(file, partition, piece).map_err(fail)?;
        }
        Ok(())
    })?;
    Ok(counts)
}

fn write_piece(out: &mut dyn Write, partition: usize, piece: &mut Vec<u8>) -> io::Result<()> {
    out.write_all(&(partition as u32).to_le_bytes())?;
    out.write_all(&((piece.len() / PAIR) as u32).to_le_bytes())?;
    out.write_all(piece)?;
    piece.clear();
    Ok(())
}

/// How many groups of partitions are brought together one after the other: few for few pairs, so that a
/// small corpus does not make many files.
pub(crate) fn groups(keys: &[Keys]) -> usize {
    let pairs: u64 = keys.iter().flat_map(|k| &k.counts).sum();
    (pairs as usize).div_ceil(1 << 20).next_power_of_two().min(PARTITIONS)
}

/// Calls back for every pair of some partitions.
fn read_keys(path: &Path, wanted: &Range<usize>, mut each: impl FnMut(u64, u64)) -> Result<()> {
    let fail = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(fail)?;
    let end = file.metadata().map_err(fail)?.len();
    let (mut at, mut header, mut bytes) = (0u64, [0; 8], Vec::new());
    while at < end {
        file.read_exact(&mut header).map_err(fail)?;
        let size = u64::from(word(&header[4..])) * PAIR as u64;
        at += 8 + size;
        if wanted.contains(&(word(&header) as usize)) {
            bytes.resize(size as usize, 0);
            file.read_exact(&mut bytes).map_err(fail)?;
            for pair in bytes.chunks_exact(PAIR) {
                each(long(pair), long(&pair[8..]));
            }
        } else {
            file.seek(SeekFrom::Start(at)).map_err(fail)?;
        }
    }
    Ok(())
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |n, &b| n << 8 | u32::from(b))
}

fn long(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// A unit's keys and the number of its first document.
pub(crate) struct Keys {
    pub(crate) path: PathBuf,
    pub(crate) first: u64,
    /// Pairs by partition.
    pub(crate) counts: Vec<u64>,
}

/// Brings the places with a key in common together, of group `number` of `groups`; their marks,
/// ascending, in files whose names `name` gives. How many files there are.
pub(crate) fn compare(
    keys: &[Keys],
    number: usize,
    groups: usize,
    whole: &dyn Whole,
    name: impl Fn(usize) -> PathBuf,
) -> Result<usize> {
    let size = PARTITIONS / groups;
    let wanted = number * size..(number + 1) * size;
    let count: u64 = keys.iter().flat_map(|k| k.counts.get(wanted.clone()).unwrap_or(&[])).sum();
    // A pair may become a mark of the same size.
    let passes = (count as usize * 2 * PAIR).div_ceil(whole.memory().max(1 << 12)).max(1);
    for pass in 0..passes {
        let mut pairs: Vec<(u64, u64)> = Vec::with_capacity(count as usize / passes);
        for unit in keys {
            read_keys(&unit.path, &wanted, |key, place| {
                let below = key << groups.trailing_zeros();
                if (u128::from(below) * passes as u128) >> 64 == pass as u128 {
                    pairs.push((key, Place::new(unit.first, 0).0 + place));
                }
            })?;
        }
        pairs.par_sort_unstable();
        let (mut places, mut marks) = (Vec::new(), Vec::new());
        for group in pairs.chunk_by(|a, b| a.0 == b.0).filter(|g| g.len() > 1) {
            places.clear();
            places.extend(group.iter().map(|p| Place(p.1)));
            whole.compare(&places, &mut marks);
        }
        drop(pairs);
        marks.par_sort_unstable();
        marks.dedup();
        write_marks(&name(pass), marks.into_iter().map(Ok))?;
    }
    Ok(passes)
}

fn write_marks(path: &Path, marks: impl Iterator<Item = Result<Mark>>) -> Result<()> {
    write_atomic_with(path, |out| {
        for mark in marks {
            write_mark(out, mark?).map_err(|e| Error::io("write", path, e))?;
        }
        Ok(())
    })
}

fn write_mark(out: &mut dyn Write, mark: Mark) -> io::Result<()> {
    out.write_all(&mark.place.0.to_le_bytes())?;
    out.write_all(&mark.other.0.to_le_bytes())
}

/// Marks in a file, ascending, from the first at or behind a place.
struct Marks {
    path: PathBuf,
    file: BufReader<File>,
    left: u64,
}

impl Marks {
    fn open(path: &Path, from: Place) -> Result<Self> {
        let fail = |e| Error::io("read", path, e);
        let mut file = File::open(path).map_err(fail)?;
        let count = file.metadata().map_err(fail)?.len() / PAIR as u64;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = (low + high) / 2;
            let mut bytes = [0; 8];
            file.seek(SeekFrom::Start(middle * PAIR as u64)).map_err(fail)?;
            file.read_exact(&mut bytes).map_err(fail)?;
            if Place(long(&bytes)) < from { low = middle + 1 } else { high = middle }
        }
        file.seek(SeekFrom::Start(low * PAIR as u64)).map_err(fail)?;
        // Many files are open at once.
        Ok(Self {
            path: path.into(),
            file: BufReader::with_capacity(1 << 16, file),
            left: count - low,
        })
    }
}

impl Iterator for Marks {
    type Item = Result<Mark>;

    fn next(&mut self) -> Option<Result<Mark>> {
        self.left = self.left.checked_sub(1)?;
        let mut bytes = [0; PAIR];
        let read = self.file.read_exact(&mut bytes).map_err(|e| Error::io("read", &self.path, e));
        Some(read.map(|()| Mark { place: Place(long(&bytes)), other: Place(long(&bytes[8..])) }))
    }
}

/// Merges the files of marks, lets the step choose, and writes those that count. Returns its notes.
pub(crate) fn gather(
    files: &[PathBuf],
    whole: &dyn Whole,
    out: &Path,
) -> Result<serde_json::Value> {
    let mut notes = serde_json::Value::Null;
    write_atomic_with(out, |target| {
        let mut open = Vec::new();
        for file in files {
            open.push(Marks::open(file, Place(0))?);
        }
        let mut heap = BinaryHeap::new();
        for (number, marks) in open.iter_mut().enumerate() {
            if let Some(mark) = marks.next().transpose()? {
                heap.push(Reverse((mark, number)));
            }
        }
        let mut last = None;
        let mut merged = std::iter::from_fn(|| {
            loop {
                let Reverse((mark, number)) = heap.pop()?;
                match open[number].next().transpose() {
                    Err(e) => return Some(Err(e)),
                    Ok(Some(next)) => heap.push(Reverse((next, number))),
                    Ok(None) => {}
                }
                if last.replace(mark) != Some(mark) {
                    return Some(Ok(mark));
                }
            }
        });
        let mut keep = |mark| write_mark(target, mark).map_err(|e| Error::io("write", out, e));
        notes = whole.gather(&mut merged, &mut keep)?;
        Ok(())
    })?;
    Ok(notes)
}

/// The marks of documents in their order, from one document on.
pub(crate) struct Verdicts {
    marks: std::iter::Peekable<Marks>,
    next: u64,
}

impl Verdicts {
    pub(crate) fn open(path: &Path, first: u64) -> Result<Self> {
        Ok(Self { marks: Marks::open(path, Place::new(first, 0))?.peekable(), next: first })
    }

    /// The next document's marks.
    pub(crate) fn next(&mut self) -> Result<Vec<Mark>> {
        let mut out = Vec::new();
        let number = self.next;
        self.next += 1;
        while let Some(mark) =
            self.marks.next_if(|m| m.as_ref().map_or(true, |m| m.place.document() == number))
        {
            out.push(mark?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{Document, spool::Spool, steps::Outcome};

    /// Documents are numbers; equal ones belong together.
    struct Numbers(usize);

    impl Whole for Numbers {
        fn keys(&self, document: &Document) -> Vec<(u64, u32)> {
            let number: u64 = document.text.parse().unwrap();
            vec![(athanor_data::splitmix64(number), 3)]
        }

        fn compare(&self, places: &[Place], marks: &mut Vec<Mark>) {
            assert!(places.windows(2).all(|w| w[0] < w[1]));
            marks.extend(places[1..].iter().map(|&place| Mark { place, other: places[0] }));
        }

        fn verdict(&self, _: &Document, _: &[Mark]) -> Outcome {
            Outcome::Keep
        }

        fn memory(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn what_came_before_is_marked_in_one_pass_and_in_many() {
        for memory in [1 << 30, 1] {
            let folder = tempfile::tempdir().unwrap();
            let name = |n: &str| folder.path().join(n);
            let number = |unit: u64, n: u64| (unit * 40_000 + n) % 70_001;
            let mut keys = Vec::new();
            for unit in 0..5u64 {
                let docs = name(&format!("{unit}.docs"));
                write_atomic_with(&docs, |out| {
                    let mut spool = Spool::new(&docs, out);
                    for n in 0..40_000 {
                        let text = number(unit, n).to_string();
                        spool.add(&Document { text, ..Document::default() })?;
                    }
                    Ok(())
                })
                .unwrap();
                let path = name(&format!("{unit}.keys"));
                let counts = write_keys(&docs, &Numbers(memory), |_| true, &path).unwrap();
                assert_eq!(counts.iter().sum::<u64>(), 40_000);
                keys.push(Keys { path, first: unit * 40_000, counts });
            }
            let mut files = Vec::new();
            let groups = if memory == 1 { 4 } else { 1 };
            assert_eq!(super::groups(&keys), 1);
            for partition in 0..groups {
                let file = |pass| name(&format!("{partition}.{pass}"));
                let passes = compare(&keys, partition, groups, &Numbers(memory), file).unwrap();
                files.extend((0..passes).map(file));
            }
            let out = name("marks");
            assert_eq!(gather(&files, &Numbers(memory), &out).unwrap(), Value::Null);
            // From the middle of the third unit.
            let first = 100_000u64;
            let mut judged = Verdicts::open(&out, first).unwrap();
            for n in first..200_000 {
                let marks = judged.next().unwrap();
                if n < 70_001 {
                    assert!(marks.is_empty());
                } else {
                    let place = Place::new(n, 3);
                    assert_eq!(marks, [Mark { place, other: Place::new(n % 70_001, 3) }]);
                }
            }
        }
    }
}
