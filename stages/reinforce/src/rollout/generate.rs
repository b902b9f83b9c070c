//! Writing episodes: the policy's turns in batches, the environment's between them.

use athanor_generation::{Finish, Sampling, generate};
use athanor_models::Model;
use athanor_store::Result;
use athanor_tensor::splitmix64;
use athanor_text::{ChatTemplate, Message, Tokenizer, encode_continuation, encode_prompt};

use crate::{
    environments::{Environment, Part, Session},
    episode::{End, Episode, Turn},
};

/// Episodes, and what answers each.
type Begun = (Vec<Episode>, Vec<Box<dyn Session>>);

/// How episodes are written.
pub(crate) struct Generator<'a> {
    pub environment: &'a dyn Environment,
    pub tokenizer: &'a Tokenizer,
    pub template: &'a ChatTemplate,
    /// Tokens that end a turn.
    pub stops: &'a [u32],
    pub sampling: Sampling,
    /// Tokens that an episode has at most.
    pub longest: usize,
}

impl Generator<'_> {
    /// Begins `group` episodes of each example, those of one example alike.
    fn begin(&self, part: Part, examples: &[usize], group: usize, seed: u64) -> Result<Begun> {
        let (mut episodes, mut sessions) = (Vec::new(), Vec::new());
        for (number, &example) in examples.iter().enumerate() {
            for _ in 0..group {
                let seed = splitmix64(seed ^ splitmix64(number as u64));
                let start = self.environment.begin(part, example, seed)?;
                let tokens = encode_prompt(self.tokenizer, self.template, &start.opening)?;
                episodes.push(Episode {
                    group: number,
                    record: start.record,
                    opening: start.opening,
                    tokens,
                    turns: Vec::new(),
                    log_probs: Vec::new(),
                    end: End::Context,
                });
                sessions.push(start.session);
            }
        }
        Ok((episodes, sessions))
    }

    /// The openings of episodes, without a turn.
    ///
    /// # Errors
    /// Those of the environment and the template.
    pub fn openings(&self, part: Part, examples: &[usize]) -> Result<Vec<Episode>> {
        Ok(self.begin(part, examples, 1, 0)?.0)
    }

    /// Lets `model` go through `group` episodes of each example.
    ///
    /// # Errors
    /// Those of the environment, the template and the decoder.
    pub fn episodes(
        &self,
        model: &Model,
        part: Part,
        examples: &[usize],
        group: usize,
        seed: u64,
    ) -> Result<Vec<Episode>> {
        let (mut episodes, mut sessions) = self.begin(part, examples, group, seed)?;
        let mut open: Vec<usize> = (0..episodes.len()).collect();
        for turn in 0..self.environment.max_turns() {
            if open.is_empty() {
                break;
            }
            let seed = if turn == 0 { seed } else { splitmix64(seed.wrapping_add(turn as u64)) };
            let prompts: Vec<Vec<u32>> = open.iter().map(|&i| episodes[i].tokens.clone()).collect();
            let written = generate(model, &prompts, self.stops, &self.sampling, seed)?;
            let mut still = Vec::new();
            for (i, completion) in open.into_iter().zip(written) {
                let episode = &mut episodes[i];
                let text = self.tokenizer.decode(&completion.tokens)?;
                let from = episode.tokens.len();
                episode.tokens.extend(&completion.tokens);
                episode.log_probs.extend(&completion.log_probs);
                let finished = completion.finish == Finish::Stop;
                let reply = finished.then(|| sessions[i].reply(&text)).transpose()?;
                episode.turns.push(Turn {
                    message: Message::new("assistant", text),
                    tokens: from..episode.tokens.len(),
                    learned: true,
                    reward: reply.as_ref().map_or(0.0, |r| r.reward),
                });
                match reply {
                    None => episode.end = End::Length,
                    Some(reply) if reply.done => episode.end = End::Finished,
                    Some(reply) => {
                        if self.append(episode, reply.messages)? {
                            still.push(i);
                        }
                    }
                }
            }
            open = still;
        }
        Ok(episodes)
    }

    /// Appends what the environment said; false where no room is left for another turn of the policy.
    fn append(&self, episode: &mut Episode, said: Vec<Message>) -> Result<bool> {
        let before: Vec<Message> = episode.messages().cloned().collect();
        let tokens = encode_continuation(self.tokenizer, self.template, &before, &said)?;
        let from = episode.tokens.len();
        if from + tokens.len() + self.sampling.max_new_tokens > self.longest {
            return Ok(false);
        }
        episode.tokens.extend(tokens);
        let to = episode.tokens.len();
        let last = said.len().saturating_sub(1);
        for (i, message) in said.into_iter().enumerate() {
            // All tokens of the environment's turn count as its last message's.
            let tokens = if i == last { from..to } else { from..from };
            episode.turns.push(Turn { message, tokens, learned: false, reward: 0.0 });
        }
        Ok(true)
    }
}
