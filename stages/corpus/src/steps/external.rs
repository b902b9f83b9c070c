//! Sorting what does not fit into memory: pairs of numbers, on disk, in parts by their keys.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result};
use rayon::prelude::*;

/// A pair's bytes.
const PAIR: usize = 16;

/// Pairs (key, value) waiting on disk.
pub(super) struct Pairs {
    path: PathBuf,
    out: BufWriter<File>,
    count: u64,
}

impl Pairs {
    pub(super) fn create(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let file = File::create(&path).map_err(|e| Error::io("write", &path, e))?;
        Ok(Self { path, out: BufWriter::with_capacity(1 << 18, file), count: 0 })
    }

    pub(super) fn add(&mut self, key: u64, value: u64) -> Result<()> {
        let mut bytes = [0; PAIR];
        bytes[..8].copy_from_slice(&key.to_le_bytes());
        bytes[8..].copy_from_slice(&value.to_le_bytes());
        self.count += 1;
        self.out.write_all(&bytes).map_err(|e| Error::io("write", &self.path, e))
    }

    /// Gives all pairs with equal keys together, values in ascending order, and removes the file.
    /// Keys come in any order; memory holds about `memory` bytes.
    pub(super) fn groups(
        mut self,
        memory: usize,
        mut each: impl FnMut(&[(u64, u64)]) -> Result<()>,
    ) -> Result<()> {
        self.out.flush().map_err(|e| Error::io("write", &self.path, e))?;
        let parts = (self.count as usize * PAIR).div_ceil(memory.max(1 << 20)).max(1);
        let path = self.path.clone();
        drop(self.out);
        if parts == 1 {
            return sorted(&path, &mut each);
        }
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = Vec::new();
        for part in 0..parts {
            files.push(Pairs::create(&folder, &format!("{name}.{part}"))?);
        }
        read(&path, |key, value| {
            // Keys are hashes or counted up: either way their high product bits are even.
            let part = (u128::from(key.wrapping_mul(0x9E37_79B9_7F4A_7C15)) * parts as u128) >> 64;
            files[part as usize].add(key, value)
        })?;
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        for mut file in files {
            file.out.flush().map_err(|e| Error::io("write", &file.path, e))?;
            let path = file.path.clone();
            drop(file);
            sorted(&path, &mut each)?;
        }
        Ok(())
    }
}

fn read(path: &Path, mut each: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    let fail = |e| Error::io("read", path, e);
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(fail)?);
    let mut bytes = [0; PAIR];
    let size = file.get_ref().metadata().map_err(fail)?.len();
    for _ in 0..size / PAIR as u64 {
        file.read_exact(&mut bytes).map_err(fail)?;
        let number = |b: &[u8]| b.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
        each(number(&bytes[..8]), number(&bytes[8..]))?;
    }
    Ok(())
}

fn sorted(path: &Path, each: &mut impl FnMut(&[(u64, u64)]) -> Result<()>) -> Result<()> {
    let mut pairs = Vec::new();
    read(path, |key, value| {
        pairs.push((key, value));
        Ok(())
    })?;
    std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e))?;
    pairs.par_sort_unstable();
    for group in pairs.chunk_by(|a, b| a.0 == b.0) {
        each(group)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_whole_in_one_part_and_in_many() {
        for memory in [usize::MAX / 2, 1] {
            let folder = tempfile::tempdir().unwrap();
            let mut pairs = Pairs::create(folder.path(), "p").unwrap();
            for n in (0..200_000u64).rev() {
                pairs.add(n % 70_000, n).unwrap();
            }
            let (mut keys, mut values) = (0, 0);
            pairs
                .groups(memory, |group| {
                    assert!(group.iter().all(|p| p.0 == group[0].0 && p.1 % 70_000 == p.0));
                    assert!(group.windows(2).all(|w| w[0].1 < w[1].1));
                    keys += 1;
                    values += group.len();
                    Ok(())
                })
                .unwrap();
            assert_eq!((keys, values), (70_000, 200_000));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
