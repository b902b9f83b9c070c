//! `athanor chat`: a conversation in the terminal, or over standard input.

use std::{
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
};

use athanor_generation::Sampling;
use athanor_serving::{Conversation, Loaded};
use athanor_store::{Error, Kind, Result, write_json};
use athanor_text::{ChatTemplate, Message};
use serde_json::json;

use crate::{
    bugs,
    context::Context,
    model_path::{self, Want},
    out, signals,
    writer::{self, WritingArgs},
};

const HELP: &str = "\
/help             this
/reset            forget the conversation
/temperature X    0 takes the likeliest words, 1 samples as the model learned
/save FILE        write the conversation as JSON
/quit             leave (also Ctrl-D)
//TEXT            a message that begins with a slash
Ctrl-C cuts an answer short; at the prompt it leaves.";

/// Talk to a chat model in the terminal
#[derive(clap::Args)]
#[command(after_help = "\
Each line of input is a message; /help lists the commands. When the conversation outgrows the
model's context its oldest turns are forgotten. Works with piped input, too.

Examples:
  athanor chat runs/demo
  printf 'Hello\\nAnd now?\\n' | athanor chat runs/demo/finetune/model --temperature 0")]
pub struct Args {
    /// A model folder, a stage's or a run's
    model: PathBuf,
    /// A system message before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    writing: WritingArgs,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    context.set_threads();
    let dir = model_path::resolve(context, &args.model, Want::Writer)?;
    let loaded = writer::load(context, &dir, Some(true), args.writing.weights)?;
    let Some(template) = &loaded.writer.template else {
        return Err(Error::input("no chat template").at(dir.display()));
    };
    let mut chat = Chat {
        context,
        sampling: writer::sampling(&loaded, &args.writing.sampling)?,
        loaded: &loaded,
        template,
        conversation: Conversation::new(args.system.map(Message::system).into_iter().collect()),
        seed: args.writing.seed,
        turns: 0,
    };
    let interactive = io::stdin().is_terminal();
    if interactive && !context.quiet {
        out::note("type a message; /help for commands, Ctrl-D to leave");
    }
    let mut input = io::stdin().lock();
    loop {
        if interactive {
            prompt()?;
        }
        let mut bytes = Vec::new();
        let read = input.read_until(b'\n', &mut bytes);
        if read.map_err(|e| Error::io("read", Path::new("standard input"), e))? == 0 {
            if interactive {
                out::line("")?;
            }
            return Ok(());
        }
        let Ok(line) = String::from_utf8(bytes) else {
            out::note("this line is not UTF-8 text");
            continue;
        };
        match chat.line(line.trim()) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // A mistake or a bug ends a script, but not a conversation.
            Err(e) if interactive && e.kind() != Kind::Interrupted => out::error(context.json, &e),
            Err(e) => return Err(e),
        }
    }
}

fn prompt() -> Result<()> {
    let colours = out::colours() && io::stdout().is_terminal();
    out::print(if colours { "\x1b[1;36m>\x1b[0m " } else { "> " })
}

struct Chat<'a> {
    context: &'a Context,
    loaded: &'a Loaded,
    template: &'a ChatTemplate,
    sampling: Sampling,
    conversation: Conversation,
    seed: u64,
    turns: u64,
}

impl Chat<'_> {
    /// Takes a line; false to leave.
    fn line(&mut self, line: &str) -> Result<bool> {
        if line.is_empty() {
            return Ok(true);
        }
        if line.starts_with('/') && !line.starts_with("//") {
            return self.command(line);
        }
        let text = if line.starts_with("//") { &line[1..] } else { line };
        self.conversation.push(Message::user(text));
        let context = self.context;
        match bugs::survive(context.after_bug, || self.answer()) {
            Ok(answer) => self.conversation.push(Message::assistant(answer)),
            Err(e) => {
                self.conversation.pop();
                if e.kind() == Kind::Failed && !context.json {
                    // The line of the half answer ends here.
                    out::line("")?;
                }
                return Err(e);
            }
        }
        Ok(true)
    }

    fn command(&mut self, line: &str) -> Result<bool> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match name {
            "/help" => out::note(HELP),
            "/quit" | "/exit" => return Ok(false),
            "/reset" => {
                self.conversation.reset();
                out::note("forgotten");
            }
            "/temperature" => {
                let wanted = rest.parse().map_err(|_| {
                    Error::input(format!("/temperature {rest:?}: a number was expected"))
                })?;
                let sampling = Sampling { temperature: wanted, ..self.sampling.clone() };
                writer::check(&sampling)?;
                self.sampling = sampling;
            }
            "/save" if rest.is_empty() => {
                return Err(Error::input("/save needs the name of a file"));
            }
            "/save" => {
                write_json(Path::new(rest), &json!({ "messages": self.conversation.messages() }))?;
                out::note(&format!("saved {}", rest));
            }
            other => {
                return Err(Error::input(format!("no command {other}"))
                    .hint("/help lists them; //… sends a message that begins with a slash"));
            }
        }
        Ok(true)
    }

    fn answer(&mut self) -> Result<String> {
        let writer = &self.loaded.writer;
        let (context, room) = (writer.model.sizes().context, self.sampling.max_new_tokens);
        let ids = self.conversation.prompt(&writer.tokenizer, self.template, context, room)?;
        let _answering = signals::answering();
        self.turns += 1;
        let seed = self.seed.wrapping_add(self.turns - 1);
        let mut engine = self.loaded.engine(ids.len().saturating_add(room));
        let request = self.loaded.request(&ids, &self.sampling, seed, 0);
        let tickets = engine.admit(vec![request], &[])?;
        let mut answer = String::new();
        let json = self.context.json;
        let mut show = |text: String| {
            answer.push_str(&text);
            if json || text.is_empty() { Ok(()) } else { out::print(&text) }
        };
        while !engine.is_empty() && !signals::is_cut() {
            engine.step()?.into_iter().try_for_each(|piece| show(piece.text))?;
        }
        for ticket in tickets {
            show(engine.cancel(ticket)?)?;
        }
        if json {
            out::json(&json!({ "role": "assistant", "content": answer }))?;
        } else {
            out::line("")?;
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use athanor_models::{Head, Model, Shape, families};
    use athanor_tensor::{Device, Tensor};
    use athanor_text::{SpecialTokens, Tokenizer};

    use super::*;
    use crate::{bugs::AfterBug, context::Globals};

    fn open(dir: &Path, bad: bool) -> Loaded {
        let tokenizer =
            Tokenizer::train_byte_bpe(["the cat sat"], 280, &SpecialTokens::default()).unwrap();
        let shape = Shape { vocabulary: tokenizer.vocab_size(), ..Shape::default() };
        let family = families::by_name("llama").unwrap();
        let device = Device::default();
        let mut model = Model::new(family, &shape, Head::CAUSAL_LM, 3, device).unwrap();
        tokenizer.save(dir).unwrap();
        ChatTemplate::default().save(dir).unwrap();
        if bad {
            for p in model.params.iter_mut().filter(|p| p.value.shape().len() == 1) {
                p.value = Tensor::zeros(device, [1]);
            }
        }
        Loaded::open(dir, model, Some(true)).unwrap()
    }

    #[test]
    fn a_conversation_survives_a_bug() {
        let _alone = bugs::with_hook();
        let dir = tempfile::tempdir().unwrap();
        let (bad, good) = (open(dir.path(), true), open(dir.path(), false));
        let globals = Globals { threads: None, json: true, quiet: true, device: None };
        let context = Context::new(&globals, AfterBug::GoOn);
        let sampling = Sampling { max_new_tokens: 4, ..Sampling::default() };
        let template = ChatTemplate::default();
        let mut chat = Chat {
            context: &context,
            loaded: &bad,
            template: &template,
            sampling,
            conversation: Conversation::new(Vec::new()),
            seed: 1,
            turns: 0,
        };
        let error = chat.line("hello").unwrap_err();
        assert!(error.to_string().contains("this is a bug in athanor"), "{error}");
        assert_eq!((error.exit_code(), chat.conversation.messages().len()), (1, 0));
        chat.loaded = &good;
        assert!(chat.line("hello").unwrap());
        assert_eq!(chat.conversation.messages().len(), 2);
    }
}
