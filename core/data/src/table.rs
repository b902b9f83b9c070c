//! Rows of a table, whatever the file is packed with: CSV (RFC 4180), and text between tabs, with quotes or
//! without.
//!
//! Memory is bounded: of a row that is too long, because it is one or because a quote is never closed, nothing
//! is kept; it is read over and said to be there.

use std::io::BufRead;

use athanor_store::Result;

use crate::compressed::Reader;

/// Fields of a row; one of more is too long.
pub const MAX_FIELDS: usize = 10_000;

/// The rows of a file, the first one, which may name the columns, being a row like the others.
pub struct Table {
    reader: Reader,
    parser: csv_core::Reader,
    /// A row has at most so many bytes.
    most: usize,
    /// The fields of the row, one behind the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
    /// The line that is read, and that where the row begins.
    at: u64,
    begins: u64,
    bytes: u64,
}

/// What [`Table::read`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// The end of the file.
    End,
    /// A row.
    Whole,
    /// One of more bytes than wanted, or of more than [`MAX_FIELDS`] fields.
    TooLong,
}

impl Table {
    /// The rows of an open file, none of more than `most` bytes.
    pub fn of(reader: Reader, delimiter: u8, quoting: bool, most: usize) -> Self {
        let parser = csv_core::ReaderBuilder::new().delimiter(delimiter).quoting(quoting).build();
        Self {
            reader,
            parser,
            most: most.max(1),
            text: vec![0; 1 << 10],
            ends: vec![0; 32],
            fields: 0,
            at: 1,
            begins: 1,
            bytes: 0,
        }
    }

    /// `FILE:LINE` where the row begins.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.reader.path().display(), self.begins)
    }

    /// The line where the row begins.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.begins
    }

    /// Bytes of the row in the unpacked file, its end included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The row's fields.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let start = |n: usize| if n == 0 { 0 } else { self.ends[n - 1] };
        (0..self.fields).map(move |n| &self.text[start(n)..self.ends[n]])
    }

    /// Reads the next row that is not empty.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(&mut self) -> Result<Row> {
        (self.fields, self.bytes) = (0, 0);
        let place = |t: &Self| format!("{}:{}", t.reader.path().display(), t.at);
        // Empty lines are none, so a row begins behind them.
        loop {
            let place = place(self);
            let input = match self.reader.fill_buf() {
                Ok(input) => input,
                Err(e) => return Err(self.reader.error(e, place)),
            };
            let ends = input.iter().take_while(|b| matches!(**b, b'\n' | b'\r')).count();
            if ends == 0 {
                break;
            }
            self.at += lines(&input[..ends]);
            self.bytes += ends as u64;
            self.reader.consume(ends);
        }
        self.begins = self.at;
        let (mut text, mut fields, mut too_long) = (0, 0, false);
        loop {
            if too_long {
                (text, fields) = (0, 0);
            }
            let place = place(self);
            let input = match self.reader.fill_buf() {
                Ok(input) => input,
                Err(e) => return Err(self.reader.error(e, place)),
            };
            let (found, taken, written, ended) =
                self.parser.read_record(input, &mut self.text[text..], &mut self.ends[fields..]);
            self.at += lines(&input[..taken]);
            self.bytes += taken as u64;
            self.reader.consume(taken);
            text += written;
            fields += ended;
            too_long |= self.bytes > self.most as u64;
            match found {
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::OutputFull => match self.text.len() {
                    all if all >= self.most => too_long = true,
                    all if !too_long => self.text.resize((2 * all).min(self.most), 0),
                    _ => {}
                },
                csv_core::ReadRecordResult::OutputEndsFull => match self.ends.len() {
                    all if all >= MAX_FIELDS => too_long = true,
                    all if !too_long => self.ends.resize((2 * all).min(MAX_FIELDS), 0),
                    _ => {}
                },
                csv_core::ReadRecordResult::Record if too_long => return Ok(Row::TooLong),
                csv_core::ReadRecordResult::Record => {
                    self.fields = fields;
                    return Ok(Row::Whole);
                }
                csv_core::ReadRecordResult::End => return Ok(Row::End),
            }
        }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("place", &self.place()).finish_non_exhaustive()
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::compressed;

    /// Rows as `LINE+BYTES:FIELD|FIELD`.
    fn rows(text: &[u8], quoting: bool, most: usize) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let mut table = Table::of(compressed::open(file.path()).unwrap(), b',', quoting, most);
        let mut out = Vec::new();
        loop {
            let row = table.read().unwrap();
            let head = format!("{}+{}", table.line(), table.bytes());
            match row {
                Row::End => return out,
                Row::TooLong => out.push(format!("{head}: too long")),
                Row::Whole => {
                    let fields: Vec<_> = table.fields().map(String::from_utf8_lossy).collect();
                    out.push(format!("{head}:{}", fields.join("|")));
                }
            }
        }
    }

    #[test]
    fn rows_with_their_lines_and_sizes() {
        let text = b"\xEF\xBB\xBFa,b\r\n\"x \"\"y\"\"\nz\",\r\n\n\n1,\"2\"";
        // The line feed behind a carriage return counts to the next row, as empty lines do.
        assert_eq!(rows(text, true, 100), ["1+7:a|b", "2+14:x \"y\"\nz|", "6+8:1|2"]);
        assert_eq!(rows(b"a,\"b\n\"c,d\n", false, 100), ["1+5:a|\"b", "2+5:\"c|d"]);
        assert_eq!(rows(b"", true, 100), [""; 0]);
        assert_eq!(rows(b"\n\n", true, 100), [""; 0]);
    }

    #[test]
    fn what_is_too_long_is_read_over() {
        let long = "x".repeat(5000);
        let text = format!("a,b\n{long},\"{long}\"\nc,d\n{}\ne,f\n", ",".repeat(20_000));
        let want = ["1+4:a|b", "2+10004: too long", "3+4:c|d", "4+20001: too long", "5+4:e|f"];
        assert_eq!(rows(text.as_bytes(), true, 9000), want);
        // With room for the bytes it is the number of fields.
        let want = ["1+4:a|b".into(), format!("2+10004:{long}|{long}"), "3+4:c|d".into()];
        assert_eq!(rows(text.as_bytes(), true, 1 << 20)[..3], want);
        assert_eq!(rows(text.as_bytes(), true, 1 << 20)[3..], ["4+20001: too long", "5+4:e|f"]);
        // A quote that is never closed takes the rest, and no memory.
        let open = format!("a,b\n\"{}", "c,d\n".repeat(5000));
        assert_eq!(rows(open.as_bytes(), true, 1000), ["1+4:a|b", "2+20001: too long"]);
    }
}
