//! A folder of token shards: index.json, train-00000.docs, then train-00000.bin.
#![no_main]

use athanor_data::{Shards, Split};
use athanor_fuzz::{bounded, folder, parts, put};
use libfuzzer_sys::fuzz_target;

/// Beside what grows with the files: the buffer that hashes them (256 KiB).
const FIXED: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let [index, docs, bin] = parts(data);
    let dir = folder();
    put(dir.path(), "index.json", index);
    put(dir.path(), "train-00000.docs", docs);
    put(dir.path(), "train-00000.bin", bin);
    bounded(data.len(), FIXED, || {
        for split in [Split::Train, Split::Heldout] {
            let Ok(shards) = Shards::open(dir.path(), split) else { continue };
            let _ = shards.verify();
            for i in 0..shards.documents().min(100) {
                let _ = shards.document(i);
            }
            let _ = shards.tokens(shards.len().saturating_sub(3)..u64::MAX);
        }
    });
});
