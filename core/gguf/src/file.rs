//! Reading: header, metadata, tensor infos, and one tensor's numbers at a time.
//!
//! A count in the file reserves no more memory than the remaining bytes can fill: an entry of at least n
//! bytes takes at most a few times n in memory.

use std::{
    fs,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result};

use crate::quant::{Type, dequantise};

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Unsigneds(Vec<u32>),
    Signeds(Vec<i32>),
    Floats(Vec<f32>),
    Bools(Vec<bool>),
    Texts(Vec<String>),
}

/// A tensor as the header has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// llama.cpp's name.
    pub name: String,
    /// Sizes, the slowest first as in Hugging Face: the file has them the other way round.
    pub shape: Vec<usize>,
    /// Element type; None for one that we do not read.
    pub kind: Option<Type>,
    /// The type's number in ggml.
    pub type_id: u32,
    offset: u64,
}

impl TensorInfo {
    /// How many numbers.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An open GGUF file.
pub struct File {
    path: PathBuf,
    file: fs::File,
    /// Version of the format.
    pub version: u32,
    /// Sorted by key.
    metadata: Vec<(String, Value)>,
    /// In the file's order.
    pub tensors: Vec<TensorInfo>,
    /// Where the numbers begin.
    data: u64,
    length: u64,
}

/// The shortest that an entry of the metadata (an empty key with a bool), a tensor's (no name, no
/// sizes) and a text can be.
const LEAST_ENTRY: u64 = 8 + 4 + 1;
const LEAST_TENSOR: u64 = 8 + 4 + 4 + 8;
const LEAST_TEXT: u64 = 8;

struct Reader {
    source: BufReader<fs::File>,
    at: u64,
    left: u64,
}

/// Why a header cannot be read.
enum Bad {
    Io(std::io::Error),
    What(String),
}

type Read_<T> = std::result::Result<T, Bad>;

fn bad<T>(what: impl Into<String>) -> Read_<T> {
    Err(Bad::What(what.into()))
}

/// Lists hold 32 bits a number, so that one of bytes takes four times its place, not eight.
fn narrow<A: Copy + std::fmt::Display, B: TryFrom<A>>(value: A) -> Read_<B> {
    B::try_from(value).or_else(|_| bad(format!("a list has the number {value}, above 32 bits")))
}

impl Reader {
    fn take<const N: usize>(&mut self) -> Read_<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Read_<()> {
        let n = bytes.len() as u64;
        if n > self.left {
            return bad(format!("the file ends at byte {} within the header", self.at + self.left));
        }
        self.source.read_exact(bytes).map_err(Bad::Io)?;
        (self.at, self.left) = (self.at + n, self.left - n);
        Ok(())
    }

    fn u32(&mut self) -> Read_<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Read_<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A count of entries that take `least` bytes each at the least.
    fn count(&mut self, least: u64, what: &str) -> Read_<usize> {
        let (at, n) = (self.at, self.u64()?);
        if n > self.left / least {
            return bad(format!(
                "byte {at}: {n} {what} cannot stand in the {} bytes that are left",
                self.left
            ));
        }
        usize::try_from(n).or_else(|_| bad(format!("byte {at}: {n} {what}")))
    }

    fn text(&mut self) -> Read_<String> {
        let n = self.count(1, "bytes of text")?;
        let mut bytes = vec![0; n];
        self.fill(&mut bytes)?;
        // A few published vocabularies have tokens that are no UTF-8; they are unused.
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    fn flag(&mut self) -> Read_<bool> {
        self.take::<1>().map(|b| b[0] != 0)
    }

    fn unsigned(&mut self, kind: u32) -> Read_<u64> {
        Ok(match kind {
            0 => u64::from(self.take::<1>()?[0]),
            2 => u64::from(u16::from_le_bytes(self.take()?)),
            4 => u64::from(self.u32()?),
            _ => self.u64()?,
        })
    }

    fn signed(&mut self, kind: u32) -> Read_<i64> {
        Ok(match kind {
            1 => i64::from(i8::from_le_bytes(self.take()?)),
            3 => i64::from(i16::from_le_bytes(self.take()?)),
            5 => i64::from(i32::from_le_bytes(self.take()?)),
            _ => i64::from_le_bytes(self.take()?),
        })
    }

    fn float(&mut self, kind: u32) -> Read_<f64> {
        Ok(match kind {
            6 => f64::from(f32::from_le_bytes(self.take()?)),
            _ => f64::from_le_bytes(self.take()?),
        })
    }

    fn value(&mut self) -> Read_<Value> {
        let at = self.at;
        Ok(match self.u32()? {
            kind @ (0 | 2 | 4 | 10) => Value::Unsigned(self.unsigned(kind)?),
            kind @ (1 | 3 | 5 | 11) => Value::Signed(self.signed(kind)?),
            kind @ (6 | 12) => Value::Float(self.float(kind)?),
            7 => Value::Bool(self.flag()?),
            8 => Value::Text(self.text()?),
            9 => self.array()?,
            kind => return bad(format!("byte {at}: value type {kind} is unknown")),
        })
    }

    fn array(&mut self) -> Read_<Value> {
        /// `n` was checked against the bytes that are left, so this reserves what they bear out.
        fn all<T>(n: usize, mut one: impl FnMut() -> Read_<T>) -> Read_<Vec<T>> {
            let mut list = Vec::with_capacity(n);
            for _ in 0..n {
                list.push(one()?);
            }
            Ok(list)
        }
        let at = self.at;
        let kind = self.u32()?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 => LEAST_TEXT,
            10..=12 => 8,
            9 => return bad(format!("byte {at}: arrays of arrays are not read")),
            _ => return bad(format!("byte {at}: value type {kind} is unknown")),
        };
        let n = self.count(least, "array elements")?;
        Ok(match kind {
            0 | 2 | 4 | 10 => Value::Unsigneds(all(n, || narrow(self.unsigned(kind)?))?),
            1 | 3 | 5 | 11 => Value::Signeds(all(n, || narrow(self.signed(kind)?))?),
            6 | 12 => Value::Floats(all(n, || self.float(kind).map(|v| v as f32))?),
            7 => Value::Bools(all(n, || self.flag())?),
            _ => Value::Texts(all(n, || self.text())?),
        })
    }

    fn tensor(&mut self) -> Read_<TensorInfo> {
        let name = self.text()?;
        let at = self.at;
        let rank = self.u32()?;
        if rank > 4 {
            return bad(format!(
                "byte {at}: tensor {name:?} has {rank} dimensions, at most 4 are read"
            ));
        }
        let mut shape = Vec::with_capacity(rank as usize);
        for _ in 0..rank {
            let size = self.u64()?;
            shape.push(
                usize::try_from(size).or_else(|_| bad(format!("tensor {name:?}: size {size}")))?,
            );
        }
        shape.reverse();
        let type_id = self.u32()?;
        let offset = self.u64()?;
        Ok(TensorInfo { name, shape, kind: Type::from_id(type_id), type_id, offset })
    }
}

impl File {
    /// Reads the header.
    ///
    /// # Errors
    /// Input, naming the byte, for what is not GGUF, cut off or contradicts itself.
    pub fn open(path: &Path) -> Result<Self> {
        let file = fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
        let length = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
        let source = file.try_clone().map_err(|e| Error::io("open", path, e))?;
        let mut reader = Reader { source: BufReader::new(source), at: 0, left: length };
        let (version, metadata, tensors) = header(&mut reader).map_err(|bad| match bad {
            Bad::Io(e) => Error::io("read", path, e),
            Bad::What(what) => Error::input(what)
                .at(path.display())
                .hint("the file is damaged or no GGUF of version 2 or 3: download it again"),
        })?;
        let mut file =
            Self { path: path.into(), file, version, metadata, tensors, data: 0, length };
        let at = |e: Error| e.at(path.display());
        let alignment = file.size("general.alignment", Some(32)).map_err(at)? as u64;
        if !alignment.is_power_of_two() {
            return Err(at(Error::input(format!("`general.alignment` is {alignment}"))));
        }
        file.data = reader.at.next_multiple_of(alignment);
        file.check()?;
        Ok(file)
    }

    /// Every tensor is in the file, under a name of its own.
    fn check(&self) -> Result<()> {
        let mut names: Vec<&str> = self.tensors.iter().map(|t| t.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
            return Err(self.wrong(twice[0], "two tensors have this name".into()));
        }
        let mut total = 0u64;
        for t in &self.tensors {
            let count = t.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            let bytes = t.kind.map_or(Some(0), |k| self.bytes(t, count?, k));
            // Tensors that share their bytes would take more memory than the file has.
            total = total.saturating_add(bytes.unwrap_or(0));
            // A size of 0 would let the other sizes ask for anything.
            let bytes = bytes.filter(|_| !t.shape.contains(&0));
            let inside = bytes
                .filter(|_| total <= self.length)
                .and_then(|b| self.data.checked_add(t.offset)?.checked_add(b));
            if inside.is_none_or(|end| end > self.length.max(self.data)) {
                let what = format!(
                    "{:?} at {} leaves the file of {} bytes",
                    t.shape, t.offset, self.length
                );
                return Err(self.wrong(&t.name, what));
            }
        }
        Ok(())
    }

    /// Bytes of a tensor of `count` numbers; None where rows are no whole number of blocks.
    fn bytes(&self, t: &TensorInfo, count: usize, kind: Type) -> Option<u64> {
        let row = t.shape.last().copied().unwrap_or(1);
        let whole = row.is_multiple_of(kind.block());
        whole.then_some(())?;
        (count as u64 / kind.block() as u64).checked_mul(kind.bytes() as u64)
    }

    fn wrong(&self, tensor: &str, what: String) -> Error {
        let short: String = tensor.chars().take(80).collect();
        Error::input(what).at(format!("{}: tensor {short}", self.path.display()))
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// All metadata, by key.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// The metadata under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.metadata.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.metadata[at].1)
    }

    fn missing(&self, key: &str, expected: &str) -> Error {
        let found =
            if self.get(key).is_some() { "something else stands there" } else { "it is missing" };
        Error::input(format!("`{key}`: {expected} was expected, {found}"))
    }

    /// A whole number from 0 on.
    ///
    /// # Errors
    /// Input, if it is something else, or absent without a default.
    pub fn size(&self, key: &str, default: Option<usize>) -> Result<usize> {
        let found = match (self.get(key), default) {
            (None, Some(default)) => return Ok(default),
            (Some(Value::Unsigned(n)), _) => usize::try_from(*n).ok(),
            (Some(Value::Signed(n)), _) => usize::try_from(*n).ok(),
            // One number for each layer, all the same.
            (Some(Value::Unsigneds(all)), _) if all.windows(2).all(|w| w[0] == w[1]) => {
                all.first().map(|n| *n as usize)
            }
            _ => None,
        };
        found.ok_or_else(|| self.missing(key, "a whole number"))
    }

    /// A number.
    ///
    /// # Errors
    /// Input, if it is something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Float(v)) if v.is_finite() => Ok(Some(*v)),
            Some(Value::Unsigned(n)) => Ok(Some(*n as f64)),
            Some(Value::Signed(n)) => Ok(Some(*n as f64)),
            Some(_) => Err(self.missing(key, "a number")),
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// true or false; None where it is absent.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Value::Bool(v)) => Some(*v),
            _ => None,
        }
    }

    /// The numbers of a tensor, dequantised to f32.
    ///
    /// # Errors
    /// Input, for a type that is not read. Those of reading.
    pub fn read(&mut self, tensor: &TensorInfo) -> Result<Vec<f32>> {
        let Some(kind) = tensor.kind else {
            let known = ["F32", "F16", "BF16", "Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"];
            return Err(self
                .wrong(&tensor.name, format!("element type {} is not read", tensor.type_id))
                .hint(format!("read are {}", known.join(", "))));
        };
        let count = tensor.elements();
        let bytes = self.bytes(tensor, count, kind).unwrap_or(0);
        let fail = |e| Error::io("read", &self.path, e);
        self.file.seek(SeekFrom::Start(self.data + tensor.offset)).map_err(fail)?;
        // In pieces: beside the numbers there is never more than one piece of bytes.
        let piece = kind.bytes() * (1 << 16);
        let mut out = Vec::with_capacity(count);
        let mut left = usize::try_from(bytes).unwrap_or(0);
        let mut buffer = vec![0; piece.min(left)];
        while left > 0 {
            let n = piece.min(left);
            self.file.read_exact(&mut buffer[..n]).map_err(fail)?;
            out.extend(dequantise(kind, &buffer[..n]));
            left -= n;
        }
        Ok(out)
    }
}

type Header = (u32, Vec<(String, Value)>, Vec<TensorInfo>);

fn header(r: &mut Reader) -> Read_<Header> {
    if &r.take::<4>()? != b"GGUF" {
        return bad("the file does not begin with GGUF");
    }
    let version = r.u32()?;
    if !(2..=3).contains(&version) {
        return bad(format!("version {version}; 2 and 3 are read (little-endian)"));
    }
    // Both counts stand before both lists; the first is checked when its list begins.
    let tensors_count = r.count(LEAST_TENSOR, "tensors")?;
    let entries = r.count(LEAST_ENTRY, "metadata entries")?;
    let mut metadata = Vec::with_capacity(entries);
    for _ in 0..entries {
        let key = r.text()?;
        metadata.push((key, r.value()?));
    }
    metadata.sort_unstable_by(|a: &(String, Value), b| a.0.cmp(&b.0));
    if let Some(twice) = metadata.windows(2).find(|w| w[0].0 == w[1].0) {
        return bad(format!("two entries have the key {:?}", twice[0].0));
    }
    let mut tensors = Vec::with_capacity(tensors_count);
    for _ in 0..tensors_count {
        tensors.push(r.tensor()?);
    }
    Ok((version, metadata, tensors))
}
