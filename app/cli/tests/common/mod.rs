//! Runs the built binary.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use athanor_text::{ChatTemplate, SpecialTokens, Tokenizer};

/// The binary, with nothing of the caller's environment that changes what it prints.
pub fn athanor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_athanor"));
    command.env_remove("NO_COLOR").env_remove("RUST_BACKTRACE").args(["--threads", "1"]);
    command
}

/// Runs it to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    athanor().args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs it with this standard input.
pub fn run_with_input(args: &[&str], input: &str) -> Output {
    let mut child = athanor()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Standard output of a run that went well.
pub fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A run that failed with this code; its standard error.
pub fn bad(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    stderr(output)
}

/// The fixtures of other implementations' models.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hf")
}

/// A small random model with a tokenizer of its own, and a chat template if wanted.
pub fn model(dir: &Path, chat: bool) {
    use athanor_models::{Head, Model, Shape, families};
    let texts = ["the cat sat on the mat", "人之初，性本善。", "Hello, world!"];
    let tokenizer = Tokenizer::train_byte_bpe(texts, 280, &SpecialTokens::default()).unwrap();
    let vocabulary = tokenizer.vocab_size();
    let small = Shape { hidden: 16, intermediate: 24, ..Shape::default() };
    let shape = Shape { vocabulary, heads: 2, kv_heads: 1, ..small };
    let device = athanor_tensor::Device::Cpu;
    let family = families::by_name("llama").unwrap();
    std::fs::create_dir_all(dir).unwrap();
    Model::new(family, &shape, Head::CAUSAL_LM, 3, device).unwrap().save(dir).unwrap();
    tokenizer.save(dir).unwrap();
    if chat {
        ChatTemplate::default().save(dir).unwrap();
    }
}

/// [`model`] as the folder `model` of a new folder.
pub fn model_in_a_folder(chat: bool) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    model(&folder, chat);
    (dir, folder)
}
