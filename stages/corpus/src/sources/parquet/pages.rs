//! A column's pages, unpacked and checked before the crate decodes them.
//!
//! The crate unpacks gzip and Brotli without bound, takes room for as many values as a page's head claims, and
//! needs a C library for Zstandard. So it gets pages that are unpacked already, by the crates that the rest of
//! Athanor has and within bounds, with counts that fit their bytes. The two encodings that make values of
//! earlier ones (DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY; parquet-format's Encodings.md) are made plain here,
//! for the same reason.

use std::{io::Read, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, Type},
    column::page::{Page, PageMetadata, PageReader},
    errors::Result,
    file::{metadata::ColumnChunkMetaData, serialized_reader::SerializedPageReader},
};

use super::footer::{Whole, error, varint, zigzag};

/// A larger page is refused, unpacked; one of few bytes when it is larger than this, or this many times larger
/// than those: text is never packed so well.
const MAX_PAGE: u64 = 1 << 30;
const MAX_SMALL_PAGE: u64 = 64 << 20;
const MAX_RATIO: u64 = 1024;
/// A page of more values is refused. Writers make pages of 20,000 rows or a megabyte; where all values are alike,
/// of a whole row group.
const MAX_VALUES: usize = 64 << 20;
/// Where each of them takes memory before the first is read: differences, dictionaries.
const MAX_VALUES_HELD: usize = 16 << 20;
const MAX_DICTIONARY: usize = 4 << 20;
/// A row with more values in one column is refused.
const MAX_VALUES_OF_ROW: u64 = 1 << 20;

/// A column's pages.
pub(super) struct Pages {
    inner: SerializedPageReader<Whole>,
    packing: Compression,
    physical: Type,
    /// The greatest levels of repetition and definition.
    levels: (i16, i16),
    /// Bytes of a page, at most: those that the index gives the column.
    most: u64,
    /// Values since the row began.
    of_row: u64,
}

impl Pages {
    pub(super) fn open(
        file: &Arc<Whole>,
        column: &ColumnChunkMetaData,
        rows: usize,
    ) -> Result<Self> {
        let starts = [Some(column.data_page_offset()), column.dictionary_page_offset()];
        if starts.iter().flatten().any(|s| *s < 0) || column.compressed_size() < 0 {
            return error("a column that begins before the file");
        }
        let most = u64::try_from(column.uncompressed_size()).unwrap_or(0).min(MAX_PAGE);
        let descr = column.column_descr();
        let levels = (descr.max_rep_level(), descr.max_def_level());
        let (packing, physical) = (column.compression(), descr.physical_type());
        let plain =
            column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let inner = SerializedPageReader::new(file.clone(), &plain, rows, None)?;
        Ok(Self { inner, packing, physical, levels, most, of_row: 0 })
    }

    fn checked(&mut self, mut page: Page) -> Result<Page> {
        match &mut page {
            Page::DictionaryPage { buf, num_values, .. } => {
                *buf = self.unpacked(std::mem::take(buf))?;
                let least = match self.physical {
                    Type::BOOLEAN | Type::FIXED_LEN_BYTE_ARRAY => 1,
                    Type::INT64 | Type::DOUBLE => 8,
                    _ => 4,
                };
                let count = *num_values as usize;
                if count > buf.len() / least || count > MAX_DICTIONARY {
                    return error(format!("a dictionary of {count} values in {} bytes", buf.len()));
                }
            }
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                ..
            } => {
                *buf = self.unpacked(std::mem::take(buf))?;
                let count = values(*num_values)?;
                let mut at = 0;
                if self.levels.0 > 0 {
                    if *rep_level_encoding != Encoding::RLE {
                        return error(format!("levels encoded as {rep_level_encoding}"));
                    }
                    let levels = with_length(buf, at)?;
                    self.rows(levels, count)?;
                    at += 4 + levels.len();
                }
                if self.levels.1 > 0 {
                    at += match *def_level_encoding {
                        Encoding::RLE => 4 + with_length(buf, at)?.len(),
                        _ => (count * width(self.levels.1) as usize).div_ceil(8),
                    };
                }
                (*buf, *encoding) = self.plain(std::mem::take(buf), at, *encoding, count)?;
            }
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                ..
            } => {
                let count = values(*num_values)?;
                let repeats = *rep_levels_byte_len as usize;
                let at = repeats + *def_levels_byte_len as usize;
                if at > buf.len() {
                    return error("levels longer than their page");
                }
                if self.levels.0 > 0 {
                    self.rows(&buf[..repeats], count)?;
                }
                if *is_compressed && self.packing != Compression::UNCOMPRESSED {
                    let body = self.unpacked(buf.slice(at..))?;
                    *buf = Bytes::from([&buf[..at], &body].concat());
                }
                *is_compressed = false;
                (*buf, *encoding) = self.plain(std::mem::take(buf), at, *encoding, count)?;
            }
        }
        Ok(page)
    }

    fn unpacked(&self, packed: Bytes) -> Result<Bytes> {
        // A page without values.
        if packed.is_empty() || self.packing == Compression::UNCOMPRESSED {
            return Ok(packed);
        }
        let most = self.most(&packed);
        let all = |reader: &mut dyn Read| {
            let mut out = Vec::new();
            let read = reader.take(most + 1).read_to_end(&mut out);
            match read {
                Err(e) => error(format!("a page that does not unpack: {e}")),
                Ok(n) if n as u64 > most => error("a page larger than the index says"),
                Ok(_) => Ok(Bytes::from(out)),
            }
        };
        match self.packing {
            Compression::GZIP(_) => all(&mut flate2::read::MultiGzDecoder::new(&packed[..])),
            Compression::ZSTD(_) => all(&mut athanor_data::compressed::zstandard(&packed[..])),
            Compression::BROTLI(_) => {
                all(&mut brotli_decompressor::Decompressor::new(&packed[..], 1 << 16))
            }
            Compression::SNAPPY => self.snappy(&packed),
            Compression::LZ4_RAW => self.lz4(&packed),
            Compression::LZ4 => self.lz4_of_hadoop(&packed).or_else(|_| self.lz4(&packed)),
            other => error(format!("pages packed with {other}")),
        }
    }

    /// How many bytes these may become.
    fn most(&self, packed: &[u8]) -> u64 {
        self.most.min(MAX_SMALL_PAGE.max(MAX_RATIO.saturating_mul(packed.len() as u64)))
    }

    fn snappy(&self, packed: &[u8]) -> Result<Bytes> {
        let broken = |e: snap::Error| format!("a page that does not unpack: {e}");
        let length = snap::raw::decompress_len(packed).or_else(|e| error(broken(e)))? as u64;
        // Three bytes make 64 at most.
        if length > self.most(packed) || length > 32 * packed.len() as u64 {
            return error("a page larger than the index says");
        }
        let out = snap::raw::Decoder::new().decompress_vec(packed).or_else(|e| error(broken(e)))?;
        Ok(out.into())
    }

    /// A block does not say how long it is; the page's head, which does, is not given to us.
    fn lz4(&self, packed: &[u8]) -> Result<Bytes> {
        let most = self.most(packed).min(256 * packed.len() as u64) as usize;
        let mut room = most.min(8 * packed.len() + 64);
        loop {
            let mut out = vec![0; room];
            match lz4_flex::block::decompress_into(packed, &mut out) {
                Ok(n) => {
                    out.truncate(n);
                    return Ok(out.into());
                }
                Err(_) if room < most => room = most.min(4 * room),
                Err(e) => return error(format!("a page that does not unpack: {e}")),
            }
        }
    }

    /// Frames of their own: the length unpacked, the length packed (both with the highest byte first), a block.
    fn lz4_of_hadoop(&self, mut packed: &[u8]) -> Result<Bytes> {
        let (mut out, most): (Vec<u8>, _) = (Vec::new(), self.most(packed));
        while let Some((head, rest)) = packed.split_first_chunk::<8>() {
            let size =
                |n: usize| u32::from_be_bytes([head[n], head[n + 1], head[n + 2], head[n + 3]]);
            let (length, taken) = (size(0) as usize, size(4) as usize);
            let all = (out.len() + length) as u64;
            if taken > rest.len() || length > 256 * taken || all > most {
                return error("a frame longer than its page");
            }
            let start = out.len();
            out.resize(start + length, 0);
            match lz4_flex::block::decompress_into(&rest[..taken], &mut out[start..]) {
                Ok(n) if n == length => packed = &rest[taken..],
                _ => return error("a page that does not unpack"),
            }
        }
        if packed.is_empty() { Ok(out.into()) } else { error("a frame that is cut off") }
    }

    /// Counts the values of each row: one with the level of repetition 0 begins another. Levels are runs of one
    /// level, or groups of eight in bits (RLE / bit-packing hybrid).
    fn rows(&mut self, levels: &[u8], count: usize) -> Result<()> {
        let width = width(self.levels.0);
        let (mut at, mut seen) = (0, 0);
        while seen < count {
            let head = varint(levels, &mut at)?;
            let (run, grouped) = (head >> 1, head & 1 == 1);
            let left = (count - seen) as u64;
            if grouped {
                let n = run.saturating_mul(8).min(left) as usize;
                for i in 0..n {
                    let Some(level) = bits(&levels[at..], i * width as usize, width) else {
                        return error("levels that are cut off");
                    };
                    self.row(level == 0, 1)?;
                }
                let bytes = run.saturating_mul(u64::from(width));
                at = at.saturating_add(bytes.min(levels.len() as u64) as usize).min(levels.len());
                seen += n;
            } else {
                let bytes = width.div_ceil(8) as usize;
                let Some(level) = levels.get(at..at + bytes) else {
                    return error("levels that are cut off");
                };
                at += bytes;
                let n = run.min(left);
                self.row(level.iter().all(|b| *b == 0), n)?;
                seen += n as usize;
            }
        }
        Ok(())
    }

    fn row(&mut self, begins: bool, values: u64) -> Result<()> {
        self.of_row = if begins { 1 } else { self.of_row + values };
        if self.of_row > MAX_VALUES_OF_ROW {
            return error(format!("a row of more than {MAX_VALUES_OF_ROW} values in a column"));
        }
        Ok(())
    }

    /// A page with plain values from byte `at` on.
    fn plain(
        &self,
        buf: Bytes,
        at: usize,
        encoding: Encoding,
        count: usize,
    ) -> Result<(Bytes, Encoding)> {
        let made =
            !matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY);
        if made {
            return Ok((buf, encoding));
        }
        let Some(data) = buf.get(at..) else { return error("levels longer than their page") };
        let (mut from, count) = (0, count.min(MAX_VALUES_HELD));
        let prefixes = match encoding {
            Encoding::DELTA_BYTE_ARRAY => Some(deltas(data, &mut from, count)?),
            _ => None,
        };
        let suffixes = deltas(data, &mut from, count)?;
        if prefixes.as_ref().is_some_and(|p| p.len() != suffixes.len()) {
            return error("as many beginnings as ends were expected");
        }
        let with_length = self.physical == Type::BYTE_ARRAY;
        let mut out = buf[..at].to_vec();
        let mut last = 0..0;
        for (n, suffix) in suffixes.iter().enumerate() {
            let prefix = prefixes.as_ref().map_or(0, |p| p[n]);
            let (Ok(prefix), Ok(suffix)) = (usize::try_from(prefix), usize::try_from(*suffix))
            else {
                return error("a length below zero");
            };
            let end = data.get(from..).and_then(|d| d.get(..suffix));
            let (Some(end), true) = (end, prefix <= last.len()) else {
                return error("a value longer than its page");
            };
            if (out.len() + prefix + suffix) as u64 > MAX_PAGE {
                return error("a page larger than 1 GiB");
            }
            if with_length {
                out.extend_from_slice(&((prefix + suffix) as u32).to_le_bytes());
            }
            let start = out.len();
            out.extend_from_within(last.start..last.start + prefix);
            out.extend_from_slice(end);
            last = start..out.len();
            from += suffix;
        }
        Ok((out.into(), Encoding::PLAIN))
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        page.map(|p| self.checked(p)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// The number of a page's values.
fn values(count: u32) -> Result<usize> {
    match count as usize {
        count if count <= MAX_VALUES => Ok(count),
        count => error(format!("a page of {count} values")),
    }
}

/// Bits of a level.
fn width(greatest: i16) -> u32 {
    16 - (greatest as u16).leading_zeros()
}

/// What is behind its length of four bytes.
fn with_length(data: &[u8], at: usize) -> Result<&[u8]> {
    let rest = data.get(at..).unwrap_or(&[]);
    let found = rest
        .split_first_chunk::<4>()
        .and_then(|(length, rest)| rest.get(..u32::from_le_bytes(*length) as usize));
    found.map_or_else(|| error("levels longer than their page"), Ok)
}

/// `width` bits from bit `at` on, the lowest first.
fn bits(data: &[u8], at: usize, width: u32) -> Option<u64> {
    if width == 0 {
        return Some(0);
    }
    let mut value = 0u128;
    let first = at / 8;
    for (n, byte) in data.get(first..=(at + width as usize - 1) / 8)?.iter().enumerate() {
        value |= u128::from(*byte) << (8 * n);
    }
    let mask = u64::MAX >> (64 - width);
    Some((value >> (at % 8)) as u64 & mask)
}

/// DELTA_BINARY_PACKED: blocks of a smallest difference and what is above it, in bits.
fn deltas(data: &[u8], at: &mut usize, most: usize) -> Result<Vec<i32>> {
    let block = varint(data, at)?;
    let parts = varint(data, at)?;
    let total = varint(data, at)?;
    let first = zigzag(varint(data, at)?);
    if parts == 0 || block % parts != 0 || block > 1 << 20 || (block / parts) % 8 != 0 {
        return error("a block of differences that does not divide");
    }
    if total > most as u64 {
        return error("a page of more values than it says");
    }
    let (parts, part, total) = (parts as usize, (block / parts) as usize, total as usize);
    let mut out = Vec::with_capacity(total);
    if total > 0 {
        out.push(first as i32);
    }
    let mut last = first;
    while out.len() < total {
        let least = zigzag(varint(data, at)?);
        let Some(widths) = data.get(*at..).and_then(|d| d.get(..parts)) else {
            return error("differences that are cut off");
        };
        *at += parts;
        for width in widths {
            // Parts without values have no bytes.
            if out.len() == total {
                break;
            }
            let bytes = part * *width as usize / 8;
            let packed = data.get(*at..).and_then(|d| d.get(..bytes));
            let (Some(packed), true) = (packed, *width <= 64) else {
                return error("differences that are cut off");
            };
            *at += bytes;
            for n in 0..part.min(total - out.len()) {
                let above = bits(packed, n * *width as usize, u32::from(*width)).unwrap_or(0);
                last = last.wrapping_add(least).wrapping_add(above as i64);
                out.push(last as i32);
            }
        }
    }
    Ok(out)
}
