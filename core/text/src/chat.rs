//! Conversations as token ids, with a mask of what the assistant said.
//!
//! Two things here guard training and serving:
//! - What people wrote stays text. A special token's name in a message (`<|end|>`) is broken by a
//!   character that occurs nowhere else before the template runs, and mended behind it, so that
//!   only the template's own special tokens are read as such.
//! - The mask is taken from the rendered text, by the template's own `{% generation %}` marks or
//!   by rendering each prefix of the conversation, so that it holds for any template.

use std::ops::Range;

use athanor_store::{Error, Result};
use tokenizers::AddedToken;

use crate::{ChatTemplate, Message, Tokenizer};

/// The conversation's token ids, each with whether it is the assistant's: its words and the token
/// that closes its turn.
///
/// # Errors
/// Input: the template refuses the conversation, or writes an assistant's turn differently when
/// more turns follow, so that the mask cannot be found.
pub fn encode_chat(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[Message],
) -> Result<Vec<(u32, bool)>> {
    let specials = tokenizer.special_added();
    let guard = Guard::new(template, messages)?;
    let messages = guard.protect(messages, &specials);
    let (text, spans) = if template.is_marked() {
        marked_spans(template, &messages, guard.mark)?
    } else {
        prefix_spans(template, &messages, &specials)?
    };
    let tokens = guard.encode(tokenizer, &specials, &text)?;
    let inside = |a: usize, b: usize| {
        spans.iter().any(|s| if a == b { s.contains(&a) } else { a < s.end && b > s.start })
    };
    Ok(tokens.into_iter().map(|(id, a, b)| (id, inside(a, b))).collect())
}

/// The token ids that ask the assistant for its next turn.
///
/// # Errors
/// As [`encode_chat`].
pub fn encode_prompt(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[Message],
) -> Result<Vec<u32>> {
    let specials = tokenizer.special_added();
    let guard = Guard::new(template, messages)?;
    let text = template.render(&guard.protect(messages, &specials), true)?;
    let tokens = guard.encode(tokenizer, &specials, &text)?;
    Ok(tokens.into_iter().map(|t| t.0).collect())
}

/// The token ids that stand between the assistant's last turn, which ends with the token that closes it, and its
/// next: the rest of that turn in the template, the messages `said`, and the request for the next turn. `before`
/// is the conversation up to and with the last turn. Nothing that is there already is encoded again.
///
/// # Errors
/// Input: the template refuses the conversation, or writes what is there differently when more follows.
pub fn encode_continuation(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    before: &[Message],
    said: &[Message],
) -> Result<Vec<u32>> {
    let specials = tokenizer.special_added();
    let all: Vec<Message> = before.iter().chain(said).cloned().collect();
    let guard = Guard::new(template, &all)?;
    let all = guard.protect(&all, &specials);
    let turn = template.render(&all[..before.len()], false)?;
    let whole = template.render(&all, true)?;
    let added = whole.strip_prefix(turn.as_str()).ok_or_else(|| {
        Error::input(format!(
            "chat template: it writes message {} differently when others follow, so a conversation cannot go on",
            before.len()
        ))
        .hint("use a template that leaves earlier messages as they are")
    })?;
    // What the template writes behind the token that closes a turn, such as ChatML's line end.
    let rest = &turn[turn.trim_end().len()..];
    let tokens = guard.encode(tokenizer, &specials, &format!("{rest}{added}"))?;
    Ok(tokens.into_iter().map(|t| t.0).collect())
}

/// Two characters that occur in no message and not in the template.
struct Guard {
    /// Breaks special tokens' names in messages.
    guard: char,
    /// Is where the template marks the assistant's text.
    mark: char,
}

impl Guard {
    fn new(template: &ChatTemplate, messages: &[Message]) -> Result<Self> {
        let free = |c: &char| {
            !template.source().contains(*c)
                && messages.iter().all(|m| !m.content.contains(*c) && !m.role.contains(*c))
        };
        // Private-use characters: text hardly ever has one.
        let mut found = ('\u{F0000}'..='\u{FFFFD}').filter(free);
        match (found.next(), found.next()) {
            (Some(guard), Some(mark)) => Ok(Self { guard, mark }),
            _ => Err(Error::input("the conversation uses up a whole private-use plane of Unicode")),
        }
    }

    /// The messages with special tokens' names broken.
    fn protect(&self, messages: &[Message], specials: &[(u32, AddedToken)]) -> Vec<Message> {
        let protect = |text: &str| {
            let mut out = text.to_string();
            for (_, token) in specials {
                let name = token.content.as_str();
                let Some(first) = name.chars().next() else { continue };
                if out.contains(name) {
                    let broken = format!("{first}{}{}", self.guard, &name[first.len_utf8()..]);
                    out = out.replace(name, &broken);
                }
            }
            // The beginning of a name at the end could join what the template writes behind it.
            let joins = specials.iter().any(|(_, token)| {
                let name = &token.content;
                name.char_indices().skip(1).any(|(i, _)| out.ends_with(&name[..i]))
            });
            if joins {
                out.push(self.guard);
            }
            out
        };
        messages.iter().map(|m| Message::new(protect(&m.role), protect(&m.content))).collect()
    }

    /// Token ids of a rendered text, with the bytes of it that each stands for.
    fn encode(
        &self,
        tokenizer: &Tokenizer,
        specials: &[(u32, AddedToken)],
        text: &str,
    ) -> Result<Vec<(u32, usize, usize)>> {
        if !text.contains(self.guard) {
            return tokenizer.encode_offsets(text);
        }
        let mut out = Vec::new();
        for (range, special) in segments(text, specials) {
            match special {
                Some(id) => out.push((id, range.start, range.end)),
                None => {
                    let piece = &text[range.clone()];
                    let clean = piece.replace(self.guard, "");
                    // Bytes of the clean piece back to bytes of `text`.
                    let guards: Vec<usize> = piece.match_indices(self.guard).map(|g| g.0).collect();
                    let width = self.guard.len_utf8();
                    let back = |at: usize| {
                        let passed = (guards.iter().enumerate())
                            .take_while(|&(n, &g)| g - n * width < at)
                            .count();
                        range.start + at + passed * width
                    };
                    let tokens = tokenizer.encode_plain_offsets(&clean)?;
                    out.extend(tokens.into_iter().map(|(id, a, b)| (id, back(a), back(b))));
                }
            }
        }
        Ok(out)
    }
}

/// Cuts a text at special tokens: leftmost first, the longest of those that begin there.
fn segments(text: &str, specials: &[(u32, AddedToken)]) -> Vec<(Range<usize>, Option<u32>)> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let found = (specials.iter())
            .find(|(_, t)| !t.content.is_empty() && rest.starts_with(t.content.as_str()));
        let Some((id, token)) = found else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let mut end = at + token.content.len();
        let mut before = at;
        if token.lstrip {
            before = start + text[start..at].trim_end().len();
        }
        if token.rstrip {
            end = text.len() - text[end..].trim_start().len();
        }
        if start < before {
            out.push((start..before, None));
        }
        out.push((before..end, Some(*id)));
        start = end;
        at = end;
    }
    if start < text.len() {
        out.push((start..text.len(), None));
    }
    out
}

/// The rendered conversation and the assistant's parts of it, by the template's own marks.
fn marked_spans(
    template: &ChatTemplate,
    messages: &[Message],
    mark: char,
) -> Result<(String, Vec<Range<usize>>)> {
    let text = template.render_marked(messages, false, Some(mark))?;
    let mut clean = String::with_capacity(text.len());
    let mut marks = Vec::new();
    for (i, part) in text.split(mark).enumerate() {
        if i > 0 {
            marks.push(clean.len());
        }
        clean += part;
    }
    let spans = marks.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
    Ok((clean, spans))
}

/// The rendered conversation and the assistant's parts of it: what an assistant's message adds to
/// the rendered prompt before it, up to the special token that closes it.
fn prefix_spans(
    template: &ChatTemplate,
    messages: &[Message],
    specials: &[(u32, AddedToken)],
) -> Result<(String, Vec<Range<usize>>)> {
    let text = template.render(messages, false)?;
    let mut spans = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        if message.role != "assistant" {
            continue;
        }
        let prompt = template.render(&messages[..i], true)?;
        let turn = template.render(&messages[..=i], false)?;
        let Some(added) = turn.strip_prefix(&prompt).filter(|_| text.starts_with(&turn)) else {
            return Err(Error::input(format!(
                "chat template: it writes message {} differently when others follow, so the \
                 assistant's part cannot be found",
                i + 1
            ))
            .hint("put {% generation %} … {% endgeneration %} around it in the template"));
        };
        // ChatML writes a line end behind the closing token: not the assistant's.
        let trimmed = added.trim_end();
        let closed = specials.iter().any(|(_, t)| trimmed.ends_with(t.content.as_str()));
        let length = if closed { trimmed.len() } else { added.len() };
        spans.push(prompt.len()..prompt.len() + length);
    }
    Ok((text, spans))
}
