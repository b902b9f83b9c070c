//! What several tests use.

use std::{fs, io::Read, path::PathBuf};

use serde_json::Value;

/// The texts of a file in data/.
pub fn texts(file: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(file);
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let field =
        |l: &str| serde_json::from_str::<Value>(l).unwrap()["text"].as_str().unwrap().to_string();
    text.lines().map(field).collect()
}
