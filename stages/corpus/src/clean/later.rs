//! Later phases: a step looks at all documents, then they go on through the steps behind it.

use athanor_store::{Error, Result, durable::write_atomic_with};
use serde_json::json;

use super::{BATCH_BYTES, BATCH_DOCUMENTS, Cleaner, Entry, Part, first::Output};
use crate::{
    Document,
    encode::stop_if_asked,
    spool,
    stage::Stage,
    steps::Whole,
    whole::{self, Judged, Keys},
    work,
};

impl Cleaner<'_> {
    /// A later phase: its first step has to see all documents.
    pub(super) fn later(&self, phase: &[Entry], keys: &[String], next: &[String]) -> Result<()> {
        let Some(first) = phase.first() else { return Ok(()) };
        let work = self.work;
        let marks = Self::marks_key(phase, keys);
        let bar = work.run.console.bar("corpus", 0, "bytes");
        bar.message(&first.name);
        let none = || Error::failed(format!("step {:?} needs no second phase", first.name));
        if !work.is_done(&marks) || !work.path(&marks, "marks").exists() {
            let whole = first.ready(self)?.whole().ok_or_else(none)?;
            self.compare(first, whole, &Self::whole_key(phase, keys), &marks, keys)?;
        }
        let mut firsts = Vec::new();
        let mut documents = 0;
        for key in keys {
            firsts.push(documents);
            documents += work.read::<Part>(key)?.documents;
        }
        let mut read = 0;
        work.all(next, |n| {
            let whole = first.ready(self)?.whole().ok_or_else(none)?;
            let mut stages = self.stages(phase)?;
            let path = work.path(&next[n], "docs");
            let mut part = None;
            write_atomic_with(&path, |out| {
                let mut output = Output::new(&path, out);
                let mut judged = Judged::open(&work.path(&marks, "marks"), firsts[n])?;
                let documents = spool::read(&work.path(&keys[n], "docs"))?;
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
        judged: &mut Judged,
        whole: &dyn Whole,
        stages: &mut [Stage],
        out: &mut Output,
        mut read: impl FnMut(u64),
    ) -> Result<()> {
        let Some((stage, rest)) = stages.split_first_mut() else { return Ok(()) };
        let per_thousand = self.section.heldout_per_thousand as u32;
        loop {
            stop_if_asked(self.work.run)?;
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
        let work = self.work;
        let maps: Vec<String> =
            keys.iter().map(|k| work::key(&json!(["keys", entry.key, k]))).collect();
        work.all(&maps, |n| {
            let documents = work.path(&keys[n], "docs");
            let takes_part = |source: usize| !entry.passed_by[source];
            let out = work.path(&maps[n], "keys");
            let counts = whole::write_keys(&documents, whole, takes_part, &out)?;
            work.finish(&maps[n], &counts)
        })?;
        let mut all = Vec::new();
        let mut first = 0;
        for (map, key) in maps.iter().zip(keys) {
            all.push(Keys { path: work.path(map, "keys"), first, counts: work.read(map)? });
            first += work.read::<Part>(key)?.documents;
        }
        let groups: Vec<String> =
            (0..whole::groups(&all)).map(|n| work::key(&json!(["group", key, n]))).collect();
        let name = |n: usize, pass: usize| work.path(&groups[n], &format!("marks.{pass}"));
        work.all(&groups, |n| {
            stop_if_asked(work.run)?;
            let passes = whole::compare(&all, n, groups.len(), whole, |pass| name(n, pass))?;
            work.finish(&groups[n], &passes)
        })?;
        work.all(&[marks.to_string()], |_| {
            let mut files = Vec::new();
            for (n, group) in groups.iter().enumerate() {
                files.extend((0..work.read::<usize>(group)?).map(|pass| name(n, pass)));
            }
            let notes = whole::gather(&files, whole, &work.path(marks, "marks"))?;
            work.finish(marks, &notes)?;
            if work.run.task.is_some() {
                // Others may still look.
                return Ok(());
            }
            for (n, group) in groups.iter().enumerate() {
                let passes = work.read::<usize>(group)?;
                work.forget(group, "json");
                (0..passes).for_each(|pass| work.forget(&groups[n], &format!("marks.{pass}")));
            }
            for map in &maps {
                work.forget(map, "json");
                work.forget(map, "keys");
            }
            Ok(())
        })
    }
}
