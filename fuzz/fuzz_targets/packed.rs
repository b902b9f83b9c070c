//! A packed file (gzip, bzip2, Zstandard, or plain): its bytes, its lines, its records.
#![no_main]

use std::io::Read;

use athanor_data::{compressed, records};
use athanor_fuzz::{bounded, folder, put};
use libfuzzer_sys::fuzz_target;

/// A window of Zstandard (128 MiB, and the same again while it grows), a line (64 MiB).
const FIXED: usize = 448 << 20;
/// What is packed may be a thousand times as long: time is spent on its beginning.
const MOST: u64 = 8 << 20;

fuzz_target!(|data: &[u8]| {
    let dir = folder();
    put(dir.path(), "f", data);
    let path = dir.path().join("f");
    bounded(data.len(), FIXED, || {
        let mut unpacked = 0;
        if let Ok(reader) = compressed::open(&path) {
            unpacked = std::io::copy(&mut reader.take(MOST), &mut std::io::sink()).unwrap_or(0);
        }
        if unpacked < MOST {
            let Ok(all) = records::open(&path) else { return };
            all.lenient().for_each(drop);
            let Ok(all) = records::lines(&path) else { return };
            all.lenient().for_each(drop);
        }
    });
});
