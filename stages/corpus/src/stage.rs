//! The stage from its sources to its folder.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use athanor_store::{
    Error, Input, Recipe, Result, Run, Section, StageFolder, StageKind, StagedDir,
    figures::CorpusSummary, recipe::json, write_atomic, write_json,
};
use rayon::prelude::*;

use crate::{
    Account, CorpusSection, Document,
    account::{datacard, diversity},
    cache::{self, Cache},
    clean::{clean, kept::Kept},
    ids,
    inputs::Units,
    shards, sources, spool, steps, tokenizer,
};

/// Documents written at once.
const BATCH: usize = 1024;

/// The stage's entry. It is no [`athanor_store::Stage`]: several processes share its work, its sources may be
/// elsewhere, and whichever process comes last says that it is done.
pub const STAGE: StageKind = StageKind {
    name: NAME,
    about: "Clean, split and tokenise the sources of text",
    keys: CorpusSection::keys,
    resolved: |recipe| Ok(json(&recipe.section::<CorpusSection>(NAME)?)),
    check_files,
    shares_work: true,
    run,
};

const NAME: &str = "corpus";

/// Fails unless the files that the stage works on are there: asked before it begins.
fn check_files(recipe: &Recipe, run: &Path) -> Result<()> {
    let section: CorpusSection = recipe.section(NAME)?;
    for (i, source) in section.sources.iter().enumerate() {
        for path in source.all_paths() {
            let key = format!("{NAME}.sources.{i}.path");
            if sources::remote::is_remote(&path) {
                sources::remote::check(&path).map_err(|e| e.at(&key))?;
                continue;
            }
            if sources::is_stdin(&path) || sources::files(&recipe.resolve(&path)).is_ok() {
                continue;
            }
            recipe.needs_file(&key, &path)?;
        }
    }
    let all = step_inputs(&section).into_iter().chain(tokenizer_input(&section));
    all.into_iter().try_for_each(|input| input.check(NAME, recipe, run))
}

/// The files that the steps read: "STEP.NUMBER".
fn step_inputs(section: &CorpusSection) -> Vec<Input> {
    let of = |name: &String| {
        let files =
            steps::STEPS.find(name).map_or(Vec::new(), |s| s.step(&section.settings).files());
        let input = |(n, path): (usize, &PathBuf)| {
            Input::file(format!("{name}.{n}"), format!("settings.{name}"), path)
        };
        files.iter().enumerate().map(input).collect::<Vec<_>>()
    };
    section.steps.iter().flat_map(of).collect()
}

/// A tokeniser that is taken instead of training one.
fn tokenizer_input(section: &CorpusSection) -> Option<Input> {
    let path = section.tokenizer.load.as_ref()?;
    Some(Input::file("tokenizer", "tokenizer.load", path))
}

/// Makes the corpus that the recipe's `[corpus]` describes in the run's folder, unless it is there. As one
/// of several tasks ([`Run::task`]) it does its part; the last one writes the shards.
///
/// # Errors
/// Input: a bad section, a source that is not there or that cannot be read (file and line), nothing
/// kept. Interrupted, if asked to stop; the same call goes on from there. Those of writing.
pub fn run(run: &Run) -> Result<()> {
    let section: CorpusSection = run.recipe.section(NAME)?;
    let stage = run.stage(NAME);
    let began = Instant::now();
    let own = run.dir.join(".corpus-work");
    let folder = match &section.cache {
        Some(path) => run.recipe.resolve(path),
        None => own.clone(),
    };
    // Of several tasks one may finish and clear away what another is looking at; that one then looks again
    // and finds it done.
    let done = || run.task.is_some() && stage.path("done.json").exists();
    for last in [false, false, true] {
        match make(&Cache::open(run, folder.clone())?, &section, &stage, began) {
            Err(_) if !last && done() => {}
            Err(e) => return Err(e),
            Ok(()) => break,
        }
    }
    match std::fs::remove_dir_all(&own) {
        // Several tasks may do it.
        Err(e) if run.task.is_none() && own.exists() => Err(Error::io("remove", &own, e)),
        _ => Ok(()),
    }
}

fn make(cache: &Cache, section: &CorpusSection, stage: &StageFolder, began: Instant) -> Result<()> {
    let run = cache.run;
    // Where there is a result already it is most likely this one.
    let units = Units::find(cache, section, !stage.path("done.json").exists())?;
    let hash = |input: Input| -> Result<(String, String)> {
        run.interrupt.check()?;
        Ok((input.name().to_owned(), input.sha256(NAME, run)?))
    };
    let files = step_inputs(section).into_iter().map(hash).collect::<Result<Vec<_>>>()?;
    let loaded = tokenizer_input(section).map(hash).transpose()?.map(|(_, sha256)| sha256);
    let mut fingerprint = run.fingerprint(section);
    for (source, hash) in section.sources.iter().zip(&units.sources) {
        fingerprint = fingerprint.input(&source.name, hash);
    }
    if let Some(hash) = &loaded {
        fingerprint = fingerprint.input("tokenizer", hash);
    }
    for (name, hash) in &files {
        fingerprint = fingerprint.input(name, hash);
    }
    if stage.is_done(&fingerprint)? {
        run.console.say("corpus: done already");
        return Ok(());
    }
    let (mut account, kept) = clean(cache, section, &units, &files)?;
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
    let mut encoded = None;
    if section.write_shards {
        let made = tokenizer::tokenizer(cache, section, &kept, bytes, loaded.as_deref())?;
        let keys = ids::encode(cache, &kept, &made, bytes)?;
        encoded = Some((made, keys));
        let names: Vec<&str> = section.sources.iter().map(|s| s.name.as_str()).collect();
        account.diversity = diversity::count(cache, &kept, &names)?;
    }
    // One task writes the result; the others wait for it.
    let last = cache::key(&serde_json::json!(["result", fingerprint.hash()]));
    cache.forget(&last, "json");
    cache.all(std::slice::from_ref(&last), |_| {
        let staged = StagedDir::new(stage.dir())?;
        let folder = staged.path();
        if section.write_texts {
            texts(run, section, &kept, &folder.join("texts.jsonl"))?;
        }
        if let Some((made, keys)) = &encoded {
            made.tokenizer.save(&create(&folder.join("tokenizer"))?)?;
            shards::shards(cache, section, &kept, keys, made, folder, &mut account)?;
        }
        write_json(&folder.join("account.json"), &account)?;
        write_atomic(&folder.join("datacard.md"), datacard::render(&account).as_bytes())?;
        staged.commit()?;
        let seconds = began.elapsed().as_secs_f64();
        let summary = CorpusSummary {
            seconds: Some(seconds),
            documents: Some(kept_documents),
            bytes: Some(bytes),
            tokens: Some(account.tokens.train + account.tokens.heldout),
            heldout_tokens: Some(account.tokens.heldout),
            bytes_per_token: Some(account.bytes_per_token),
            vocab_size: Some(account.vocab_size as u64),
            ..CorpusSummary::default()
        };
        stage.finish(&fingerprint, seconds, &summary)?;
        cache.finish(&last, &serde_json::json!({}))
    })
}

fn create(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    Ok(folder.into())
}

/// The kept documents as JSON lines.
fn texts(run: &Run, section: &CorpusSection, kept: &[Kept], path: &Path) -> Result<()> {
    let fail = |e| Error::io("write", path, e);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(fail)?);
    let mut documents = spool::read_all(kept.iter().map(|k| k.path.clone()).collect());
    loop {
        run.interrupt.check()?;
        let batch: Vec<Document> = documents.by_ref().take(BATCH).collect::<Result<_>>()?;
        if batch.is_empty() {
            return out.flush().map_err(fail);
        }
        let line = |d: &Document| {
            let line = serde_json::json!({
                "id": d.id,
                "source": section.sources[d.source].name,
                "url": d.url,
                "language": d.language,
                "heldout": d.heldout,
                "text": d.text,
            });
            format!("{line}\n")
        };
        let lines: Vec<String> = batch.par_iter().map(line).collect();
        lines.iter().try_for_each(|l| out.write_all(l.as_bytes())).map_err(fail)?;
    }
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
