//! How much memory a tokenizer.json may take, and what there may be of each thing in it.

use athanor_store::{Error, Result};

/// A file may take this many times its size,
const TIMES: usize = 8;
/// and so much beyond: what a compiled pattern takes has nothing to do with how long it is.
pub(crate) const BEYOND: usize = 16 << 20;
/// Of it, what reading and using the small parts takes that is not accounted one by one.
const REST: usize = 4 << 20;

/// What is left to be taken.
#[derive(Debug)]
pub(crate) struct Budget {
    size: usize,
    left: usize,
    patterns: usize,
    byte_levels: usize,
    parts: usize,
}

impl Budget {
    /// For a file of `size` bytes, which is in memory already.
    pub(crate) fn new(size: usize) -> Self {
        let left = (TIMES - 1) * size + BEYOND - REST;
        Self { size, left, patterns: 0, byte_levels: 0, parts: 0 }
    }

    /// Takes what something needs, before it is made.
    pub(crate) fn take(&mut self, what: &str, bytes: usize) -> Result<()> {
        if bytes > self.left {
            return Err(Error::input(format!(
                "{what} would take {bytes} bytes, {} are left of {TIMES} times the file's {} and {} MiB",
                self.left,
                self.size,
                BEYOND >> 20
            ))
            .hint("the file is made to fill memory, or damaged: real vocabularies take less"));
        }
        self.left -= bytes;
        Ok(())
    }

    /// Takes what something needs that may as well be left out; whether there is so much.
    pub(crate) fn spare(&mut self, bytes: usize) -> bool {
        let enough = bytes <= self.left;
        self.left -= if enough { bytes } else { 0 };
        enough
    }

    /// Gives back what is no longer needed.
    pub(crate) fn give(&mut self, bytes: usize) {
        self.left += bytes;
    }

    /// Refuses more than `most` of something.
    pub(crate) fn limit(&self, what: &str, found: usize, most: usize) -> Result<()> {
        if found <= most {
            return Ok(());
        }
        Err(Error::input(format!("{found} {what}, {most} at most are read")))
    }

    /// One more compiled pattern.
    pub(crate) fn pattern(&mut self) -> Result<()> {
        self.patterns += 1;
        self.limit("regexes", self.patterns, 16)
    }

    /// One more part that may double a text's bytes.
    pub(crate) fn byte_level(&mut self) -> Result<()> {
        self.byte_levels += 1;
        self.limit("parts of type ByteLevel", self.byte_levels, 8)
    }

    /// One more normaliser, pre-tokeniser, decoder or post-processor.
    pub(crate) fn part(&mut self) -> Result<()> {
        self.parts += 1;
        self.limit("parts", self.parts, 128)
    }
}
