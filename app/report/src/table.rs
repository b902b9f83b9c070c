//! A plain-text table for the terminal; Chinese, Japanese and Korean characters count as two columns.
//!
//! ```
//! use athanor_report::table::{Align, Table};
//! let mut table = Table::new(&[("task", Align::Left), ("accuracy", Align::Right)]);
//! table.row(["情感分类", "0.913"]);
//! table.row(["rte", "0.71"]);
//! assert_eq!(
//!     table.to_string(),
//!     "task      accuracy\n\
//!      ────────  ────────\n\
//!      情感分类     0.913\n\
//!      rte           0.71\n"
//! );
//! ```

use std::fmt;

use unicode_width::UnicodeWidthStr;

/// On which side a column's cells are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table: columns with a title each, and rows of cells.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows. If every title is empty, no heading is shown.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self { columns: columns.iter().map(|(t, a)| (clean(t), *a)).collect(), rows: Vec::new() }
    }

    /// A table with these titles; the columns of titles that begin with `>` have numbers, on the right side.
    pub fn with_titles(titles: &[&str]) -> Self {
        let column = |title: &&str| match title.strip_prefix('>') {
            Some(title) => (clean(title), Align::Right),
            None => (clean(title), Align::Left),
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, cells beyond the last column are left out.
    pub fn row<I>(&mut self, cells: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut row: Vec<String> = cells.into_iter().map(|c| clean(c.as_ref())).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
        self
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// How many terminal columns a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// One line without control characters: what comes from data must not move the cursor.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '⏎',
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| {
                let cells = self.rows.iter().filter_map(|r| r.get(i)).map(|c| width(c));
                cells.max().unwrap_or(0).max(width(&self.columns[i].0))
            })
            .collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            let mut out = String::new();
            for (i, (cell, (_, align))) in cells.iter().zip(&self.columns).enumerate() {
                let pad = " ".repeat(widths[i].saturating_sub(width(cell)));
                if i > 0 {
                    out.push_str("  ");
                }
                match align {
                    Align::Left => out.extend([cell.as_str(), &pad]),
                    Align::Right => out.extend([pad.as_str(), cell]),
                }
            }
            writeln!(f, "{}", out.trim_end())
        };
        if self.columns.iter().any(|(title, _)| !title.is_empty()) {
            line(f, &self.columns.iter().map(|(t, _)| t.clone()).collect::<Vec<_>>())?;
            line(f, &widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>())?;
        }
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Right)]);
        table.row(["a\x1b[31m\nb", "1"]).row(["c"]);
        assert_eq!(table.to_string(), "a\u{fffd}[31m⏎b  1\nc\n");
    }
}
