//! Documents in an order by chance, whatever their number: buckets on disk, each small enough to be shuffled in memory.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use athanor_data::splitmix64;
use athanor_store::{Error, Result};

/// Bytes of ids that are put in order at once.
const BUCKET_BYTES: u64 = 64 << 20;
/// Files open at once.
const BUCKETS: u64 = 512;

/// Puts documents in an order by chance, on disk: in buckets by the high bits of a hash, then each in memory.
pub(crate) struct Shuffler {
    seed: u64,
    folder: PathBuf,
    buckets: Vec<BufWriter<File>>,
}

impl Shuffler {
    pub(crate) fn new(seed: u64, bytes: u64, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let mut buckets = Vec::new();
        for n in 0..(bytes / BUCKET_BYTES + 1).min(BUCKETS) {
            let path = folder.join(n.to_string());
            let file = File::create(&path).map_err(|e| Error::io("write", &path, e))?;
            buckets.push(BufWriter::with_capacity(1 << 16, file));
        }
        Ok(Self { seed: splitmix64(seed ^ 0x006F_7264_6572), folder: folder.into(), buckets })
    }

    pub(crate) fn add(
        &mut self,
        number: u64,
        copy: usize,
        source: usize,
        ids: &[u32],
    ) -> Result<()> {
        let key = splitmix64(splitmix64(self.seed ^ number).wrapping_add(copy as u64));
        let bucket = (u128::from(key) * self.buckets.len() as u128) >> 64;
        let mut bytes = Vec::with_capacity(16 + 4 * ids.len());
        bytes.extend(key.to_le_bytes());
        bytes.extend((source as u32).to_le_bytes());
        bytes.extend((ids.len() as u32).to_le_bytes());
        ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        let written = self.buckets[bucket as usize].write_all(&bytes);
        written.map_err(|e| Error::io("write", &self.folder, e))
    }

    /// Gives all of them in their order and removes the files.
    pub(crate) fn finish(self, mut each: impl FnMut(usize, &[u32]) -> Result<()>) -> Result<()> {
        let Self { folder, buckets, .. } = self;
        let count = buckets.len();
        for bucket in buckets {
            bucket.into_inner().map_err(|e| Error::io("write", &folder, e.into_error()))?;
        }
        for n in 0..count {
            let path = folder.join(n.to_string());
            let fail = |e| Error::io("read", &path, e);
            let file = File::open(&path).map_err(fail)?;
            let mut left = file.metadata().map_err(fail)?.len();
            let mut file = BufReader::with_capacity(1 << 20, file);
            let mut documents: Vec<(u64, u32, Vec<u32>)> = Vec::new();
            while left > 0 {
                let mut header = [0; 16];
                file.read_exact(&mut header).map_err(fail)?;
                let word = |n: usize| {
                    header[n..n + 4].iter().rev().fold(0u32, |w, &b| w << 8 | u32::from(b))
                };
                let mut bytes = vec![0; 4 * word(12) as usize];
                file.read_exact(&mut bytes).map_err(fail)?;
                left -= 16 + bytes.len() as u64;
                let ids = bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
                let key = u64::from(word(4)) << 32 | u64::from(word(0));
                documents.push((key, word(8), ids.collect()));
            }
            // Stable: of the same key the first comes first.
            documents.sort_by_key(|d| d.0);
            for (_, source, ids) in documents {
                each(source as usize, &ids)?;
            }
            fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        fs::remove_dir(&folder).map_err(|e| Error::io("remove", &folder, e))
    }
}
