//! Later phases: a step looks at all documents, then they go on through the steps behind it.

use athanor_store::{Error, Result, durable::write_atomic_with};
use serde_json::json;

use super::{BATCH_BYTES, BATCH_DOCUMENTS, Cleaner, Entry, Part, first::Output};
use crate::{
    Document, cache,
    clean::applied::Applied,
    clean::compare::{self, Keys, Verdicts},
    spool,
    steps::Whole,
};

impl Cleaner<'_> {
    /// A later phase: its first step has to see all documents.
    pub(super) fn later(&self, phase: &[Entry], keys: &[String], next: &[String]) -> Result<()> {
        let Some(first) = phase.first() else { return Ok(()) };
        let cache = self.cache;
        let marks = Self::marks_key(phase, keys);
        let bar = cache.run.console.bar("corpus", 0, "bytes");
        bar.message(&first.name);
        let none = || Error::failed(format!("step {:?} needs no second phase", first.name));
        if !cache.is_done(&marks) || !cache.path(&marks, "marks").exists() {
            let whole = first.ready(self)?.whole().ok_or_else(none)?;
            self.compare(first, whole, &Self::whole_key(phase, keys), &marks, keys)?;
        }
        let mut firsts = Vec::new();
        let mut documents = 0;
        for key in keys {
            firsts.push(documents);
            documents += cache.read::<Part>(key)?.documents;
        }
        let mut read = 0;
        cache.all(next, |n| {
            let whole = first.ready(self)?.whole().ok_or_else(none)?;
            let mut stages = self.stages(phase)?;
            let path = cache.path(&next[n], "docs");
            let mut part = None;
            write_atomic_with(&path, |out| {
                let mut output = Output::new(&path, out);
                let mut judged = Verdicts::open(&cache.path(&marks, "marks"), firsts[n])?;
                let documents = spool::read(&cache.path(&keys[n], "docs"))?;
                self.judge(documents, &mut judged, whole, &mut stages, &mut output, |size| {
                    read += size;
                    bar.set(read);
                })?;
                part = Some(output.part);
                Ok(())
            })?;
            self.finish(&next[n], part, stages)
        })?;
        bar.finish(&first.name);
        Ok(())
    }

    /// Documents with their marks through the steps of a phase.
    fn judge(
        &self,
        mut documents: impl Iterator<Item = Result<Document>>,
        judged: &mut Verdicts,
        whole: &dyn Whole,
        stages: &mut [Applied],
        out: &mut Output,
        mut read: impl FnMut(u64),
    ) -> Result<()> {
        let Some((stage, rest)) = stages.split_first_mut() else { return Ok(()) };
        let per_thousand = self.section.heldout_per_thousand as u32;
        loop {
            self.cache.run.interrupt.check()?;
            let mut batch = Vec::new();
            let mut bytes = 0;
            while bytes < BATCH_BYTES && batch.len() < BATCH_DOCUMENTS {
                let Some(document) = documents.next().transpose()? else { break };
                bytes += document.text.len();
                batch.push((document, judged.next()?));
            }
            if batch.is_empty() {
                return Ok(());
            }
            let batch = stage.verdicts(whole, batch, &self.names, per_thousand);
            self.pass(batch, rest, out)?;
            read(bytes as u64);
        }
    }

    /// Finds out what the documents have in common.
    fn compare(
        &self,
        entry: &Entry,
        whole: &dyn Whole,
        key: &str,
        marks: &str,
        keys: &[String],
    ) -> Result<()> {
        let cache = self.cache;
        let maps: Vec<String> =
            keys.iter().map(|k| cache::key(&json!(["keys", entry.key, k]))).collect();
        cache.all(&maps, |n| {
            let documents = cache.path(&keys[n], "docs");
            let takes_part = |source: usize| !entry.passed_by[source];
            let out = cache.path(&maps[n], "keys");
            let counts = compare::write_keys(&documents, whole, takes_part, &out)?;
            cache.finish(&maps[n], &counts)
        })?;
        let mut all = Vec::new();
        let mut first = 0;
        for (map, key) in maps.iter().zip(keys) {
            all.push(Keys { path: cache.path(map, "keys"), first, counts: cache.read(map)? });
            first += cache.read::<Part>(key)?.documents;
        }
        let groups: Vec<String> =
            (0..compare::groups(&all)).map(|n| cache::key(&json!(["group", key, n]))).collect();
        let name = |n: usize, pass: usize| cache.path(&groups[n], &format!("marks.{pass}"));
        cache.all(&groups, |n| {
            cache.run.interrupt.check()?;
            let passes = compare::compare(&all, n, groups.len(), whole, |pass| name(n, pass))?;
            cache.finish(&groups[n], &passes)
        })?;
        cache.all(&[marks.to_string()], |_| {
            let mut files = Vec::new();
            for (n, group) in groups.iter().enumerate() {
                files.extend((0..cache.read::<usize>(group)?).map(|pass| name(n, pass)));
            }
            let notes = compare::gather(&files, whole, &cache.path(marks, "marks"))?;
            cache.finish(marks, &notes)?;
            if cache.run.task.is_some() {
                // Others may still look.
                return Ok(());
            }
            for (n, group) in groups.iter().enumerate() {
                let passes = cache.read::<usize>(group)?;
                cache.forget(group, "json");
                (0..passes).for_each(|pass| cache.forget(&groups[n], &format!("marks.{pass}")));
            }
            for map in &maps {
                cache.forget(map, "json");
                cache.forget(map, "keys");
            }
            Ok(())
        })
    }
}
