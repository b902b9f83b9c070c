//! Project Gutenberg's front and end matter.
//!
//! Its files have changed their dress since 1971: "Small Print" headers, `***START OF THE PROJECT
//! GUTENBERG EBOOK`, credits in a paragraph behind the header or in a bracket. Copies in corpora
//! often lack the header and keep the credits. So each part is found by itself, and a text without
//! any of them is left alone.

use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{Outcome, Step, parameters};

section! {
    /// Project Gutenberg.
    pub struct Gutenberg {
        /// Search for headers, credits and notes of the edition in this many paragraphs at each end.
        edge_paragraphs: usize = 40,
    }
}

impl Check for Gutenberg {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.edge_paragraphs > 0, "edge_paragraphs", "must be at least 1")
    }
}

/// Lines that end a header; what comes before goes.
const HEADER_ENDS: &[&str] = &[
    "*** start of th",
    "***start of th",
    "*** start of project gutenberg",
    "*end*the small print",
    "*end the small print",
    "*end* the small print",
    "***start** the small print",
];

/// Lines that begin a footer; what comes behind goes.
const FOOTER_STARTS: &[&str] = &[
    "*** end of th",
    "***end of th",
    "*** end of project gutenberg",
    "end of project gutenberg",
    "end of the project gutenberg",
    "end of this project gutenberg",
    "end of this etext",
    "this file should be named",
    "***start**the small print",
    "***start** the small print",
    "this is the full project gutenberg license",
    "start: full license",
];

/// Paragraphs near the ends that begin so are credits.
const CREDITS: &[&str] = &[
    "produced by",
    "e-text prepared by",
    "etext prepared by",
    "this etext was",
    "this e-text was",
    "this ebook was",
    "transcribed from",
    "transcribed by",
    "scanned by",
    "scanned and proof",
    "prepared by",
    "proofread by",
    "proofed by",
    "html version by",
    "digitized by",
    "updated editions will",
    "note: project gutenberg",
    "note: this etext",
    "note: images of the original",
    "note: the original",
    "this ebook is for the use of anyone",
    "the project gutenberg",
    "project gutenberg",
    "copyright laws are changing",
    "please take a look at the important information",
    "most recently updated",
    "posting date:",
    "release date:",
    "[ebook #",
    "[etext #",
];

/// Paragraphs anywhere that begin so are the transcriber's.
const NOTES: &[&str] = &[
    "transcriber's note",
    "transcribers' note",
    "transcriber note",
    "transcriber’s note",
    "[transcriber's note",
    "[transcriber’s note",
    "[transcriber:",
    "[tr. note",
    "[etext editor",
    "[e-text editor",
];

/// Notes on the electronic edition near the beginning: what its makers did to the letters.
const EDITION: &[&str] = &[
    "digraphs, accents and italics have been",
    "spelling has been modernized",
    "italics are indicated",
    "italics have been",
    "footnotes have been moved",
    "page numbers have been",
    "the spelling of the original",
    "greek words have been",
];

impl Step for Gutenberg {
    fn apply(&self, text: &str) -> Outcome {
        let lines: Vec<&str> = text.split('\n').collect();
        let (start, end) = body(&lines);
        // Paragraphs keep their lines; the empty ones between are kept as they are.
        let mut kept: Vec<&str> = Vec::with_capacity(end - start);
        let paragraphs = paragraphs(&lines[start..end]);
        let last = paragraphs.len().saturating_sub(self.edge_paragraphs);
        let mut in_note = false;
        for (n, paragraph) in paragraphs.iter().enumerate() {
            let first = paragraph.iter().find(|l| !l.trim().is_empty()).copied().unwrap_or("");
            let first = first.trim_start_matches(|c: char| {
                c.is_whitespace() || matches!(c, '\u{FEFF}' | '_' | '=')
            });
            let edge = n < self.edge_paragraphs || n >= last;
            // A bracketed note may run over several paragraphs; one that is never closed ends here.
            let closes = paragraph.iter().any(|l| l.contains(']'));
            if in_note {
                in_note = !closes && edge;
                if edge {
                    continue;
                }
            }
            let note = begins(first, NOTES);
            if note {
                in_note = first.starts_with('[') && !closes;
            }
            if note || (edge && (begins(first, CREDITS) || begins(first, EDITION))) {
                continue;
            }
            let pictures = |l: &&&str| !begins(l.trim(), &["[illustration]", "[illustration:"]);
            if paragraph.iter().filter(pictures).count() < paragraph.len() && closes {
                // A picture's place or caption, whole.
                if begins(first, &["[illustration"]) {
                    continue;
                }
            }
            kept.extend(paragraph.iter());
        }
        let out = kept.join("\n");
        let out = out.trim_matches(|c: char| c == '\n' || c == '\u{1A}');
        if out.len() == text.trim_matches('\n').len() {
            Outcome::Keep
        } else if out.trim().is_empty() {
            Outcome::Drop("nothing but front and end matter")
        } else {
            Outcome::Change(out.into())
        }
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

/// The lines between header and footer.
fn body(lines: &[&str]) -> (usize, usize) {
    let half = lines.len().div_ceil(2);
    let begins_with = |line: &str, list| begins(line.trim_start(), list);
    // The last header line in the first half, the first footer line behind it and in the second.
    let start = lines[..half]
        .iter()
        .rposition(|l| begins_with(l, HEADER_ENDS))
        .map_or(0, |at| at + 1 + continued(&lines[at + 1..]));
    let from = half.max(start);
    let end = lines[from..]
        .iter()
        .position(|l| begins_with(l, FOOTER_STARTS))
        .map_or(lines.len(), |at| from + at);
    // Short texts: a footer may begin in the first half, behind a header.
    let end = if start > 0 && start < half {
        let early = lines[start..half].iter().position(|l| begins_with(l, FOOTER_STARTS));
        early.map_or(end, |at| start + at)
    } else {
        end
    };
    (start, end.max(start))
}

/// A `*** START` line may be broken over two or three lines; how many belong to it still.
fn continued(lines: &[&str]) -> usize {
    let near = lines.iter().take(3).take_while(|l| !l.trim().is_empty());
    let ends = near.enumerate().find(|(_, l)| l.trim_end().ends_with("***"));
    ends.map_or(0, |(n, _)| n + 1)
}

/// Runs of lines with the empty lines behind them.
fn paragraphs<'a, 'b>(lines: &'a [&'b str]) -> Vec<&'a [&'b str]> {
    let mut out = Vec::new();
    let mut start = 0;
    for i in 1..=lines.len() {
        let ends =
            i == lines.len() || (lines[i - 1].trim().is_empty() && !lines[i].trim().is_empty());
        if ends && start < i {
            out.push(&lines[start..i]);
            start = i;
        }
    }
    out
}

fn begins(line: &str, list: &[&str]) -> bool {
    list.iter().any(|s| line.get(..s.len()).is_some_and(|l| l.eq_ignore_ascii_case(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        match Gutenberg::default().apply(text) {
            Outcome::Keep => text.to_string(),
            Outcome::Change(out) => out,
            other => panic!("{other:?}"),
        }
    }

    const STORY: &str = "CHAPTER I\n\nHe produced by and by a coin,\nat the end of this business.\n\n\nIt was a project.";

    #[test]
    fn all_dresses() {
        let headers = [
            "The Project Gutenberg EBook of X, by Y\n\nThis eBook is for the use of anyone anywhere\nat no cost\n\nTitle: X\n\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\n\n\n\nProduced by A. B. and the Online\nTeam at http://www.pgdp.net\n\n\n",
            "***START OF THE PROJECT GUTENBERG EBOOK A VERY LONG\nTITLE INDEED***\n\n\nE-text prepared by A. B.\n\n",
            "*****The Project Gutenberg Etext*****\n\nInfo\n\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n",
            "\u{FEFF}[Transcriber's Note: Two\n\nparagraphs of it.]\n\n",
            "Transcriber's note: Facsimile of Title page\n\n",
            "",
        ];
        let footers = [
            "\n\n\n\n\nEnd of the Project Gutenberg EBook of X, by Y\n\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\n\nUpdated editions will replace\n",
            "\n\n***END OF THE PROJECT GUTENBERG EBOOK X***\n\n\n******* This file should be named 1.txt\n",
            "\n\nEnd of this Etext of X\n\n\n\n",
            "\n\u{1A}",
            "",
        ];
        for header in headers {
            for footer in footers {
                let text = format!("{header}{STORY}{footer}");
                assert_eq!(clean(&text), STORY, "{text}");
            }
        }
    }

    #[test]
    fn pictures_go_and_other_texts_stay() {
        let text = "One.\n\n[Illustration: A horse.\nIn two lines.]\n\nTwo.";
        assert_eq!(clean(text), "One.\n\nTwo.");
        for text in ["End of the line.\nProject plans.", "", "『春』\n\n*** 終 ***", "[Exeunt.]"]
        {
            assert_eq!(Gutenberg::default().apply(text), Outcome::Keep, "{text}");
        }
    }
}
