//! A conversation that may outgrow the model's context: its oldest turns are then forgotten.

use athanor_store::{Error, Result};
use athanor_text::{ChatTemplate, Message, Tokenizer, encode_prompt};

/// Messages in their order; system messages at the beginning are never forgotten.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    messages: Vec<Message>,
    system: usize,
}

impl Conversation {
    /// One that begins with these messages.
    pub fn new(messages: Vec<Message>) -> Self {
        let system = messages.iter().take_while(|m| m.role == "system").count();
        Self { messages, system }
    }

    /// All messages that are not forgotten.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Takes the last message back.
    pub fn pop(&mut self) -> Option<Message> {
        (self.messages.len() > self.system).then(|| self.messages.pop()).flatten()
    }

    /// Forgets all but the system messages.
    pub fn reset(&mut self) {
        self.messages.truncate(self.system);
    }

    /// Token ids that ask for the next turn. The oldest turns are forgotten until an answer of `max_new_tokens`
    /// fits into `context` tokens; half the context at most is kept free, because earlier messages matter more than
    /// a long answer.
    ///
    /// # Errors
    /// Input, for a message that does not fit alone; those of the template.
    pub fn prompt(
        &mut self,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        context: usize,
        max_new_tokens: usize,
    ) -> Result<Vec<u32>> {
        let room = max_new_tokens.min(context / 2).max(1);
        loop {
            let ids = encode_prompt(tokenizer, template, &self.messages)?;
            let (first, last) = (self.system, self.messages.len().saturating_sub(1));
            if ids.len() + room <= context || (first >= last && ids.len() < context) {
                return Ok(ids);
            }
            if first >= last {
                return Err(Error::input(format!(
                    "the message has {} tokens; the model's context is {context}",
                    ids.len()
                ))
                .hint("say it in fewer words"));
            }
            // A user's message goes together with its answer.
            let end = if first + 1 < last { first + 2 } else { first + 1 };
            self.messages.drain(first..end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_messages_stay() {
        let mut talk = Conversation::new(vec![Message::system("be brief")]);
        assert_eq!(talk.pop(), None, "nothing was said yet");
        talk.push(Message::user("hello"));
        talk.push(Message::assistant("hi"));
        assert_eq!(talk.pop().map(|m| m.role), Some("assistant".into()));
        talk.reset();
        let roles: Vec<&str> = talk.messages().iter().map(|m| m.role.as_str()).collect();
        assert_eq!(roles, ["system"]);
    }
}
