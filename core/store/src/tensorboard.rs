//! TensorBoard's event files, written without TensorFlow.
//!
//! A file is a sequence of TFRecords: length (u64), masked CRC-32C of the length, data, masked
//! CRC-32C of the data, all little-endian (tensorflow/core/lib/io/record_writer.h). The data is a
//! protobuf `Event` (tensorflow/core/util/event.proto), whose few fields are written by hand here.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{Error, Result};

/// An event file open for writing. Dropped, it is flushed, without a word on failure.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    out: BufWriter<File>,
}

impl TensorBoard {
    /// Starts a new event file in `dir`, creating the folder.
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        let fail = |e| Error::io("read", dir, e);
        // TensorBoard reads a folder's files by name: a new one must come last, also within the
        // second in which the last one was made, also when the clock was set back.
        let mut seconds = now() as u64;
        for entry in fs::read_dir(dir).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            let stamp = name.to_str().and_then(|n| n.strip_prefix(PREFIX)?.split('.').next());
            if let Some(last) = stamp.and_then(|s| s.parse::<u64>().ok()) {
                seconds = seconds.max(last.saturating_add(1));
            }
        }
        let path = dir.join(format!("{PREFIX}{seconds:010}.athanor.{}", std::process::id()));
        let file = File::create_new(&path).map_err(|e| Error::io("write", &path, e))?;
        let mut board = Self { path, out: BufWriter::new(file) };
        board.event(0, |event| text_field(event, 3, b"brain.Event:2"))?;
        Ok(board)
    }

    /// Starts a new event file that says "started again after `step`": TensorBoard drops what
    /// earlier files hold of later steps.
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn resume(dir: &Path, step: u64) -> Result<Self> {
        let mut board = Self::create(dir)?;
        // Event.session_log = 7; SessionLog.status = 1; START = 1. What is at the event's step or
        // later is purged, and the checkpoint's own step is to stay.
        board.event(step.saturating_add(1), |event| {
            text_field(event, 7, &{
                let mut log = Vec::new();
                tag(&mut log, 1, 0);
                varint(&mut log, 1);
                log
            });
        })?;
        board.flush()?;
        Ok(board)
    }

    /// Records a number at a step, under a tag such as `train/loss` (buffered).
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn scalar(&mut self, name: &str, step: u64, value: f64) -> Result<()> {
        // Summary.Value: tag = 1, simple_value = 2 (float).
        let mut v = Vec::new();
        text_field(&mut v, 1, name.as_bytes());
        tag(&mut v, 2, 5);
        v.extend((value as f32).to_le_bytes());
        self.summary(step, &v)
    }

    /// Records a text (Markdown) at a step (buffered).
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn text(&mut self, name: &str, step: u64, text: &str) -> Result<()> {
        let mut plugin = Vec::new();
        text_field(&mut plugin, 1, b"text"); // PluginData.plugin_name
        let mut metadata = Vec::new();
        text_field(&mut metadata, 1, &plugin); // SummaryMetadata.plugin_data
        let mut size = Vec::new();
        tag(&mut size, 1, 0); // TensorShapeProto.Dim.size
        varint(&mut size, 1);
        let mut shape = Vec::new();
        text_field(&mut shape, 2, &size); // TensorShapeProto.dim
        let mut tensor = Vec::new();
        tag(&mut tensor, 1, 0); // TensorProto.dtype = DT_STRING
        varint(&mut tensor, 7);
        text_field(&mut tensor, 2, &shape); // TensorProto.tensor_shape
        text_field(&mut tensor, 8, text.as_bytes()); // TensorProto.string_val
        let mut v = Vec::new();
        text_field(&mut v, 1, name.as_bytes()); // Summary.Value.tag
        text_field(&mut v, 8, &tensor);
        text_field(&mut v, 9, &metadata);
        self.summary(step, &v)
    }

    /// Hands all events to the operating system, where TensorBoard sees them.
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|e| Error::io("write", &self.path, e))
    }

    /// The event file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn summary(&mut self, step: u64, value: &[u8]) -> Result<()> {
        let mut summary = Vec::with_capacity(value.len() + 8);
        text_field(&mut summary, 1, value); // Summary.value
        self.event(step, |event| text_field(event, 5, &summary)) // Event.summary
    }

    fn event(&mut self, step: u64, what: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let mut event = Vec::new();
        tag(&mut event, 1, 1); // Event.wall_time (double, seconds)
        event.extend(now().to_le_bytes());
        if step > 0 {
            tag(&mut event, 2, 0); // Event.step
            varint(&mut event, step);
        }
        what(&mut event);
        self.out.write_all(&record(&event)).map_err(|e| Error::io("write", &self.path, e))
    }
}

const PREFIX: &str = "events.out.tfevents.";

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// A TFRecord around `data`.
pub fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(data.len() + 16);
    out.extend(length);
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked_crc(data).to_le_bytes());
    out
}

/// CRC-32C, rotated and shifted, since a CRC of data that holds its own CRC is no good
/// (tensorflow/core/lib/hash/crc32c.h).
pub fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protobuf field's tag: its number and its wire type (0 varint, 1 64-bit, 2 bytes, 5 32-bit).
fn tag(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A field of bytes: a text or a nested message.
fn text_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    tag(out, field, 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}
