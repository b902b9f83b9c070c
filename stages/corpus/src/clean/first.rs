//! The first phase: what the sources give, through the steps.

use std::{path::Path, sync::Arc};

use athanor_data::heldout;
use athanor_store::{Error, Result, durable::write_atomic_with};
use rayon::prelude::*;

use super::{BATCH_BYTES, BATCH_DOCUMENTS, Cleaner, Entry, KEPT_EXAMPLES, Part};
use crate::{
    Document, Example, SourceAccount,
    account::ERRORS,
    clean::applied::Applied,
    inputs::Unit,
    sources::{self, Body, Item, remote::Feed},
    spool::Spool,
};

/// Where documents of a phase go.
pub(super) struct Output<'a> {
    spool: Spool<'a>,
    pub(super) part: Part,
}

impl Cleaner<'_> {
    /// The first phase: from the sources.
    pub(super) fn first(&self, phase: &[Entry], keys: &[String]) -> Result<()> {
        let run = self.cache.run;
        let bar = run.console.bar("corpus", 0, "bytes");
        let mut read = 0;
        // What is elsewhere comes a few files before it is read.
        let order =
            self.cache.order(keys.len()).into_iter().filter(|&n| !self.cache.is_done(&keys[n]));
        let remote = order.flat_map(|n| &self.units[n].files).filter_map(|f| f.remote.clone());
        let feed =
            Feed::by_environment(remote.collect(), run.console.clone(), run.interrupt.clone());
        self.cache.all(keys, |n| {
            let path = self.cache.path(&keys[n], "docs");
            let mut stages = self.stages(phase)?;
            let mut part = None;
            write_atomic_with(&path, |out| {
                let mut output = Output::new(&path, out);
                let mut watch = |bytes| {
                    read += bytes;
                    bar.set(read);
                };
                bar.message(&self.section.sources[self.units[n].source].name);
                let source =
                    self.read(&self.units[n], &feed, &mut stages, &mut output, &mut watch)?;
                part = Some(Part { source: Some(source), ..output.part });
                Ok(())
            })?;
            self.finish(&keys[n], part, stages)?;
            if !self.section.keep_downloads {
                self.units[n]
                    .files
                    .iter()
                    .filter_map(|f| f.remote.as_ref())
                    .for_each(|f| f.forget());
            }
            Ok(())
        })?;
        bar.finish(&format!("{read} bytes read"));
        Ok(())
    }

    /// Reads a unit's files.
    fn read(
        &self,
        unit: &Unit,
        feed: &Arc<Feed>,
        stages: &mut [Applied],
        out: &mut Output,
        read: &mut dyn FnMut(u64),
    ) -> Result<SourceAccount> {
        let run = self.cache.run;
        let per_thousand = self.section.heldout_per_thousand as u32;
        let (number, source) = (unit.source, &self.section.sources[unit.source]);
        let place = |e: Error| e.at(format!("source {:?}", source.name));
        let mut own = SourceAccount::default();
        let (mut items, tally) = sources::read(&unit.files, source, feed).map_err(place)?;
        let mut more = true;
        while more {
            run.interrupt.check()?;
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
                    Some(Err(e)) if source.skips() && !feed.has_failed() => {
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
            let mut documents = Vec::with_capacity(converted.len());
            let before = own.bytes;
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
                let heldout = heldout(&text, per_thousand);
                let (id, url) = (item.id, item.url);
                documents.push(Document {
                    source: number,
                    id,
                    text,
                    heldout,
                    url,
                    language: "",
                    quality: None,
                });
            }
            let bytes = own.bytes - before;
            self.pass(documents, stages, out)?;
            read(bytes);
        }
        (own.files, own.file_bytes, own.content_bytes) = tally.total();
        Ok(own)
    }

    /// Documents through steps, and out.
    pub(super) fn pass(
        &self,
        mut batch: Vec<Document>,
        stages: &mut [Applied],
        out: &mut Output,
    ) -> Result<()> {
        let per_thousand = self.section.heldout_per_thousand as u32;
        for stage in stages {
            batch = stage.pass(batch, &self.names, per_thousand);
        }
        for document in &batch {
            out.spool.add(document)?;
            let part = &mut out.part;
            part.documents += 1;
            part.bytes += document.text.len() as u64;
            part.heldout_documents += u64::from(document.heldout);
            let name = self.names[document.source];
            Example::keep(&mut part.examples, KEPT_EXAMPLES, name, document);
        }
        Ok(())
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(path: &'a Path, out: &'a mut dyn std::io::Write) -> Self {
        let part = Part {
            source: None,
            steps: Vec::new(),
            documents: 0,
            bytes: 0,
            heldout_documents: 0,
            examples: Vec::new(),
        };
        Self { spool: Spool::new(path, out), part }
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
