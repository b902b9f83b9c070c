//! GGUF, the model file of llama.cpp and Ollama: read into a Hugging Face folder, and written from one.
//!
//! The format is that of ggml's docs/gguf.md, versions 2 and 3, little-endian; names of keys and
//! tensors are those of llama.cpp's converter. The parser is ours so that a crafted header can
//! neither panic nor allocate more than a few times its own size.

mod config;
mod export;
mod file;
mod import;
mod names;
mod quant;
mod tokenizer;
mod write;

pub use export::{Exported, export};
pub use file::{File, TensorInfo, Value};
pub use import::{Imported, import};
pub use quant::Type;
