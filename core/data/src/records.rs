//! JSON lines, plain or packed: one object a line.

use std::path::Path;

use athanor_store::{Error, Result};
use serde_json::{Map, Value};

use crate::compressed::{self, Line, Reader};

/// A longer line is refused rather than read into memory, unless another bound is given.
pub const MAX_LINE_BYTES: usize = 64 << 20;

/// One object: its fields in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(pub Map<String, Value>);

impl Record {
    /// A field.
    ///
    /// # Errors
    /// Input, naming the fields that there are.
    pub fn field(&self, name: &str) -> Result<&Value> {
        self.0.get(name).ok_or_else(|| {
            let near = athanor_store::nearest(name, self.0.keys().map(String::as_str));
            let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            // The hint is left to callers, who know which key or option names the field.
            Error::input(format!("no field `{name}`{near}; {}", self.names()))
        })
    }

    /// A field that holds text.
    ///
    /// # Errors
    /// Input, if it is missing or holds something else.
    pub fn text(&self, name: &str) -> Result<&str> {
        let value = self.field(name)?;
        value.as_str().ok_or_else(|| {
            Error::input(format!("field `{name}` should be a text, found {}", short(value)))
        })
    }

    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        format!("the record's fields are {}", names.join(", "))
    }
}

/// A value's JSON, cut for an error message.
fn short(value: &Value) -> String {
    let json = value.to_string();
    let mut cut: String = json.chars().take(60).collect();
    if cut.len() < json.len() {
        cut.push('…');
    }
    cut
}

/// Opens a file of JSON lines; packing is known by its content ([`crate::compressed`]).
///
/// # Errors
/// Those of opening; from the iterator: input errors with file and line for a line that is no JSON
/// object, is no UTF-8 or is longer than [`MAX_LINE_BYTES`], and for a packed file without
/// its end. After an error there are no more records, unless [`Records::lenient`].
pub fn open(path: impl AsRef<Path>) -> Result<Records> {
    Ok(Records::of(compressed::open(path)?))
}

/// Opens a text file, plain or packed, line by line without the line ends; a byte order mark at its
/// beginning is left out.
///
/// # Errors
/// As [`open`].
pub fn lines(path: impl AsRef<Path>) -> Result<Lines> {
    Ok(Lines::of(compressed::open(path)?))
}

/// The records of a file.
#[derive(Debug)]
pub struct Records {
    lines: Lines,
}

impl Records {
    /// The records of an open file.
    pub fn of(reader: Reader) -> Self {
        Self { lines: Lines::of(reader) }
    }

    /// `FILE:LINE` of the record that came last.
    pub fn place(&self) -> String {
        self.lines.place()
    }

    /// Goes on behind a bad line; only a damaged file ends the records.
    pub fn lenient(mut self) -> Self {
        self.lines.lenient = true;
        self
    }

    /// Another bound than [`MAX_LINE_BYTES`].
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.lines = self.lines.at_most(bytes);
        self
    }

    /// Whether the line that came last was longer than it may be.
    pub fn too_long(&self) -> bool {
        self.lines.too_long()
    }

    /// Bytes of the line that came last, its end included.
    pub fn line_bytes(&self) -> u64 {
        self.lines.size
    }

    /// Whether there is nothing more to come.
    pub fn ended(&self) -> bool {
        self.lines.ended
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.lines.next()? {
                Ok(line) => line,
                Err(e) => return Some(Err(e)),
            };
            if line.trim().is_empty() {
                continue;
            }
            let error = match serde_json::from_str(&line) {
                Ok(Value::Object(map)) => return Some(Ok(Record(map))),
                Ok(other) => format!("a JSON object was expected, found {}", short(&other)),
                Err(e) => {
                    // The line is ours to name; the column is all that serde_json knows of it.
                    let what = e.to_string();
                    let what = what.rsplit_once(" at line ").map_or(what.as_str(), |w| w.0);
                    let found: String = line.chars().take(60).collect();
                    format!("bad JSON at column {}: {what}; the line begins {found:?}", e.column())
                }
            };
            self.lines.ended = !self.lines.lenient;
            return Some(Err(Error::input(error)
                .at(self.place())
                .hint("each line should be one JSON object, as in {\"text\": \"…\"}")));
        }
    }
}

/// The lines of a text file.
#[derive(Debug)]
pub struct Lines {
    reader: Reader,
    line: u64,
    buffer: Vec<u8>,
    ended: bool,
    lenient: bool,
    size: u64,
    most: usize,
}

impl Lines {
    /// The lines of an open file.
    pub fn of(reader: Reader) -> Self {
        Self {
            reader,
            line: 0,
            buffer: Vec::new(),
            ended: false,
            lenient: false,
            size: 0,
            most: MAX_LINE_BYTES,
        }
    }

    /// Another bound than [`MAX_LINE_BYTES`].
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// Whether the line that came last was longer than it may be.
    pub fn too_long(&self) -> bool {
        self.size > self.most as u64
    }

    /// Goes on behind a bad line; only a damaged file ends the lines.
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Bytes of the line that came last, its end included.
    pub fn line_bytes(&self) -> u64 {
        self.size
    }

    /// Whether there is nothing more to come.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// `FILE:LINE` of the line that came last.
    pub fn place(&self) -> String {
        format!("{}:{}", self.reader.path().display(), self.line)
    }

    /// Reads up to and with the next line end; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        self.line += 1;
        match self.reader.line(&mut self.buffer, self.most) {
            Err(e) => {
                self.ended = true;
                Err(self.reader.error(e, self.place()))
            }
            Ok(Line::End) => Ok(false),
            Ok(Line::Whole) => {
                self.size = self.buffer.len() as u64;
                Ok(true)
            }
            Ok(Line::TooLong(bytes)) => {
                self.size = bytes;
                let most = match self.most >> 20 {
                    0 => format!("{} bytes", self.most),
                    mib => format!("{mib} MiB"),
                };
                Err(Error::input(format!("a line of more than {most}"))
                    .at(self.place())
                    .hint("one document a line, and long ones split; or is this no text file?"))
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let line = match self.fill() {
            Ok(true) => {
                if self.buffer.last() == Some(&b'\n') {
                    self.buffer.pop();
                }
                let start =
                    if self.line == 1 && self.buffer.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
                match std::str::from_utf8(&self.buffer[start..]) {
                    Ok(text) => return Some(Ok(text.to_string())),
                    Err(e) => Err(Error::input(format!(
                        "not UTF-8 text at byte {} of the line",
                        e.valid_up_to() + start + 1
                    ))
                    .at(self.place())
                    .hint("convert the file, for instance with `iconv -f GB18030 -t UTF-8`")),
                }
            }
            Ok(false) => {
                self.ended = true;
                return None;
            }
            Err(e) => Err(e),
        };
        self.ended |= !self.lenient;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn write(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn error(bytes: &[u8]) -> String {
        let file = write(bytes);
        let mut records = open(file.path()).unwrap();
        let error = records.find_map(|r| r.err()).unwrap().to_string();
        assert!(records.next().is_none(), "nothing after an error");
        error.replace(&file.path().display().to_string(), "F")
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn plain_and_gzip() {
        let text = "\u{FEFF}{\"text\": \"春\", \"n\": 1}\r\n\n{\"text\": \"b\"}";
        let double = [gzip(b"{\"text\": \"x\"}\n"), gzip(b"{\"text\": \"y\"}\n")].concat();
        for (bytes, want) in [
            (text.as_bytes().to_vec(), ["春", "b"]),
            (gzip(text.as_bytes()), ["春", "b"]),
            (double, ["x", "y"]),
        ] {
            let file = write(&bytes);
            let got: Vec<Record> = open(file.path()).unwrap().collect::<Result<_>>().unwrap();
            let got: Vec<&str> = got.iter().map(|r| r.text("text").unwrap()).collect();
            assert_eq!(got, want);
        }
    }

    #[test]
    fn errors_name_the_line() {
        let bad = error(b"{\"a\": 1}\n{\"a\": 1,}\n");
        assert!(
            bad.starts_with("F:2: bad JSON at column 9") && bad.contains(r#"{\"a\": 1,}"#),
            "{bad}"
        );
        assert!(error(b"[1]\n").starts_with("F:1: a JSON object was expected, found [1]"));
        assert!(error(b"{}\n\n{\"a\": \"\xFF\"}\n").starts_with("F:3: not UTF-8 text at byte 8"));
        let whole = gzip("{\"text\": \"some text\"}\n".repeat(50).as_bytes());
        assert!(error(&whole[..whole.len() - 9]).contains("gzip file is torn"));
        let mut flipped = whole.clone();
        let n = flipped.len();
        flipped[n - 6] ^= 1;
        assert!(error(&flipped).contains("damaged"), "{}", error(&flipped));
        let record = Record(serde_json::from_str(r#"{"text": 1}"#).unwrap());
        assert!(record.text("txt").unwrap_err().to_string().contains("did you mean `text`"));
        assert!(record.text("text").unwrap_err().to_string().contains("found 1"));
    }

    #[test]
    fn a_huge_line_is_refused_in_bounded_memory() {
        // 200 MB of one letter in a small gzip file.
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..200 {
            out.write_all(&vec![b'a'; 1 << 20]).unwrap();
        }
        assert!(error(&out.finish().unwrap()).starts_with("F:1: a line of more than 64 MiB"));
    }
}
