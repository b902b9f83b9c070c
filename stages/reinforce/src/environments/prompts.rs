//! Requests that are answered once: an episode is one turn.

use std::sync::Arc;

use athanor_data::{Dialogue, Record, Shuffle};
use athanor_store::{Error, Result};
use athanor_text::{Message, encode_prompt};

use super::{Environment, EnvironmentKind, Part, Reply, Session, Setup, Start};

/// The environment's line in the registry.
pub(super) const ENVIRONMENT: EnvironmentKind = EnvironmentKind {
    name: "prompts",
    about: "requests of [[reinforce.prompts]], each answered once",
    keys: None,
    open,
};

/// A request: all messages up to where the answer begins.
#[derive(Clone)]
struct Prompt {
    messages: Arc<[Message]>,
    record: Option<Arc<Record>>,
}

struct Prompts {
    train: Vec<Prompt>,
    heldout: Vec<Prompt>,
    samples: Vec<Prompt>,
}

/// Reads all requests. Those that leave no room for an answer are left out, and their number is told.
fn open(setup: &Setup<'_>) -> Result<Box<dyn Environment>> {
    if setup.prompts.is_empty() {
        return Err(Error::input("there are no requests to answer")
            .at(format!("{}: [reinforce]", setup.run.recipe.name()))
            .hint("add [[reinforce.prompts]] path = \"requests.jsonl\""));
    }
    let fits = |messages: &[Message]| -> Result<Option<usize>> {
        let tokens = encode_prompt(setup.tokenizer, setup.template, messages)?.len();
        Ok((tokens + setup.max_new_tokens > setup.longest).then_some(tokens))
    };
    let (mut train, mut heldout, mut read, mut left_out) = (Vec::new(), Vec::new(), 0, 0);
    for source in setup.prompts {
        for dialogue in source.read(&setup.run.recipe, setup.heldout_per_thousand as u32)? {
            let held = dialogue.heldout();
            let Dialogue { mut messages, record, .. } = dialogue;
            while messages.last().is_some_and(|m| m.role == "assistant") {
                messages.pop();
            }
            read += 1;
            if messages.is_empty() || fits(&messages)?.is_some() {
                left_out += 1;
                continue;
            }
            let prompt = Prompt { messages: messages.into(), record: Some(Arc::new(record)) };
            if held { heldout.push(prompt) } else { train.push(prompt) }
        }
    }
    // Spread over the sources, whatever their order.
    let order = Shuffle::new(heldout.len(), 0, 0);
    let chosen = order.as_slice().iter().take(setup.heldout);
    let heldout: Vec<Prompt> = chosen.map(|&i| heldout[i].clone()).collect();
    for (list, what) in [(&train, "to learn from"), (&heldout, "held out")] {
        if list.is_empty() {
            return Err(Error::input(format!(
                "there is no request {what} that has, with max_new_tokens = {}, at most {} tokens",
                setup.max_new_tokens, setup.longest
            ))
            .at("reinforce.prompts")
            .hint("add shorter requests, lower max_new_tokens, or change heldout_per_thousand"));
        }
    }
    if left_out > 0 {
        setup.run.console.say(&format!(
            "reinforce: {left_out} of {read} requests were left out: they are empty, or longer than {} tokens \
             with an answer of max_new_tokens = {}",
            setup.longest, setup.max_new_tokens
        ));
    }
    let sample = |text: &String| {
        let messages = [Message::user(text)];
        if let Some(tokens) = fits(&messages)? {
            return Err(Error::input(format!(
                "{text:?} has {tokens} tokens, with max_new_tokens = {} more than {}",
                setup.max_new_tokens, setup.longest
            ))
            .at("reinforce.sample_prompts")
            .hint("shorten the request or max_new_tokens"));
        }
        Ok(Prompt { messages: messages.into(), record: None })
    };
    let samples = setup.sample_prompts.iter().map(sample).collect::<Result<_>>()?;
    Ok(Box::new(Prompts { train, heldout, samples }))
}

impl Prompts {
    fn part(&self, part: Part) -> &[Prompt] {
        match part {
            Part::Train => &self.train,
            Part::Heldout => &self.heldout,
            Part::Sample => &self.samples,
        }
    }
}

impl Environment for Prompts {
    fn examples(&self, part: Part) -> usize {
        self.part(part).len()
    }

    fn begin(&self, part: Part, example: usize, _: u64) -> Result<Start> {
        let Prompt { messages, record } = self.part(part)[example].clone();
        Ok(Start { opening: messages, record, session: Box::new(Answered) })
    }
}

/// Whatever the answer, that was it.
struct Answered;

impl Session for Answered {
    fn reply(&mut self, _: &str) -> Result<Reply> {
        Ok(Reply::end(0.0))
    }
}
