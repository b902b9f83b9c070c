//! Writing: entries of metadata, tensor infos, aligned numbers.

use std::io::Write;

use athanor_store::{Error, Result};

use crate::quant::{Type, quantise};

/// Where tensors begin: a multiple of this.
const ALIGNMENT: u64 = 32;

/// Metadata as bytes.
#[derive(Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    count: u64,
}

impl Entries {
    fn key(&mut self, key: &str, kind: u32) {
        self.count += 1;
        put(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
    }

    fn list(&mut self, key: &str, kind: u32, count: usize) {
        self.key(key, 9);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((count as u64).to_le_bytes());
    }

    pub(crate) fn unsigned(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn float(&mut self, key: &str, value: f64) {
        self.key(key, 6);
        self.bytes.extend((value as f32).to_le_bytes());
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.bytes.push(value.into());
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        put(&mut self.bytes, value);
    }

    pub(crate) fn texts(&mut self, key: &str, values: &[String]) {
        self.list(key, 8, values.len());
        values.iter().for_each(|v| put(&mut self.bytes, v));
    }

    pub(crate) fn floats(&mut self, key: &str, values: &[f32]) {
        self.list(key, 6, values.len());
        self.bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }

    pub(crate) fn signeds(&mut self, key: &str, values: &[i32]) {
        self.list(key, 5, values.len());
        self.bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A tensor to be written: its shape as in Hugging Face, the slowest size first.
pub(crate) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: Type,
    pub values: Vec<f32>,
}

/// A whole file of version 3.
pub(crate) fn write(out: &mut dyn Write, entries: &Entries, tensors: &[Tensor]) -> Result<()> {
    let mut head = b"GGUF".to_vec();
    head.extend(3u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend(entries.count.to_le_bytes());
    head.extend(&entries.bytes);
    let mut offset = 0u64;
    for t in tensors {
        put(&mut head, &t.name);
        head.extend((t.shape.len() as u32).to_le_bytes());
        t.shape.iter().rev().for_each(|&n| head.extend((n as u64).to_le_bytes()));
        head.extend(t.kind.id().to_le_bytes());
        head.extend(offset.to_le_bytes());
        let bytes = t.values.len() / t.kind.block() * t.kind.bytes();
        offset += (bytes as u64).next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
    let fail = |e: std::io::Error| Error::failed(format!("cannot write: {e}"));
    out.write_all(&head).map_err(fail)?;
    let mut bytes = Vec::new();
    for t in tensors {
        // In pieces of whole blocks; the last piece is filled up to the alignment.
        for piece in t.values.chunks(1 << 16) {
            bytes.clear();
            quantise(t.kind, piece, &mut bytes);
            out.write_all(&bytes).map_err(fail)?;
        }
        let size = t.values.len() / t.kind.block() * t.kind.bytes();
        let gap = size.next_multiple_of(ALIGNMENT as usize) - size;
        out.write_all(&vec![0; gap]).map_err(fail)?;
    }
    Ok(())
}
