//! What the targets share: a bound on memory, files in memory, inputs of several files.

use std::path::Path;

use athanor_corpus::{
    SourceSection,
    sources::{self, Body},
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Runs `work` on an input of `size` bytes and fails if at any time it held more than eight times
/// that and `fixed` beyond.
pub fn bounded(size: usize, fixed: usize, work: impl FnOnce()) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    work();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= 8 * size + fixed, "{taken} bytes were held for an input of {size}");
}

/// A folder that vanishes; put TMPDIR on a memory file system, or the disk is what is measured.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for the input")
}

/// Writes a file of the input.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).expect("room for the input");
}

/// An input of several files: each but the last begins with its length in two bytes, the low one
/// first. What is missing is empty.
pub fn parts<const N: usize>(mut data: &[u8]) -> [&[u8]; N] {
    let mut out = [&data[..0]; N];
    for (i, part) in out.iter_mut().enumerate() {
        let length = match data {
            [a, b, rest @ ..] if i + 1 < N => {
                let length = usize::from(u16::from_le_bytes([*a, *b]));
                data = rest;
                length.min(data.len())
            }
            _ => data.len(),
        };
        (*part, data) = data.split_at(length);
    }
    out
}

/// Reads a file as a source of the corpus, once stopping at what is bad and once going on, and makes
/// all its texts. `fixed` as in [`bounded`].
pub fn source(format: &str, name: &str, data: &[u8], fixed: usize) {
    let dir = folder();
    put(dir.path(), name, data);
    for on_error in ["refuse", "skip"] {
        let source = SourceSection {
            name: "s".into(),
            path: dir.path().join(name),
            format: Some(format.into()),
            on_error: on_error.into(),
            ..SourceSection::default()
        };
        bounded(data.len(), fixed, || {
            let Ok((items, _)) = sources::open(&source.all_paths(), &source) else { return };
            for item in items.flatten() {
                if let Body::Later(make) = item.body {
                    let _ = make();
                }
            }
        });
    }
}
