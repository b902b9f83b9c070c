//! Arrays in safetensors files (<https://github.com/huggingface/safetensors>): 8 bytes of header
//! length (little-endian), a JSON header, then the arrays' bytes without gaps.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use safetensors::{Dtype, tensor::TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use crate::{Error, Result, write_atomic_with};

/// The safetensors format's own limit for a header, in bytes.
const LARGEST_HEADER: u64 = 100_000_000;

/// A named array in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its name in the file, such as `transformer.h.0.attn.c_attn.weight`.
    pub name: String,
    /// Its dimensions, outermost first; empty for a single number.
    pub shape: Vec<usize>,
    /// Its numbers, row by row.
    pub data: ArrayData,
}

/// An array's numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayData {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

/// A borrowed [`Array`], to be saved.
#[derive(Clone, Copy, Debug)]
pub struct ArrayRef<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its dimensions, outermost first.
    pub shape: &'a [usize],
    /// Its numbers, row by row; as many as the product of `shape`.
    pub data: ArrayDataRef<'a>,
}

/// A borrowed array's numbers.
#[derive(Clone, Copy, Debug)]
pub enum ArrayDataRef<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit integers.
    I64(&'a [i64]),
}

/// What a file's header says of one array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its element type as the file names it: `F32`, `BF16`, `I64` …
    pub dtype: String,
}

impl Array {
    /// Borrows it, to be saved.
    pub fn as_ref(&self) -> ArrayRef<'_> {
        let data = match &self.data {
            ArrayData::F32(v) => ArrayDataRef::F32(v),
            ArrayData::I64(v) => ArrayDataRef::I64(v),
        };
        ArrayRef { name: &self.name, shape: &self.shape, data }
    }
}

impl ArrayDataRef<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(v) => bytemuck::cast_slice(v),
            Self::I64(v) => bytemuck::cast_slice(v),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::I64(_) => Dtype::I64,
        }
    }
}

/// Writes a safetensors file, whole or not at all. The same arrays and metadata give the same
/// bytes, whatever their order. `metadata` gets `"format": "pt"` if it has no `format`: without it,
/// transformers refuses the file.
///
/// # Errors
/// Those of [`Error::io`]; a failure for a name given twice or a shape that does not fit its data.
pub fn save_arrays(
    path: &Path,
    arrays: &[ArrayRef<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    write_atomic_with(path, |w| write_arrays(w, path, arrays, metadata))
}

/// [`save_arrays`] into any writer; `path` is for errors alone.
pub(crate) fn write_arrays(
    out: &mut dyn Write,
    path: &Path,
    arrays: &[ArrayRef<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let wrong = |a: &ArrayRef<'_>, what: String| {
        Error::failed(what).at(format_args!("{}: tensor {}", path.display(), a.name))
    };
    // The order of the safetensors crate: by falling alignment, then by name. Its own serialiser
    // would write the metadata in a random order.
    let mut sorted: Vec<&ArrayRef<'_>> = arrays.iter().collect();
    sorted.sort_by(|a, b| b.data.dtype().cmp(&a.data.dtype()).then(a.name.cmp(b.name)));

    let mut metadata = metadata.clone();
    metadata.entry("format".into()).or_insert_with(|| "pt".into());
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!(metadata));
    let mut end = 0;
    for a in &sorted {
        if a.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) != Some(a.data.len()) {
            let n = a.data.len();
            return Err(wrong(a, format!("shape {:?} does not fit {n} numbers", a.shape)));
        }
        let start = end;
        end += a.data.bytes().len();
        let info = TensorInfo {
            dtype: a.data.dtype(),
            shape: a.shape.to_vec(),
            data_offsets: (start, end),
        };
        let info = serde_json::to_value(&info).map_err(|e| wrong(a, e.to_string()))?;
        if header.insert(a.name.into(), info).is_some() {
            return Err(wrong(a, "two tensors have this name".into()));
        }
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    let fail = |e| Error::io("write", path, e);
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(fail)?;
    out.write_all(&header).map_err(fail)?;
    for a in sorted {
        if cfg!(target_endian = "little") {
            out.write_all(a.data.bytes()).map_err(fail)?;
        } else {
            match a.data {
                ArrayDataRef::F32(v) => v.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
                ArrayDataRef::I64(v) => v.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
            }
            .map_err(fail)?;
        }
    }
    Ok(())
}

/// Reads a safetensors file's header: what it holds, in the order of the data.
///
/// # Errors
/// Those of [`load_arrays`], except those about an array's numbers.
pub fn array_index(path: &Path) -> Result<Vec<ArrayInfo>> {
    Ok(ArrayFile::open(path)?.index().collect())
}

/// Reads a whole safetensors file, array by array, in the order of the data. F16, BF16 and F64
/// become F32 (F64 is rounded); integers and BOOL become I64.
///
/// # Errors
/// Those of [`Error::io`]; an input error that names the file and the tensor when the file is
/// truncated, is not safetensors, or holds an element type or a number that we cannot hold. A
/// header is checked against the file's size before anything is allocated for it.
pub fn load_arrays(path: &Path) -> Result<Vec<Array>> {
    let file = ArrayFile::open(path)?;
    (file.index().enumerate())
        .map(|(place, ArrayInfo { name, shape, .. })| {
            let data = file.read(place).map_err(|e| e.at(path.display()))?;
            Ok(Array { name, shape, data })
        })
        .collect()
}

/// A safetensors file whose arrays are read when they are asked for.
#[derive(Debug)]
pub struct ArrayFile {
    file: File,
    /// In the order of the data, which starts at this byte.
    index: Vec<(String, TensorInfo)>,
    data: u64,
}

impl ArrayFile {
    /// Opens a file, reads its header and checks it against the file's size.
    ///
    /// # Errors
    /// Those of [`load_arrays`], except those about an array's numbers.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::io("read", path, e);
        let bad = |what: String| Error::input(what).at(path.display());
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        if size < 8 {
            return Err(bad(format!(
                "not a safetensors file: {size} bytes, 8 or more were expected"
            )));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > LARGEST_HEADER {
            return Err(bad(format!(
                "not a safetensors file: a header of {length} bytes, {LARGEST_HEADER} at most are allowed"
            )));
        }
        if length > size - 8 {
            let end = 8 + length;
            return Err(bad(format!("truncated: the header ends at byte {end}, file has {size}")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io)?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|e| bad(format!("bad safetensors header: {e}")))?;
        let mut index: Vec<_> = header.tensors.into_iter().collect();
        index.sort_by_key(|(_, info)| info.data_offsets);
        check(&index, 8 + length, size).map_err(|(name, what)| {
            Error::input(what).at(match name {
                Some(name) => format!("{}: tensor {name}", path.display()),
                None => path.display().to_string(),
            })
        })?;
        Ok(Self { file, index, data: 8 + length })
    }

    /// What it holds, in the order of the data.
    pub fn index(&self) -> impl ExactSizeIterator<Item = ArrayInfo> {
        self.index.iter().map(|(name, i)| ArrayInfo {
            name: name.clone(),
            shape: i.shape.clone(),
            dtype: format!("{:?}", i.dtype),
        })
    }

    /// Whether the array at a place of the index is read as [`ArrayData::I64`].
    ///
    /// # Panics
    /// If there is no such place.
    pub fn is_integer(&self, place: usize) -> bool {
        use Dtype::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
        matches!(self.index[place].1.dtype, I64 | U64 | I32 | U32 | I16 | U16 | I8 | U8 | BOOL)
    }

    /// The array at a place of the index.
    ///
    /// # Errors
    /// Those of [`load_arrays`]; they name the tensor, and not the file.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn read(&self, place: usize) -> Result<ArrayData> {
        let n = self.index[place].1.shape.iter().product();
        if self.is_integer(place) {
            let mut out = vec![0; n];
            self.fill(place, |file, dtype| read_integers(file, dtype, &mut out))?;
            Ok(ArrayData::I64(out))
        } else {
            // Refused before memory is taken: such elements may be smaller than ours.
            self.fill(place, |_, dtype| match FLOATS.contains(&dtype) {
                true => Ok(()),
                false => Err(unread(dtype)),
            })?;
            let mut out = vec![0.0; n];
            self.read_floats(place, &mut out)?;
            Ok(ArrayData::F32(out))
        }
    }

    /// The floats of the array at a place of the index, into `out`.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); also for integers.
    ///
    /// # Panics
    /// If there is no such place, or `out` is not as long as the array.
    pub fn read_floats(&self, place: usize, out: &mut [f32]) -> Result<()> {
        let n: usize = self.index[place].1.shape.iter().product();
        assert_eq!(out.len(), n, "read_floats: not as long as the array");
        self.fill(place, |file, dtype| read_floats(file, dtype, out))
    }

    fn fill(
        &self,
        place: usize,
        read: impl FnOnce(&mut &File, Dtype) -> std::result::Result<(), Bad>,
    ) -> Result<()> {
        let (name, info) = &self.index[place];
        let start = SeekFrom::Start(self.data + info.data_offsets.0 as u64);
        let mut file = &self.file;
        let done = file.seek(start).map_err(Bad::Io).and_then(|_| read(&mut file, info.dtype));
        let at = format!("tensor {name}");
        done.map_err(|e| match e {
            Bad::Io(e) => Error::io("read", Path::new(&at), e),
            Bad::Data(e) => Error::input(e).at(at),
        })
    }
}

/// A header as it stands in the file, without the buffers that serde's `flatten` would take.
#[derive(Default)]
struct Header {
    tensors: BTreeMap<String, TensorInfo>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> std::result::Result<Header, M::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<Option<BTreeMap<String, String>>>()?;
                        continue;
                    }
                    match header.tensors.entry(name) {
                        Entry::Occupied(e) => {
                            return Err(M::Error::custom(format_args!(
                                "tensor {} stands there twice",
                                e.key()
                            )));
                        }
                        Entry::Vacant(e) => e.insert(map.next_value()?),
                    };
                }
                Ok(header)
            }
        }
        d.deserialize_map(Entries)
    }
}

/// The data must be as long as shape and type say, without gaps or overlaps, to the file's end.
fn check(
    index: &[(String, TensorInfo)],
    data: u64,
    size: u64,
) -> std::result::Result<(), (Option<String>, String)> {
    let mut next = 0;
    for (name, info) in index {
        let wrong = |what| Err((Some(name.clone()), what));
        let (start, end) = info.data_offsets;
        let bits = (info.shape.iter())
            .try_fold(1usize, |n, d| n.checked_mul(*d))
            .and_then(|n| n.checked_mul(info.dtype.bitsize()));
        let Some(bits) = bits else {
            return wrong(format!("shape {:?} is larger than any memory", info.shape));
        };
        if start != next {
            return wrong(format!("its data starts at byte {start}, {next} was expected"));
        }
        if end < start || Some(end - start) != (bits % 8 == 0).then_some(bits / 8) {
            return wrong(format!(
                "its data goes from byte {start} to {end}, shape {:?} of {:?} takes {bits} bits",
                info.shape, info.dtype
            ));
        }
        // Cannot overflow: `end` is at most a sum of sizes that the file holds, checked each time.
        let end_in_file = data.saturating_add(end as u64);
        if end_in_file > size {
            return Err((
                None,
                format!(
                    "truncated: header says tensor {name} ends at byte {end_in_file}, file has {size}"
                ),
            ));
        }
        next = end;
    }
    let end = data + next as u64;
    if end != size {
        return Err((None, format!("the last tensor ends at byte {end}, file has {size}")));
    }
    Ok(())
}

/// Why an array's numbers could not be read.
enum Bad {
    Io(std::io::Error),
    Data(String),
}

/// What [`read_floats`] reads.
const FLOATS: [Dtype; 4] = [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16];

fn read_floats(file: &mut &File, dtype: Dtype, out: &mut [f32]) -> std::result::Result<(), Bad> {
    match dtype {
        Dtype::F32 => {
            // The bulk of every checkpoint and model: read in place.
            file.read_exact(bytemuck::cast_slice_mut(out)).map_err(Bad::Io)?;
            if cfg!(target_endian = "big") {
                out.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits().swap_bytes()));
            }
            Ok(())
        }
        Dtype::F64 => convert(file, out, |b| Some(f64::from_le_bytes(b) as f32)),
        Dtype::F16 => convert(file, out, |b| Some(f16(u16::from_le_bytes(b)))),
        Dtype::BF16 => {
            convert(file, out, |b| Some(f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)))
        }
        other => Err(unread(other)),
    }
}

fn read_integers(file: &mut &File, dtype: Dtype, out: &mut [i64]) -> std::result::Result<(), Bad> {
    match dtype {
        Dtype::I64 => convert(file, out, |b| Some(i64::from_le_bytes(b))),
        Dtype::U64 => convert(file, out, |b| u64::from_le_bytes(b).try_into().ok()),
        Dtype::I32 => convert(file, out, |b| Some(i32::from_le_bytes(b).into())),
        Dtype::U32 => convert(file, out, |b| Some(u32::from_le_bytes(b).into())),
        Dtype::I16 => convert(file, out, |b| Some(i16::from_le_bytes(b).into())),
        Dtype::U16 => convert(file, out, |b| Some(u16::from_le_bytes(b).into())),
        Dtype::I8 => convert(file, out, |b| Some(i8::from_le_bytes(b).into())),
        Dtype::U8 => convert(file, out, |b| Some(u8::from_le_bytes(b).into())),
        Dtype::BOOL => convert(file, out, |[b]| Some(i64::from(b != 0))),
        other => Err(unread(other)),
    }
}

fn unread(dtype: Dtype) -> Bad {
    Bad::Data(format!("element type {dtype:?}; F32, F16, BF16, F64, BOOL and integers can be read"))
}

/// Reads elements of `B` bytes, a block at a time.
fn convert<const B: usize, T>(
    file: &mut &File,
    out: &mut [T],
    to: impl Fn([u8; B]) -> Option<T>,
) -> std::result::Result<(), Bad> {
    const BLOCK: usize = 1 << 14;
    let mut buffer = vec![0; B * out.len().min(BLOCK)];
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let bytes = &mut buffer[..B * out.len()];
        file.read_exact(bytes).map_err(Bad::Io)?;
        for (i, (b, out)) in bytes.as_chunks::<B>().0.iter().zip(out).enumerate() {
            *out = to(*b).ok_or_else(|| {
                let at = block * BLOCK + i;
                Bad::Data(format!("element {at} does not fit a 64-bit integer"))
            })?;
        }
    }
    Ok(())
}

/// IEEE 754 binary16 to binary32, exact.
fn f16(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    let magnitude = match exponent {
        // Subnormal: fraction × 2^-24, which a f32 holds as a normal number.
        0 => (fraction as f32 * f32::from_bits(0x3380_0000)).to_bits(),
        31 => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}
