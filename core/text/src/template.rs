//! Chat templates: conversations as text, in Hugging Face's Jinja dialect.

use std::path::Path;

use athanor_store::{Error, Result, read_text, write_json};
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{SpecialTokens, files, jinja};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }

    /// A user's turn.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// The assistant's turn.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    /// The system's turn.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }
}

/// A compiled chat template.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    /// bos_token, eos_token and the like, which templates write.
    tokens: Map<String, Value>,
    env: Environment<'static>,
    /// Whether the template marks the assistant's text itself (`{% generation %}`).
    marked: bool,
}

/// Ours: `<|user|>Hello<|end|><|assistant|>Hi<|end|>`. No line ends, which would cost a small model
/// three tokens a turn.
const DEFAULT: &str = "\
{%- for message in messages -%}
{%- if message.role not in ['system', 'user', 'assistant'] -%}
{{- raise_exception('unknown role ' ~ message.role ~ '; system, user or assistant was expected') -}}
{%- endif -%}
{{- '<|' ~ message.role ~ '|>' ~ message.content ~ '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}";

/// Name of the template within its environment.
const NAME: &str = "chat_template";

impl Default for ChatTemplate {
    fn default() -> Self {
        let mut tokens = Map::new();
        tokens.insert("bos_token".into(), json!(SpecialTokens::END_OF_TEXT));
        tokens.insert("eos_token".into(), json!(SpecialTokens::END));
        tokens.insert("pad_token".into(), json!(SpecialTokens::PAD));
        // A template that does not compile would fail at its first use; a test compiles this one.
        Self::compile(DEFAULT, tokens.clone()).unwrap_or_else(|_| Self {
            source: DEFAULT.into(),
            tokens,
            env: jinja::environment(None),
            marked: false,
        })
    }
}

impl ChatTemplate {
    /// Compiles a template; `tokens` are variables such as `bos_token`.
    ///
    /// # Errors
    /// Input, with the template's line.
    pub fn compile(source: &str, tokens: Map<String, Value>) -> Result<Self> {
        Self::build(source, tokens, None)
    }

    fn build(source: &str, tokens: Map<String, Value>, clock: Option<u64>) -> Result<Self> {
        let mut env = jinja::environment(clock);
        let (plain, marked) = generation_marks(source);
        env.add_template_owned(NAME, plain).map_err(|e| {
            let line = e.line().map_or(String::new(), |l| format!(" line {l}"));
            Error::input(format!("{e:#}")).at(format!("chat template{line}"))
        })?;
        Ok(Self { source: source.into(), tokens, env, marked })
    }

    /// The chat template of a model folder: `chat_template.jinja`, or `chat_template` in
    /// tokenizer_config.json (a string, or a list of named ones; `default` is taken).
    ///
    /// # Errors
    /// Input, if the folder has none or if it does not compile.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = folder.join(files::CONFIG);
        let tokens = files::optional(&config)?;
        let file = folder.join("chat_template.jinja");
        let (source, place) = if file.is_file() {
            (read_text(&file)?, file)
        } else {
            let source = match tokens.get("chat_template") {
                Some(Value::String(s)) => Some(s.clone()),
                Some(Value::Array(list)) => (list.iter())
                    .find(|t| t["name"] == "default")
                    .and_then(|t| t["template"].as_str())
                    .map(String::from),
                _ => None,
            };
            let source = source.ok_or_else(|| {
                Error::input("no chat template: this is not a chat model")
                    .at(config.display())
                    .hint("`athanor generate` continues a text; `athanor finetune` makes a chat model")
            })?;
            (source, config)
        };
        let named = (tokens.into_iter())
            .filter(|(key, _)| key.ends_with("_token"))
            .map(|(key, value)| match value.get("content") {
                Some(content) => (key, content.clone()),
                None => (key, value),
            })
            .collect();
        Self::compile(&source, named).map_err(|e| e.at(place.display()))
    }

    /// Writes the template and its tokens into the folder's tokenizer_config.json, beside what
    /// [`crate::Tokenizer::save`] wrote there.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let path = folder.as_ref().join(files::CONFIG);
        let mut config = files::optional(&path)?;
        config.insert("chat_template".into(), json!(self.source));
        write_json(&path, &config)
    }

    /// The same template with a clock fixed at `seconds` since 1970, for `strftime_now`.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn at_time(&self, seconds: u64) -> Result<Self> {
        Self::build(&self.source, self.tokens.clone(), Some(seconds))
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as text; with `add_generation_prompt`, followed by what opens the
    /// assistant's turn.
    ///
    /// # Errors
    /// Input: what the template raised (`raise_exception`), or where it failed.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_marked(messages, add_generation_prompt, None)
    }

    /// As [`render`](Self::render), with `mark` written before and behind what the template's own
    /// `{% generation %}` blocks hold.
    pub(crate) fn render_marked(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        mark: Option<char>,
    ) -> Result<String> {
        let template = self.env.get_template(NAME).map_err(failed)?;
        let mark = mark.map_or(String::new(), String::from);
        let own = context! {
            messages => minijinja::Value::from(Serde(messages)),
            add_generation_prompt => add_generation_prompt,
            athanor_generation_mark => mark,
        };
        let tokens = minijinja::Value::from(Serde(&self.tokens));
        template.render(context! { ..own, ..tokens }).map_err(failed)
    }

    /// Whether the template marks the assistant's text itself.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }
}

fn failed(error: minijinja::Error) -> Error {
    if error.kind() == minijinja::ErrorKind::OutOfFuel {
        return Error::input("the template does too much for one conversation, or never ends")
            .at("chat template")
            .hint("a template may take 4 million steps and make 256 MiB of text");
    }
    let place = match error.line() {
        Some(line) => format!("chat template line {line}"),
        None => "chat template".into(),
    };
    Error::input(error.detail().map_or_else(|| error.to_string(), String::from)).at(place)
}

/// Replaces `{% generation %}` and `{% endgeneration %}`, tags of transformers' own, by a variable
/// that writes a mark or nothing. White-space control of the tags is kept.
fn generation_marks(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut found = false;
    while let Some(open) = rest.find("{%") {
        let Some(length) = rest[open + 2..].find("%}").map(|n| n + 2) else { break };
        let tag = &rest[open + 2..open + length];
        let name = tag.trim_matches(|c: char| matches!(c, '-' | '+') || c.is_whitespace());
        let end = open + length + 2;
        if matches!(name, "generation" | "endgeneration") {
            found = true;
            // trim_blocks and lstrip_blocks work on tags; an `if` around the variable is one.
            let left = if tag.starts_with('-') { "-" } else { "" };
            let right = if tag.ends_with('-') { "-" } else { "" };
            out += &rest[..open];
            out += &format!(
                "{{%{left} if true %}}{{{{ athanor_generation_mark }}}}{{% endif {right}%}}"
            );
        } else {
            out += &rest[..end];
        }
        rest = &rest[end..];
    }
    out += rest;
    (out, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_template() {
        let template = ChatTemplate::default();
        let chat = [Message::system("Be brief."), Message::user("春?"), Message::assistant("花.")];
        assert_eq!(
            template.render(&chat, true).unwrap(),
            "<|system|>Be brief.<|end|><|user|>春?<|end|><|assistant|>花.<|end|><|assistant|>"
        );
        let error = template.render(&[Message::new("end", "x")], false).unwrap_err();
        assert!(error.to_string().contains("unknown role end"), "{error}");
    }

    #[test]
    fn hugging_face_dialect() {
        let source = "{% for m in messages %}\n  {% if loop.first %}\n{{ bos_token }}{% endif %}\n\
            {{ m['content'].strip() | upper }} {{ {'a': '<é>', 'b': [1, 2.5, none, true]} | tojson }}\n\
            {% if m.content.startswith('x') %}{% continue %}{% endif %}{{ m['role'][:2] }}\n{% endfor %}\
            {{ strftime_now('%Y') }}";
        let mut tokens = Map::new();
        tokens.insert("bos_token".into(), json!("<s>"));
        let template = ChatTemplate::compile(source, tokens).unwrap().at_time(0).unwrap();
        assert_eq!(
            template.render(&[Message::user(" hi "), Message::user("x")], false).unwrap(),
            "<s>HI {\"a\": \"<é>\", \"b\": [1, 2.5, null, true]}\nus\n\
             X {\"a\": \"<é>\", \"b\": [1, 2.5, null, true]}\n1970"
        );
    }

    #[test]
    fn errors_carry_the_line() {
        let error = ChatTemplate::compile("a\n{% if %}", Map::new()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
