//! The stage from its sources to its folder.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::Instant,
};

use athanor_store::{
    Error, Fingerprint, Result, Run, StagedDir, sha256_bytes, sha256_file, sha256_folder,
    write_json,
};
use serde_json::json;

use crate::{
    Account, CorpusSection,
    clean::clean,
    encode::{self, stop_if_asked},
    sources, spool, steps,
};

/// Makes the corpus that the recipe's `[corpus]` describes in the run's folder, unless it is there.
///
/// # Errors
/// Input: a bad section, a source that is not there or that cannot be read (file and line), nothing
/// kept. Interrupted, if asked to stop; then nothing is left behind. Those of writing.
pub fn run(run: &Run) -> Result<()> {
    let section: CorpusSection = run.recipe.section("corpus")?;
    let stage = run.stage("corpus");
    let fingerprint = fingerprint(run, &section)?;
    if stage.is_done(&fingerprint)? {
        run.console.say("corpus: done already");
        return Ok(());
    }
    let began = Instant::now();
    let staged = StagedDir::new(stage.dir())?;
    let folder = staged.path();

    let (mut account, kept) = clean(run, &section, folder)?;
    let kept_documents: u64 = account.sources.iter().map(|s| s.kept_documents).sum();
    let heldout: u64 = account.sources.iter().map(|s| s.heldout_documents).sum();
    if kept_documents == heldout {
        return Err(nothing_left(&account).at(run.recipe.name()));
    }
    if heldout == 0 && section.heldout_per_thousand > 0 {
        run.console.warn(&format!(
            "corpus: none of the {kept_documents} documents fell into the held-out part; losses \
             will be of training text only (a larger heldout_per_thousand holds out more)"
        ));
    }
    let bytes: u64 = account.sources.iter().map(|s| s.kept_bytes).sum();
    let tokenizer = encode::tokenizer(run, &section, &kept, bytes, folder)?;
    if section.write_texts {
        texts(run, &section, &kept, &folder.join("texts.jsonl"))?;
    }
    encode::shards(run, &section, &kept, &tokenizer, folder, &mut account)?;
    std::fs::remove_file(&kept).map_err(|e| Error::io("remove", &kept, e))?;
    write_json(&folder.join("account.json"), &account)?;
    staged.commit()?;

    let seconds = began.elapsed().as_secs_f64();
    let summary = json!({
        "seconds": seconds,
        "documents": kept_documents,
        "bytes": bytes,
        "tokens": account.tokens.train + account.tokens.heldout,
        "heldout_tokens": account.tokens.heldout,
        "bytes_per_token": account.bytes_per_token,
        "vocab_size": account.vocab_size,
    });
    stage.finish(&fingerprint, seconds, &summary)
}

/// The kept documents as JSON lines.
fn texts(run: &Run, section: &CorpusSection, kept: &Path, path: &Path) -> Result<()> {
    let fail = |e| Error::io("write", path, e);
    let mut out = BufWriter::new(File::create(path).map_err(fail)?);
    for document in spool::read(kept)? {
        stop_if_asked(run)?;
        let d = document?;
        let line = json!({
            "id": d.id,
            "source": section.sources[d.source].name,
            "url": d.url,
            "language": d.language,
            "heldout": d.heldout,
            "text": d.text,
        });
        writeln!(out, "{line}").map_err(fail)?;
    }
    out.flush().map_err(fail)
}

fn fingerprint(run: &Run, section: &CorpusSection) -> Result<Fingerprint> {
    let mut fingerprint = run.fingerprint(section);
    for source in &section.sources {
        let mut hashes = Vec::new();
        for path in source.all_paths() {
            hashes.push(hash(run, &path)?);
        }
        let hash = match hashes.len() {
            1 => hashes.remove(0),
            _ => sha256_bytes(hashes.join(" ").as_bytes()),
        };
        fingerprint = fingerprint.input(&source.name, hash);
    }
    if let Some(path) = &section.tokenizer.load {
        fingerprint = fingerprint.input("tokenizer", hash(run, path)?);
    }
    for name in &section.steps {
        let files = steps::build(name, &section.settings).map_or(Vec::new(), |s| s.files());
        for (n, path) in files.iter().enumerate() {
            fingerprint = fingerprint.input(&format!("{name}.{n}"), hash(run, path)?);
        }
    }
    Ok(fingerprint)
}

/// The hash of a file, a folder, or what a pattern matches. Standard input cannot be read twice: it
/// counts as the same whatever it says.
fn hash(run: &Run, path: &Path) -> Result<String> {
    stop_if_asked(run)?;
    if sources::is_stdin(path) {
        return Ok("standard input".into());
    }
    let path = run.recipe.resolve(path);
    if path.is_dir() {
        return sha256_folder(&path);
    }
    if path.exists() {
        return sha256_file(&path);
    }
    let mut hashes = Vec::new();
    for file in sources::files(&path)? {
        stop_if_asked(run)?;
        hashes.push(sha256_file(&file)?);
    }
    Ok(sha256_bytes(hashes.join(" ").as_bytes()))
}

fn nothing_left(account: &Account) -> Error {
    let read: u64 = account.sources.iter().map(|s| s.documents).sum();
    if read == 0 {
        return Error::input("the sources have no documents")
            .at("[corpus]")
            .hint("check the sources' paths and their `only`");
    }
    let mut reasons: Vec<String> = Vec::new();
    for step in &account.steps {
        for (reason, n) in &step.dropped {
            reasons.push(format!("{}: {n} {reason}", step.name));
        }
    }
    let heldout: u64 = account.sources.iter().map(|s| s.heldout_documents).sum();
    if heldout > 0 {
        reasons.push(format!("{heldout} held out"));
    }
    Error::input(format!("none of {read} documents is left to train on ({})", reasons.join("; ")))
        .at("[corpus]")
        .hint("relax the steps' parameters in [corpus.settings], or give more text")
}
