//! Text in and out of token ids: tokenisers in Hugging Face's format, their training
//! (byte-level BPE, WordPiece, Unigram), and chat templates.
//!
//! ```
//! use athanor_text::{SpecialTokens, Tokenizer};
//!
//! let texts = ["the cat sat on the mat", "一片花飛減却春"];
//! let tokenizer = Tokenizer::train_byte_bpe(texts, 300, &SpecialTokens::default())?;
//! let ids = tokenizer.encode("the mat 春")?;
//! assert_eq!(tokenizer.decode(&ids)?, "the mat 春");
//! # Ok::<(), athanor_store::Error>(())
//! ```
//!
//! Architecture Invariant: text never becomes a special token unless a caller asks for it
//! ([`Tokenizer::encode_with_specials`]) or a chat template wrote it ([`encode_chat`]).

mod byte_chars;
mod chat;
mod clock;
mod cut;
mod files;
mod jinja;
mod json;
mod special;
mod split;
mod stream;
mod template;
mod tokenizer;
mod train;
mod trie;
mod wordpiece;

pub use chat::{encode_chat, encode_continuation, encode_prompt};
pub use jinja::{FUEL, bound};
pub use special::{SPECIAL_SETS, SpecialSet, SpecialTokens};
pub use stream::TextStream;
pub use template::{ChatTemplate, Message};
pub use tokenizer::{Marks, ModelInput, Tokenizer};
pub use train::{ALGORITHMS, Algorithm, Segmenter, Texts, Training};
