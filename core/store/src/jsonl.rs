//! JSON lines: one object a line, appended; a line torn by a crash is no harm.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{Error, Result, write_atomic_with};

/// A file of JSON lines, open for appending. Dropped, it is flushed, without a word on failure.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    out: BufWriter<File>,
}

impl JsonLines {
    /// Opens `path` for appending, creating it and the folders above it. A last line that a crash
    /// has torn is cut off first, so that what is appended stands on its own line.
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn append(path: &Path) -> Result<Self> {
        let fail = |e| Error::io("append to", path, e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail)?;
        let (start, tail) = last_line(&mut file).map_err(fail)?;
        let whole = serde_json::from_slice::<Value>(&tail).is_ok();
        if !tail.is_empty() && !whole {
            file.set_len(start).map_err(fail)?;
        }
        file.seek(SeekFrom::End(0)).map_err(fail)?;
        let mut out = BufWriter::new(file);
        if whole {
            out.write_all(b"\n").map_err(fail)?;
        }
        Ok(Self { path: path.to_owned(), out })
    }

    /// Appends one line (buffered).
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn write(&mut self, value: &Value) -> Result<()> {
        writeln!(self.out, "{value}").map_err(|e| Error::io("append to", &self.path, e))
    }

    /// Hands all lines to the operating system: readers see them, and they survive this process.
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|e| Error::io("append to", &self.path, e))
    }

    /// Flushes, and waits until the lines are on the disk: they survive a power cut. Called when a
    /// checkpoint is written.
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.out.get_ref().sync_data().map_err(|e| Error::io("append to", &self.path, e))
    }

    /// Drops the lines that `keep` refuses, and a torn last one, whole or not at all; a file that
    /// is not there is fine. On resume: the records of steps after the checkpoint's. Returns the
    /// number of lines dropped.
    ///
    /// # Errors
    /// Those of [`read_jsonl`] and [`Error::io`].
    pub fn truncate_after(path: &Path, mut keep: impl FnMut(&Value) -> bool) -> Result<usize> {
        if !path.exists() {
            return Ok(0);
        }
        // Two passes, so that nothing is rewritten in the usual case that nothing is to be dropped.
        let mut kept = Vec::new();
        let mut dropped = 0;
        each_line(path, |line| {
            let good = line.is_some_and(|v| keep(&v));
            kept.push(good);
            dropped += usize::from(!good);
        })?;
        if dropped == 0 {
            return Ok(0);
        }
        let input = File::open(path).map_err(|e| Error::io("read", path, e))?;
        write_atomic_with(path, |out| {
            let lines = BufReader::new(input).split(b'\n');
            for line in lines.zip(&kept).filter_map(|(line, good)| good.then_some(line)) {
                let line = line.map_err(|e| Error::io("read", path, e))?;
                out.write_all(&line)
                    .and_then(|()| out.write_all(b"\n"))
                    .map_err(|e| Error::io("write", path, e))?;
            }
            Ok(())
        })?;
        Ok(dropped)
    }
}

/// Reads all lines. A torn last line (no newline, no whole JSON) is left out.
///
/// # Errors
/// Those of [`Error::io`]; any other line that is not JSON is an input error at `FILE:LINE`.
pub fn read_jsonl(path: &Path) -> Result<Vec<Value>> {
    let mut lines = Vec::new();
    each_line(path, |line| lines.extend(line))?;
    Ok(lines)
}

/// Calls `with` for each line; with `None` for an empty or a torn one.
fn each_line(path: &Path, mut with: impl FnMut(Option<Value>)) -> Result<()> {
    let fail = |e| Error::io("read", path, e);
    let mut input = BufReader::new(File::open(path).map_err(fail)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(fail)? == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            with(None);
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(value) => with(Some(value)),
            Err(_) if !line.ends_with(b"\n") => with(None),
            Err(e) => {
                return Err(Error::input(format_args!("bad JSON: {e}"))
                    .at(format_args!("{}:{number}", path.display())));
            }
        }
    }
    Ok(())
}

/// What stands behind the last newline, and where it starts; read from the end, in blocks.
fn last_line(file: &mut File) -> std::io::Result<(u64, Vec<u8>)> {
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut tail = Vec::new();
    while start > 0 {
        let mut block = vec![0; start.min(4096) as usize];
        let from = start - block.len() as u64;
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut block)?;
        if let Some(newline) = block.iter().rposition(|b| *b == b'\n') {
            let mut line = block.split_off(newline + 1);
            line.extend(tail);
            return Ok((from + newline as u64 + 1, line));
        }
        block.extend(tail);
        tail = block;
        start = from;
    }
    Ok((0, tail))
}
