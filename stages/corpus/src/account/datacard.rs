//! The data card: what the corpus is made of, for people (Gebru et al. 2021, <https://arxiv.org/abs/1803.09010>, as
//! far as it can be counted).

use std::fmt::Write;

use super::{Account, diversity::share};

/// The card as Markdown.
pub(crate) fn render(account: &Account) -> String {
    let mut out = String::from("# Data card\n\n");
    let mut line = |text: String| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{text}");
    };
    let documents: u64 = account.sources.iter().map(|s| s.kept_documents).sum();
    let bytes: u64 = account.sources.iter().map(|s| s.kept_bytes).sum();
    let heldout: u64 = account.sources.iter().map(|s| s.heldout_documents).sum();
    line(format!("{documents} documents, {bytes} bytes of text, {heldout} of them held out."));
    if account.vocab_size > 0 {
        line(format!(
            "{} training tokens and {} held-out ones of a vocabulary of {}.",
            account.tokens.train, account.tokens.heldout, account.vocab_size
        ));
    }
    sources(account, &mut line);
    cleaning(account, &mut line);
    languages(account, &mut line);
    mix(account, &mut line);
    diversity(account, &mut line);
    out
}

/// Takes a line of the card.
type Line<'a> = &'a mut dyn FnMut(String);

fn sources(account: &Account, line: Line<'_>) {
    line("\n## Sources\n".into());
    line("| source | licence | files | records | documents | kept | bytes kept | tokens |".into());
    line("|---|---|---:|---:|---:|---:|---:|---:|".into());
    for s in &account.sources {
        let licence = if s.licence.is_empty() { "not given" } else { &s.licence };
        line(format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            cell(&s.name),
            cell(licence),
            s.files,
            s.records,
            s.documents,
            s.kept_documents,
            s.kept_bytes,
            s.tokens
        ));
    }
    for s in account.sources.iter().filter(|s| !s.fetched.is_empty()) {
        line(format!("\n{} was fetched from {}: {}.", s.name, s.path, s.fetched.join("; ")));
    }
    for s in account.sources.iter().filter(|s| !s.skipped.is_empty()) {
        let reasons: Vec<String> =
            s.skipped.iter().map(|(reason, n)| format!("{} {reason}", n.records)).collect();
        line(format!("\nRecords of {} that gave no document: {}.", s.name, reasons.join(", ")));
    }
}

fn cleaning(account: &Account, line: Line<'_>) {
    line("\n## Cleaning\n".into());
    line("| step | documents in | out | bytes in | out | dropped because |".into());
    line("|---|---:|---:|---:|---:|---|".into());
    for s in &account.steps {
        let reasons: Vec<String> = s.dropped.iter().map(|(why, n)| format!("{why} {n}")).collect();
        let counts = [s.documents_in, s.documents_out, s.bytes_in, s.bytes_out];
        let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
        let dropped = cell(&reasons.join(", "));
        line(format!("| {} | {} | {dropped} |", s.name, counts.join(" | ")));
    }
    let hits: usize = account.steps.iter().map(|s| s.hits.len()).sum();
    if account.steps.iter().any(|s| s.name == "decontaminate") {
        line(format!(
            "\nDocuments that have something in common with evaluation sets: {hits} (listed in account.json)."
        ));
    }
}

fn languages(account: &Account, line: Line<'_>) {
    if let Some(last) = account.steps.last().filter(|s| s.by_language.len() > 1) {
        line("\n## Languages\n".into());
        let mut flows: Vec<_> = last.by_language.iter().collect();
        flows.sort_by(|a, b| b.1.bytes_out.cmp(&a.1.bytes_out).then_with(|| a.0.cmp(b.0)));
        for (name, flow) in flows {
            let name = if name.is_empty() { "not known" } else { name };
            let share = share(flow, last.bytes_out);
            line(format!("- {name}: {} documents, {share:.2} % of the bytes", flow.documents_out));
        }
    }
}

fn mix(account: &Account, line: Line<'_>) {
    if let Some(mix) = &account.mix {
        line("\n## Mix\n".into());
        line("| source | language | tokens there are | epochs | tokens | share |".into());
        line("|---|---|---:|---:|---:|---:|".into());
        for g in &mix.groups {
            line(format!(
                "| {} | {} | {} | {:.2} | {} | {:.2} % |",
                cell(&g.source),
                g.language,
                g.tokens_available,
                g.epochs_wanted,
                g.tokens,
                100.0 * g.share
            ));
        }
    }
}

fn diversity(account: &Account, line: Line<'_>) {
    let d = &account.diversity;
    line("\n## Diversity\n".into());
    line(format!("{} words, about {} different ones.", d.words, d.different_words));
    if d.domains > 0 {
        let top: Vec<String> =
            d.top_domains.iter().take(10).map(|(name, n)| format!("{name} ({n})")).collect();
        line(format!("{} domains; the commonest: {}.", d.domains, top.join(", ")));
    }
    if !d.topics.is_empty() {
        line(format!(
            "\nWhat a sample of {} documents (long ones the likelier, so that shares are of the text) is about, \
             grouped by their words:\n",
            d.topic_documents
        ));
        line("| share | words | sources |".into());
        line("|---:|---|---|".into());
        for t in &d.topics {
            let sources: Vec<String> = t.sources.iter().map(|(s, n)| format!("{s} {n}")).collect();
            let [words, sources] = [&t.words, &sources].map(|all| cell(&all.join(", ")));
            line(format!("| {:.1} % | {words} | {sources} |", 100.0 * t.share));
        }
    }
}

/// A text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
