//! Regexes of a tokenizer.json, compiled and run within bounds.
//!
//! Those without look-around or back-references are matched in linear time a match. The others
//! backtrack (fancy-regex): they are tried at one place after the other, each time with a bound on the
//! steps back, and between two places the clock is looked at. A pattern that breaks a bound is an error;
//! the tokenizers crate would silently leave the rest of the text uncut.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use athanor_store::{Error, Result};
use fancy_regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use tokenizers::{Offsets, tokenizer::pattern};

use super::budget::Budget;

/// Bytes of a pattern.
const LONGEST: usize = 4096;
/// Bytes of a compiled part of a pattern; the crate's own default is 10 MiB.
const COMPILED: usize = 1 << 20;
/// Bytes of the cache of a part that is matched by a lazy automaton.
const CACHE: usize = 1 << 20;
/// Steps back from one place of a text.
const STEPS: usize = 100_000;
/// A text is cut for so long, and so much longer for each of its bytes: a hundred times what real
/// patterns take.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_A_BYTE: Duration = Duration::from_micros(10);

/// What a part looks for, as the file has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Source {
    String(String),
    Regex(String),
}

/// [`Source`], compiled.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Text(String),
    /// Linear in time.
    Easy(Regex),
    /// Matches at the place where a search begins alone.
    Hard(Regex),
}

impl Pattern {
    pub(super) fn new(source: &Source, budget: &mut Budget) -> Result<Self> {
        let text = match source {
            Source::String(text) if !text.is_empty() => {
                return Ok(Self(Arc::new(Kind::Text(text.clone()))));
            }
            // The empty text is found everywhere, as the empty regex is.
            Source::String(text) | Source::Regex(text) => text,
        };
        budget.pattern()?;
        budget.limit("bytes of a regex", text.len(), LONGEST)?;
        budget.take("the regexes", compiled_size(text))?;
        let compile = |text: &str| {
            RegexBuilder::new(text)
                .backtrack_limit(STEPS)
                .delegate_size_limit(COMPILED)
                .delegate_dfa_size_limit(CACHE)
                .build()
        };
        let bad = |e: fancy_regex::Error| {
            let shown: String = text.chars().take(60).collect();
            Error::input(format!("bad regex {shown:?}: {e}"))
        };
        let regex = compile(text).map_err(bad)?;
        if regex_syntax::parse(text).is_ok() {
            return Ok(Self(Arc::new(Kind::Easy(regex))));
        }
        drop(regex);
        // The line end closes a comment of the verbose mode.
        let anchored = compile(&format!("\\G(?:{text})"));
        let anchored = anchored.or_else(|_| compile(&format!("\\G(?:{text}\n)")));
        Ok(Self(Arc::new(Kind::Hard(anchored.map_err(bad)?))))
    }

    /// Calls back for each match from left to right, without overlaps; an empty one right behind
    /// another match does not count. As fancy-regex's own iterator.
    fn each(&self, text: &str, mut found: impl FnMut(usize, usize)) -> tokenizers::Result<()> {
        let began = Instant::now();
        let patience = PATIENCE + PATIENCE_A_BYTE * text.len().min(u32::MAX as usize) as u32;
        let (mut at, mut last, mut tries) = (0, None, 0u32);
        while at <= text.len() {
            tries += 1;
            if tries.is_multiple_of(64) && began.elapsed() > patience {
                return Err(format!(
                    "a pattern of the tokeniser takes more than {} s on a text of {} bytes",
                    patience.as_secs(),
                    text.len()
                )
                .into());
            }
            let matched = match &*self.0 {
                Kind::Text(what) => text[at..].find(what).map(|n| (at + n, at + n + what.len())),
                Kind::Easy(regex) => regex.find_from_pos(text, at)?.map(|m| (m.start(), m.end())),
                Kind::Hard(regex) => match regex.find_from_pos(text, at)? {
                    Some(m) => Some((m.start(), m.end())),
                    None => {
                        at = next(text, at);
                        continue;
                    }
                },
            };
            let Some((start, end)) = matched else { break };
            if start < end {
                at = end;
            } else {
                at = next(text, end);
                if last == Some(end) {
                    continue;
                }
            }
            last = Some(end);
            found(start, end);
        }
        Ok(())
    }

    /// How often it matches.
    pub(super) fn count(&self, text: &str) -> tokenizers::Result<usize> {
        let mut n = 0;
        self.each(text, |_, _| n += 1)?;
        Ok(n)
    }
}

/// About how many bytes a pattern takes when it is compiled, measured at fancy-regex 0.17: counts repeat
/// what is before them, and the classes of Unicode are large.
fn compiled_size(pattern: &str) -> usize {
    const PATTERN: usize = 64 << 10;
    const LITERAL: usize = 1 << 10;
    const CLASS: usize = 4 << 10;
    const LARGE_CLASS: usize = 16 << 10;
    const UNICODE_CLASS: usize = 48 << 10;
    let escaped = |c: char| match c {
        'p' | 'P' | 'w' | 'W' => UNICODE_CLASS,
        'd' | 'D' | 's' | 'S' | 'h' | 'H' => LARGE_CLASS,
        _ => LITERAL,
    };
    // Of each open group what is in it so far, and what was last.
    let mut groups = vec![(PATTERN, 0usize)];
    let mut classes = 0;
    let mut chars = pattern.char_indices();
    while let Some((at, c)) = chars.next() {
        let Some((total, last)) = groups.last_mut() else { break };
        let cost = match c {
            '\\' => {
                let c = chars.next().map_or(' ', |(_, c)| c);
                if matches!(c, 'p' | 'P') && chars.as_str().starts_with('{') {
                    chars.find(|(_, c)| *c == '}');
                }
                escaped(c)
            }
            '[' => {
                classes += 1;
                CLASS
            }
            ']' if classes > 0 => {
                classes -= 1;
                continue;
            }
            '(' if classes == 0 => {
                groups.push((0, 0));
                continue;
            }
            ')' if classes == 0 => {
                let (cost, _) = groups.pop().unwrap_or_default();
                let Some((total, last)) = groups.last_mut() else { break };
                *total = total.saturating_add(cost);
                *last = cost;
                continue;
            }
            '{' if classes == 0 => {
                let counts = pattern[at + 1..].split('}').next().unwrap_or("");
                let count = counts.split(',').filter_map(|n| n.trim().parse::<usize>().ok()).max();
                let more = last.saturating_mul(count.unwrap_or(1).saturating_sub(1));
                chars.find(|(_, c)| *c == '}');
                *last = last.saturating_add(more);
                *total = total.saturating_add(more);
                continue;
            }
            _ => LITERAL,
        };
        *total = total.saturating_add(cost);
        *last = if classes > 0 && c != '[' { last.saturating_add(cost) } else { cost };
    }
    groups.into_iter().fold(0, |all, (total, _)| all.saturating_add(total))
}

/// Where the next character begins.
fn next(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}

impl pattern::Pattern for &Pattern {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let mut out = Vec::new();
        let mut before = 0;
        self.each(inside, |start, end| {
            // `\K` may move a match's beginning into the one before.
            let start = start.max(before);
            if start > before {
                out.push(((before, start), false));
            }
            out.push(((start, end.max(start)), true));
            before = end.max(start);
        })?;
        if before < inside.len() {
            out.push(((before, inside.len()), false));
        }
        Ok(out)
    }
}
