//! A Parquet file's index, which is at its end (Thrift's compact protocol; parquet-format's parquet.thrift).
//!
//! The crate reserves memory for as many fields as a group of the schema claims to have, and calls itself for
//! every level of it. So the schema is looked at first: it must be a tree of the elements that are there.

use std::{
    fs::File,
    io::{BufReader, Read},
};

use bytes::Bytes;
use parquet::{
    errors::{ParquetError, Result},
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataReader},
        reader::{ChunkReader, Length},
    },
};

/// A longer index is refused.
const MAX_FOOTER: u64 = 64 << 20;
/// A schema that is nested deeper is refused.
const MAX_DEPTH: usize = 64;
/// Of Thrift's structures in each other.
const MAX_STRUCTS: usize = 64;

pub(super) fn error<T>(what: impl std::fmt::Display) -> Result<T> {
    Err(ParquetError::General(what.to_string()))
}

/// A file; reading beyond its end is an error before memory is taken for it.
pub(super) struct Whole {
    file: File,
    size: u64,
}

impl Whole {
    pub(super) fn new(file: File) -> std::io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }

    fn check(&self, start: u64, length: u64) -> Result<()> {
        match start.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => error(format!("{length} bytes from byte {start} of a file of {}", self.size)),
        }
    }
}

impl Length for Whole {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Whole {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.check(start, 0)?;
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.check(start, length as u64)?;
        self.file.get_bytes(start, length)
    }
}

/// Reads the index.
pub(super) fn read(file: &Whole) -> Result<ParquetMetaData> {
    if file.size < 12 {
        return error("it is too short");
    }
    let mut end = [0; 8];
    file.get_read(file.size - 8)?.read_exact(&mut end)?;
    match &end[4..] {
        b"PAR1" => {}
        b"PARE" => return error("it is encrypted"),
        _ => return error("its end is not that of a Parquet file"),
    }
    let length = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if length > MAX_FOOTER || length > file.size - 8 {
        return error(format!("an index of {length} bytes in a file of {}", file.size));
    }
    let footer = file.get_bytes(file.size - 8 - length, length as usize)?;
    check_schema(&footer)?;
    ParquetMetaDataReader::decode_metadata(&footer)
}

/// Field 2 of the file's metadata: the schema's elements in the order of a walk through the tree, each with
/// the number of its children (field 5).
fn check_schema(footer: &[u8]) -> Result<()> {
    const SCHEMA: i64 = 2;
    const CHILDREN: i64 = 5;
    let mut walk = Walk { data: footer, at: 0 };
    let mut id = 0;
    while let Some(kind) = walk.field(&mut id)? {
        if id != SCHEMA || kind != LIST {
            walk.skip(kind, MAX_STRUCTS)?;
            continue;
        }
        let (of, elements) = walk.list()?;
        if of != STRUCT {
            return error("a schema of other than elements");
        }
        // How many children each open group still wants.
        let mut open: Vec<u64> = Vec::new();
        let mut promised = 0;
        for n in 0..elements {
            let (mut inner, mut children) = (0, 0);
            while let Some(kind) = walk.field(&mut inner)? {
                if inner == CHILDREN && matches!(kind, I16 | I32 | I64) {
                    children = walk.zigzag()?;
                } else {
                    walk.skip(kind, MAX_STRUCTS)?;
                }
            }
            let Ok(children) = u64::try_from(children) else {
                return error("a group of less than no fields");
            };
            promised += children;
            if promised >= elements {
                return error("a schema that promises more fields than it has");
            }
            if let Some(last) = open.last_mut() {
                *last -= 1;
            } else if n > 0 {
                return error("a schema with more than one root");
            }
            if children > 0 {
                open.push(children);
            }
            while open.last() == Some(&0) {
                open.pop();
            }
            if open.len() > MAX_DEPTH {
                return error(format!("a schema more than {MAX_DEPTH} levels deep"));
            }
        }
    }
    Ok(())
}

const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Thrift's compact protocol, to be walked over.
struct Walk<'a> {
    data: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn byte(&mut self) -> Result<u8> {
        let Some(&byte) = self.data.get(self.at) else { return error("an index that is cut off") };
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64> {
        varint(self.data, &mut self.at)
    }

    fn zigzag(&mut self) -> Result<i64> {
        self.varint().map(zigzag)
    }

    /// The kind of a structure's next field; none at its end.
    fn field(&mut self, id: &mut i64) -> Result<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *id = match head >> 4 {
            0 => self.zigzag()?,
            delta => id.wrapping_add(i64::from(delta)),
        };
        Ok(Some(head & 15))
    }

    /// The kind and the number of a list's elements.
    fn list(&mut self) -> Result<(u8, u64)> {
        let head = self.byte()?;
        let size = match head >> 4 {
            15 => self.varint()?,
            size => u64::from(size),
        };
        if size > self.data.len() as u64 {
            return error("a list longer than the index");
        }
        Ok((head & 15, size))
    }

    fn over(&mut self, bytes: u64) -> Result<()> {
        if bytes > (self.data.len() - self.at) as u64 {
            return error("an index that is cut off");
        }
        self.at += bytes as usize;
        Ok(())
    }

    /// Walks over a field's value.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return error("an index nested too deep") };
        match kind {
            // True and false, as fields, have no value.
            1 | 2 => Ok(()),
            3 => self.over(1),
            I16 | I32 | I64 => self.varint().map(|_| ()),
            7 => self.over(8),
            8 => self.varint().and_then(|n| self.over(n)),
            LIST | 10 => {
                let (of, size) = self.list()?;
                (0..size).try_for_each(|_| self.element(of, depth))
            }
            11 => {
                let size = self.varint()?;
                let kinds = if size == 0 { 0 } else { self.byte()? };
                for _ in 0..size {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 15, depth)?;
                }
                Ok(())
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            13 => self.over(16),
            _ => error("an index of unknown parts"),
        }
    }

    /// In lists true and false are a byte each.
    fn element(&mut self, kind: u8, depth: usize) -> Result<()> {
        if matches!(kind, 1 | 2) { self.over(1) } else { self.skip(kind, depth) }
    }
}

/// A number in groups of seven bits, the lowest first.
pub(super) fn varint(data: &[u8], at: &mut usize) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some(&byte) = data.get(*at) else { return error("a number that is cut off") };
        *at += 1;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    error("a number of more than 64 bits")
}

pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
