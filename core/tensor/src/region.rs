//! Memory for large buffers in pages of 2 MiB where the system has them: with pages of 4 KiB a processor waits
//! for address translation as long as for weights. Linux gives large pages on request (`madvise(2)`,
//! MADV_HUGEPAGE), and only where a whole one fits, so buffers are cut from regions of many pages.

use std::sync::{Arc, Mutex, PoisonError};

use memmap2::{MmapMut, MmapRaw};

/// Bytes of a region: address space; only the parts that are written to become memory.
const REGION: usize = 256 << 20;

/// Bytes of a large page, on which regions begin.
const PAGE: usize = 2 << 20;

/// Bytes from which a buffer is cut from a region.
pub(crate) const FROM: usize = 32 << 10;

struct Region {
    map: MmapRaw,
    /// Where the first large page begins.
    start: usize,
}

/// Bytes of a region that belong to its owner alone.
pub(crate) struct Piece {
    region: Arc<Region>,
    at: usize,
    len: usize,
}

/// The region that pieces are cut from, and how much of it is taken.
static OPEN: Mutex<Option<(Arc<Region>, usize)>> = Mutex::new(None);

impl Piece {
    /// `len` bytes of zeros at a multiple of 64; `None` if the system has no more.
    pub fn new(len: usize) -> Option<Self> {
        let len = len.next_multiple_of(64);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = open.as_ref().is_some_and(|(region, used)| used + len <= region.size());
        if !fits {
            *open = Some((Arc::new(Region::new(len.max(REGION))?), 0));
        }
        let (region, used) = open.as_mut()?;
        let at = region.start + *used;
        *used += len;
        Some(Self { region: region.clone(), at, len })
    }

    /// The bytes.
    #[allow(unsafe_code)]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the piece lies within the map, which lives as long, and no other piece overlaps it.
        unsafe { std::slice::from_raw_parts(self.region.map.as_ptr().add(self.at), self.len) }
    }

    /// The bytes.
    #[allow(unsafe_code)]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the piece is borrowed alone.
        unsafe {
            std::slice::from_raw_parts_mut(self.region.map.as_mut_ptr().add(self.at), self.len)
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // The region lives until its last piece goes; until then whole pages go back by themselves.
        #[cfg(target_os = "linux")]
        #[allow(unsafe_code)]
        {
            let from = self.at.next_multiple_of(4096);
            let to = (self.at + self.len) / 4096 * 4096;
            if from < to {
                let free = memmap2::UncheckedAdvice::DontNeed;
                // SAFETY: these bytes are not read any more and belong to no other piece. Where it
                // fails, memory stays as it was.
                let _ = unsafe { self.region.map.unchecked_advise_range(free, from, to - from) };
            }
        }
    }
}

impl Region {
    /// Address space for at least `len` bytes from a border of large pages on.
    fn new(len: usize) -> Option<Self> {
        let map = MmapRaw::from(MmapMut::map_anon(len.checked_add(PAGE)?).ok()?);
        #[cfg(target_os = "linux")]
        // Where it fails, pages are small.
        let _ = map.advise(memmap2::Advice::HugePage);
        let start = (map.as_ptr() as usize).next_multiple_of(PAGE) - map.as_ptr() as usize;
        Some(Self { map, start })
    }

    /// Bytes for pieces.
    fn size(&self) -> usize {
        self.map.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zeros_aligned_and_apart() {
        let mut pieces: Vec<Piece> =
            [1, 64, 100_000, REGION + 5, 3_000_000].map(|n| Piece::new(n).unwrap()).into();
        for (i, piece) in pieces.iter_mut().enumerate() {
            assert!(piece.bytes().iter().all(|&b| b == 0));
            assert_eq!(piece.bytes().as_ptr() as usize % 64, 0);
            piece.bytes_mut().fill(i as u8 + 1);
        }
        drop(pieces.remove(2));
        let marks: Vec<u8> = pieces.iter().map(|p| p.bytes()[0]).collect();
        assert_eq!(marks, [1, 2, 4, 5]);
        assert!(pieces.iter().all(|p| p.bytes().iter().all(|b| *b == p.bytes()[0])));
    }
}
