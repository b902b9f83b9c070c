//! From the sources through the steps to the documents that are kept.
//!
//! Documents stream through the steps in batches. A step that has to see all of them
//! ([`crate::steps::Whole`]) ends a phase: what came so far waits in a spool file, the step looks at it,
//! and the next phase begins with what it leaves.

use std::path::{Path, PathBuf};

use athanor_data::heldout;
use athanor_store::{Error, Result, Run};
use rayon::prelude::*;

use crate::{
    Account, CorpusSection, Document, Example, SourceAccount,
    encode::stop_if_asked,
    sources::{self, Body, Item},
    spool::{self, Spool},
    stage::Stage,
    steps::{self, Preparation},
};

/// Text cleaned at once, in bytes and documents.
const BATCH_BYTES: usize = 8 << 20;
const BATCH_DOCUMENTS: usize = 8192;
/// Kept documents of each source in the account.
const KEPT_EXAMPLES: usize = 3;
/// Errors of each source in the account.
const ERRORS: usize = 20;

/// Reads all sources, cleans their documents and spools what is kept, in `folder`.
pub(crate) fn clean(
    run: &Run,
    section: &CorpusSection,
    folder: &Path,
) -> Result<(Account, PathBuf)> {
    let preparation = Preparation { recipe: &run.recipe, sources: &section.sources };
    let mut stages = Vec::new();
    for name in &section.steps {
        // The section's check knows the names; this is for those who build one by hand.
        let step = steps::build(name, &section.settings)
            .ok_or_else(|| Error::input(format!("no cleaning step {name:?}")))?;
        let place = |e: Error| e.at(format!("step {name:?}"));
        let step = step.prepare(&preparation).map_err(place)?.unwrap_or(step);
        stages.push(Stage::new(name, step, &section.sources));
    }
    // Each phase ends before a step that must see everything.
    let mut phases: Vec<Vec<Stage>> = vec![Vec::new()];
    for stage in stages {
        if stage.step.whole().is_some() {
            phases.push(Vec::new());
        }
        if let Some(last) = phases.last_mut() {
            last.push(stage);
        }
    }
    let mut cleaner = Cleaner {
        run,
        section,
        names: section.sources.iter().map(|s| s.name.as_str()).collect(),
        account: Account {
            sources: section.sources.iter().map(SourceAccount::new).collect(),
            ..Account::default()
        },
    };
    let last = phases.len() - 1;
    let mut spooled: Option<PathBuf> = None;
    for (number, mut stages) in phases.into_iter().enumerate() {
        let mut out = Output {
            spool: Spool::create(folder.join(format!(".spool-{number}")))?,
            kept: number == last,
            examples: vec![0; cleaner.names.len()],
        };
        match &spooled {
            None => cleaner.read(&mut stages, &mut out)?,
            Some(path) => cleaner.again(path, folder, &mut stages, &mut out)?,
        }
        let path = out.spool.finish()?;
        if let Some(old) = spooled.replace(path) {
            std::fs::remove_file(&old).map_err(|e| Error::io("remove", &old, e))?;
        }
        for stage in stages {
            let mut account = stage.account;
            let notes = stage.step.notes();
            if !notes.is_null() {
                account.notes = notes;
            }
            cleaner.account.steps.push(account);
        }
    }
    balance(&cleaner.account)?;
    let spooled = spooled.ok_or_else(|| Error::failed("no phase of cleaning was run"))?;
    Ok((cleaner.account, spooled))
}

struct Cleaner<'a> {
    run: &'a Run,
    section: &'a CorpusSection,
    names: Vec<&'a str>,
    account: Account,
}

/// Where documents of a phase go.
struct Output {
    spool: Spool,
    /// Whether they have passed all steps.
    kept: bool,
    examples: Vec<usize>,
}

impl Cleaner<'_> {
    /// The first phase: from the sources.
    fn read(&mut self, stages: &mut [Stage], out: &mut Output) -> Result<()> {
        let run = self.run;
        let per_thousand = self.section.heldout_per_thousand as u32;
        let bar = run.console.bar("corpus", 0, "bytes");
        let mut read = 0u64;
        for (number, source) in self.section.sources.iter().enumerate() {
            bar.message(&source.name);
            let place = |e: Error| e.at(format!("source {:?}", source.name));
            let paths: Vec<PathBuf> = source
                .all_paths()
                .iter()
                .map(|p| if sources::is_stdin(p) { p.clone() } else { run.recipe.resolve(p) })
                .collect();
            let (mut items, tally) = sources::open(&paths, source).map_err(place)?;
            let mut more = true;
            while more {
                stop_if_asked(run)?;
                let mut batch: Vec<Item> = Vec::new();
                let mut bytes = 0;
                while bytes < BATCH_BYTES && batch.len() < BATCH_DOCUMENTS {
                    match items.next() {
                        None => {
                            more = false;
                            break;
                        }
                        Some(Ok(item)) => {
                            bytes += match &item.body {
                                Body::Text(text) => text.len(),
                                Body::Skip(_) => 0,
                                Body::Later(_) => item.bytes as usize,
                            };
                            batch.push(item);
                        }
                        Some(Err(e)) if source.skips() => {
                            let own = &mut self.account.sources[number];
                            let error = place(e);
                            run.console.warn(&format!("{error}"));
                            own.skip("file not read to its end", 0);
                            if own.errors.len() < ERRORS {
                                own.errors.push(error.to_string());
                            }
                        }
                        Some(Err(e)) => return Err(place(e)),
                    }
                }
                let converted: Vec<Item> = batch.into_par_iter().map(convert).collect();
                let own = &mut self.account.sources[number];
                let mut documents = Vec::with_capacity(converted.len());
                for item in converted {
                    if source.max_bytes > 0 && own.bytes >= source.max_bytes {
                        more = false;
                        break;
                    }
                    let text = match item.body {
                        Body::Text(text) => text,
                        Body::Skip(reason) => {
                            own.skip(reason, item.bytes);
                            continue;
                        }
                        Body::Later(_) => continue,
                    };
                    own.records += 1;
                    own.record_bytes += item.bytes;
                    own.document_record_bytes += item.bytes;
                    own.documents += 1;
                    own.bytes += text.len() as u64;
                    read += text.len() as u64;
                    let heldout = heldout(&text, per_thousand);
                    let (id, url) = (item.id, item.url);
                    documents.push(Document {
                        source: number,
                        id,
                        text,
                        heldout,
                        url,
                        language: "",
                    });
                }
                self.pass(documents, stages, out)?;
                bar.set(read);
            }
            let own = &mut self.account.sources[number];
            (own.files, own.file_bytes, own.content_bytes) = tally.total();
        }
        bar.finish(&format!("{read} bytes read"));
        Ok(())
    }

    /// A later phase: its first step has to see all documents.
    fn again(
        &mut self,
        spooled: &Path,
        folder: &Path,
        stages: &mut [Stage],
        out: &mut Output,
    ) -> Result<()> {
        let Some((first, rest)) = stages.split_first_mut() else { return Ok(()) };
        let run = self.run;
        let name = first.account.name.clone();
        let bar = run.console.bar("corpus", 0, "bytes");
        bar.message(&name);
        let scratch = folder.join(".scratch");
        std::fs::create_dir_all(&scratch).map_err(|e| Error::io("create", &scratch, e))?;
        let mut documents = spool::read(spooled)?.map(|d| {
            stop_if_asked(run)?;
            d
        });
        let verdicts = match first.step.whole() {
            Some(whole) => whole.decide(&mut documents, &scratch)?,
            None => return Err(Error::failed(format!("step {name:?} needs no second phase"))),
        };
        first.account.notes = verdicts.notes;
        let mut each = verdicts.each;
        let mut documents = spool::read(spooled)?;
        let mut read = 0;
        loop {
            stop_if_asked(run)?;
            let mut batch = Vec::new();
            let mut bytes = 0;
            let mut ended = false;
            while bytes < BATCH_BYTES && batch.len() < BATCH_DOCUMENTS {
                let Some(document) = documents.next().transpose()? else {
                    ended = true;
                    break;
                };
                bytes += document.text.len();
                read += document.text.len() as u64;
                let verdict = each(&document);
                batch.extend(first.verdict(document, verdict, &self.names));
            }
            self.pass(batch, rest, out)?;
            bar.set(read);
            if ended {
                break;
            }
        }
        std::fs::remove_dir_all(&scratch).map_err(|e| Error::io("remove", &scratch, e))?;
        bar.finish(&name);
        Ok(())
    }

    /// Documents through steps, and out.
    fn pass(
        &mut self,
        mut batch: Vec<Document>,
        stages: &mut [Stage],
        out: &mut Output,
    ) -> Result<()> {
        let per_thousand = self.section.heldout_per_thousand as u32;
        for stage in stages {
            batch = stage.pass(batch, &self.names, per_thousand);
        }
        for document in &batch {
            out.spool.add(document)?;
            if !out.kept {
                continue;
            }
            let own = &mut self.account.sources[document.source];
            own.kept_documents += 1;
            own.kept_bytes += document.text.len() as u64;
            own.heldout_documents += u64::from(document.heldout);
            if out.examples[document.source] < KEPT_EXAMPLES {
                out.examples[document.source] += 1;
                let name = self.names[document.source];
                self.account.kept_examples.push(Example::new(name, document, "kept", None));
            }
        }
        Ok(())
    }
}

/// Makes an item's text.
fn convert(mut item: Item) -> Item {
    if let Body::Later(make) = item.body {
        item.body = match make() {
            Ok(text) => Body::Text(text),
            Err(reason) => Body::Skip(reason),
        };
    }
    item
}

/// Documents and bytes from the sources through every step to what is kept.
fn balance(account: &Account) -> Result<()> {
    let mut flow: (u64, u64) =
        account.sources.iter().fold((0, 0), |(d, b), s| (d + s.documents, b + s.bytes));
    let kept =
        account.sources.iter().fold((0, 0), |(d, b), s| (d + s.kept_documents, b + s.kept_bytes));
    let mut whole = account.sources.iter().all(SourceAccount::balances);
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
