//! The stage from its sources to its folder.

use std::{collections::HashSet, time::Instant};

use athanor_data::heldout;
use athanor_store::{
    Error, Fingerprint, Result, Run, StagedDir, sha256_file, sha256_folder, write_json,
};
use rayon::prelude::*;
use serde_json::json;

use crate::{
    Account, CorpusSection, Document, Example, SourceAccount, StepAccount,
    encode::{self, stop_if_asked},
    sources,
    spool::Spool,
    steps::{self, Outcome, Step},
};

/// Text cleaned at once, in bytes and documents.
const BATCH_BYTES: usize = 8 << 20;
const BATCH_DOCUMENTS: usize = 8192;
/// Kept documents of each source in the account.
const KEPT_EXAMPLES: usize = 3;

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

    let (mut account, kept) = clean(run, &section, Spool::create(folder.join(".kept"))?)?;
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

fn fingerprint(run: &Run, section: &CorpusSection) -> Result<Fingerprint> {
    let mut fingerprint = run.fingerprint(section);
    let mut inputs: Vec<(String, &std::path::Path)> =
        section.sources.iter().map(|s| (s.name.clone(), s.path.as_path())).collect();
    if let Some(path) = &section.tokenizer.load {
        inputs.push(("tokenizer".into(), path));
    }
    for (name, path) in inputs {
        stop_if_asked(run)?;
        let path = run.recipe.resolve(path);
        let hash = if path.is_dir() { sha256_folder(&path)? } else { sha256_file(&path)? };
        fingerprint = fingerprint.input(&name, hash);
    }
    Ok(fingerprint)
}

/// A step at work: its account and the keys that it has seen.
struct Stage {
    step: Box<dyn Step>,
    account: StepAccount,
    seen: HashSet<[u8; 32]>,
}

/// Reads all sources, cleans their documents and spools what is kept.
fn clean(
    run: &Run,
    section: &CorpusSection,
    mut spool: Spool,
) -> Result<(Account, std::path::PathBuf)> {
    let mut stages = Vec::new();
    for name in &section.steps {
        // The section's check knows the names; this is for those who build one by hand.
        let step = steps::build(name, &section.settings)
            .ok_or_else(|| Error::input(format!("no cleaning step {name:?}")))?;
        let parameters = step.parameters();
        let account = StepAccount { name: name.clone(), parameters, ..StepAccount::default() };
        stages.push(Stage { step, account, seen: HashSet::new() });
    }
    let mut account = Account {
        sources: section.sources.iter().map(SourceAccount::new).collect(),
        ..Account::default()
    };
    let per_thousand = section.heldout_per_thousand as u32;
    let bar = run.console.bar("corpus", 0, "bytes");
    let mut read = 0u64;
    for (number, source) in section.sources.iter().enumerate() {
        bar.message(&source.name);
        let place = |e: Error| e.at(format!("source {:?}", source.name));
        let mut documents =
            sources::open(&run.recipe.resolve(&source.path), source).map_err(place)?;
        let mut more = true;
        let mut examples = 0;
        while more {
            stop_if_asked(run)?;
            let mut batch = Vec::new();
            let mut bytes = 0;
            while bytes < BATCH_BYTES && batch.len() < BATCH_DOCUMENTS {
                let own = &mut account.sources[number];
                let next = match source.max_bytes {
                    most if most > 0 && own.bytes >= most => None,
                    _ => documents.next().transpose().map_err(place)?,
                };
                let Some((id, text)) = next else {
                    more = false;
                    break;
                };
                own.documents += 1;
                own.bytes += text.len() as u64;
                bytes += text.len();
                let heldout = heldout(&text, per_thousand);
                batch.push(Document { source: number, id, text, heldout });
            }
            read += bytes as u64;
            for stage in &mut stages {
                batch = stage.pass(batch, &source.name, per_thousand);
            }
            let own = &mut account.sources[number];
            for document in &batch {
                spool.add(document)?;
                own.kept_documents += 1;
                own.kept_bytes += document.text.len() as u64;
                own.heldout_documents += u64::from(document.heldout);
                if examples < KEPT_EXAMPLES {
                    examples += 1;
                    let example = Example::new(&source.name, document, "kept", None);
                    account.kept_examples.push(example);
                }
            }
            bar.set(read);
        }
    }
    account.steps = stages.into_iter().map(|s| s.account).collect();
    balance(&account)?;
    let kept: u64 = account.sources.iter().map(|s| s.kept_documents).sum();
    bar.finish(&format!("{kept} documents kept"));
    Ok((account, spool.finish()?))
}

/// Documents and bytes from the sources through every step to what is kept.
fn balance(account: &Account) -> Result<()> {
    let mut flow: (u64, u64) =
        account.sources.iter().fold((0, 0), |(d, b), s| (d + s.documents, b + s.bytes));
    let kept =
        account.sources.iter().fold((0, 0), |(d, b), s| (d + s.kept_documents, b + s.kept_bytes));
    let mut whole = true;
    for step in &account.steps {
        step.balance()?;
        whole &= flow == (step.documents_in, step.bytes_in);
        flow = (step.documents_out, step.bytes_out);
    }
    if whole && flow == kept {
        return Ok(());
    }
    Err(Error::failed(format!("the corpus's account does not add up: {account:?}"))
        .hint("this is a bug: please report it with the recipe"))
}

impl Stage {
    fn pass(&mut self, batch: Vec<Document>, source: &str, per_thousand: u32) -> Vec<Document> {
        let outcomes: Vec<Outcome> = batch.par_iter().map(|d| self.step.apply(&d.text)).collect();
        let account = &mut self.account;
        let mut out = Vec::with_capacity(batch.len());
        for (document, outcome) in batch.into_iter().zip(outcomes) {
            let size = document.text.len() as u64;
            account.documents_in += 1;
            account.bytes_in += size;
            let outcome = match outcome {
                Outcome::Once(key, _) if self.seen.insert(key) => Outcome::Keep,
                Outcome::Once(_, reason) => Outcome::Drop(reason),
                Outcome::Split(pieces) if pieces.is_empty() => Outcome::Drop("empty"),
                other => other,
            };
            match outcome {
                Outcome::Keep | Outcome::Once(..) => out.push(document),
                Outcome::Change(text) => {
                    account.example(source, &document, "changed", Some(&text));
                    account.changed += 1;
                    account.bytes_removed += size as i64 - text.len() as i64;
                    out.push(Document { text, ..document });
                }
                Outcome::Split(pieces) => {
                    account.example(source, &document, "split", None);
                    account.changed += 1;
                    account.documents_added += pieces.len() as u64 - 1;
                    account.bytes_removed += size as i64;
                    for (n, text) in pieces.into_iter().enumerate() {
                        account.bytes_removed -= text.len() as i64;
                        let heldout = heldout(&text, per_thousand);
                        let id = format!("{}#{}", document.id, n + 1);
                        out.push(Document { source: document.source, id, text, heldout });
                    }
                }
                Outcome::Drop(reason) => {
                    account.example(source, &document, reason, None);
                    *account.dropped.entry(reason).or_default() += 1;
                    account.bytes_dropped += size;
                }
            }
        }
        account.documents_out += out.len() as u64;
        account.bytes_out += out.iter().map(|d| d.text.len() as u64).sum::<u64>();
        out
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
