//! Files as bytes, whatever they are packed with: gzip, bzip2 and Zstandard are known by their
//! content, several members, streams or frames in a row are one file. `-` is standard input.
//!
//! Memory is bounded: a Zstandard frame may ask for a window of at most 128 MiB, as `zstd -d` allows.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use athanor_store::{Error, Result};
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

const BUFFER: usize = 1 << 18;
const MAX_WINDOW: u64 = 128 << 20;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// bzip2, multistream too.
    Bzip2,
    /// RFC 8878.
    Zstandard,
}

impl Compression {
    /// By the first bytes of a file.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Self::Bzip2,
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Self::Zstandard,
            _ => Self::None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Zstandard => "Zstandard",
        }
    }
}

/// Endings of packed files' names, without the dot.
pub const ENDINGS: &[&str] = &["gz", "bz2", "zst"];

/// A file's unpacked bytes.
pub struct Reader {
    path: PathBuf,
    inner: Box<dyn BufRead + Send>,
    compression: Compression,
    counts: Arc<Counts>,
}

/// What was read of a file so far.
#[derive(Debug, Default)]
pub struct Counts {
    packed: AtomicU64,
    unpacked: AtomicU64,
}

impl Counts {
    /// Bytes of the file, as it is on disk.
    #[must_use]
    pub fn packed(&self) -> u64 {
        self.packed.load(Ordering::Relaxed)
    }

    /// Bytes of its content that were taken.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.unpacked.load(Ordering::Relaxed)
    }

    /// Counts what was read by other means.
    pub fn add(&self, packed: u64, unpacked: u64) {
        self.packed.fetch_add(packed, Ordering::Relaxed);
        self.unpacked.fetch_add(unpacked, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish()
    }
}

/// Opens a file; `-` is standard input.
///
/// # Errors
/// Those of opening.
pub fn open(path: impl AsRef<Path>) -> Result<Reader> {
    let path = path.as_ref().to_path_buf();
    let fail = |e| Error::io("read", &path, e);
    let raw: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&path).map_err(fail)?)
    };
    let counts = Arc::new(Counts::default());
    let counted = Counted { inner: raw, counts: counts.clone() };
    let mut file = BufReader::with_capacity(BUFFER, counted);
    let compression = Compression::of(file.fill_buf().map_err(fail)?);
    let inner: Box<dyn BufRead + Send> = match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file))),
        Compression::Bzip2 => Box::new(BufReader::with_capacity(BUFFER, MultiBzDecoder::new(file))),
        Compression::Zstandard => Box::new(BufReader::with_capacity(BUFFER, zstandard(file))),
    };
    Ok(Reader { path, inner, compression, counts })
}

impl Reader {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the file is packed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// What was read so far; goes on counting when the reader is elsewhere.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// The error of reading at `place`: damage of the packing is the file's fault, the rest the
    /// system's.
    #[must_use]
    pub fn error(&self, error: io::Error, place: impl std::fmt::Display) -> Error {
        if self.compression == Compression::None || error.raw_os_error().is_some() {
            return Error::io("read", &self.path, error);
        }
        let name = self.compression.name();
        // The crates tell a cut file from a damaged one each in its own words.
        let text = error.to_string();
        let cut =
            ["end of file", "end of the file", "unexpected eof", "failed to fill whole buffer"];
        let torn = error.kind() == io::ErrorKind::UnexpectedEof
            || cut.iter().any(|w| text.to_lowercase().contains(w));
        let what = if torn {
            format!("the {name} file is torn: its end is missing")
        } else {
            format!("the {name} file is damaged: {text}")
        };
        Error::input(what).at(place).hint("copy or download the file again")
    }

    /// Reads up to and with the next line end into `line`, which is cleared first, but no more than
    /// `most` bytes: of a longer line the rest is read over.
    ///
    /// # Errors
    /// Those of reading.
    pub fn line(&mut self, line: &mut Vec<u8>, most: usize) -> io::Result<Line> {
        line.clear();
        self.by_ref().take(most as u64 + 1).read_until(b'\n', line)?;
        if line.is_empty() {
            return Ok(Line::End);
        }
        if line.len() <= most {
            return Ok(Line::Whole);
        }
        let mut bytes = line.len() as u64;
        while line.last() != Some(&b'\n') {
            line.clear();
            let read = self.by_ref().take(1 << 20).read_until(b'\n', line)?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
        }
        line.clear();
        Ok(Line::TooLong(bytes))
    }

    /// Reads over the next `bytes` bytes; how many there were.
    ///
    /// # Errors
    /// Those of reading.
    pub fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.by_ref().take(bytes), &mut io::sink())
    }
}

/// What [`Reader::line`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The end of the file.
    End,
    /// A line, with its end if it has one.
    Whole,
    /// A line of this many bytes, more than wanted; it was read over.
    TooLong(u64),
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.counts.unpacked.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.counts.unpacked.fetch_add(amount as u64, Ordering::Relaxed);
        self.inner.consume(amount);
    }
}

struct Counted {
    inner: Box<dyn Read + Send>,
    counts: Arc<Counts>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.counts.packed.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Zstandard's frames one after the other, unpacked.
pub fn zstandard<R: BufRead>(source: R) -> impl Read + use<R> {
    Frames { source: Some(source), frame: None }
}

/// The decoder reads one frame.
struct Frames<R: BufRead> {
    source: Option<R>,
    frame: Option<Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>>,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let n = frame.read(buf)?;
                if n > 0 || buf.is_empty() {
                    return Ok(n);
                }
                self.source = self.frame.take().map(|f| f.into_inner());
            }
            let Some(mut source) = self.source.take() else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            // A skippable frame: its magic number, the size of what is to be skipped.
            let mut head = [0; 8];
            let known = source.fill_buf()?;
            let skippable =
                known.len() >= 8 && matches!(known[..4], [0x50..=0x5F, 0x2A, 0x4D, 0x18]);
            if skippable {
                source.read_exact(&mut head)?;
                let size = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
                io::copy(&mut (&mut source).take(size), &mut io::sink())?;
                self.source = Some(source);
                continue;
            }
            let frame = StreamingDecoder::new_with_max_window_size(source, MAX_WINDOW)
                .map_err(io::Error::other)?;
            self.frame = Some(Box::new(frame));
        }
    }
}
