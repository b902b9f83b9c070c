//! `hf://datasets/OWNER/NAME[@REVISION][/PATH]`, taken apart.

use athanor_store::{Error, Result};
use glob::Pattern;

/// An address, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Address {
    /// OWNER/NAME.
    pub(super) name: String,
    pub(super) revision: String,
    /// A file, a folder or a pattern; empty: everything.
    pub(super) path: String,
}
impl Address {
    pub(super) fn parse(address: &str) -> Result<Self> {
        let form = "expected hf://datasets/OWNER/NAME, with @REVISION and /PATH if wanted";
        let bad = |what: &str| Err(Error::input(what).hint(form));
        let Some(rest) = address.strip_prefix("hf://datasets/") else {
            return bad("only data sets are sources: hf://datasets/…");
        };
        let Some((owner, rest)) = rest.split_once('/') else {
            return bad("a data set's name has an owner: OWNER/NAME");
        };
        let end = rest.find(['/', '@']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let (revision, path) = match rest.strip_prefix('@') {
            None => ("main", rest),
            Some(rest) => {
                // The two kinds of revisions that have slashes.
                let parts = match rest.starts_with("refs/convert/") || rest.starts_with("refs/pr/")
                {
                    true => 3,
                    false => 1,
                };
                let end = rest.match_indices('/').nth(parts - 1).map_or(rest.len(), |(at, _)| at);
                rest.split_at(end)
            }
        };
        let word = |s: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !s.is_empty() && s.chars().all(known) && !s.contains("..")
        };
        if !word(owner) || !word(name) {
            return bad("a name of letters, digits, -, _ and . was expected");
        }
        let revision = match revision {
            "~parquet" => "refs/convert/parquet".to_string(),
            other => other.replace("%2F", "/").replace("%2f", "/"),
        };
        if revision.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return bad("a branch, a tag or a commit was expected behind @");
        }
        let path = path.trim_matches('/').to_string();
        Pattern::new(&path).map_err(|e| Error::input(format!("a bad pattern: {e}")))?;
        Ok(Self { name: format!("{owner}/{name}"), revision, path })
    }

    /// The folder with the wanted files, and whether those of folders below it are.
    pub(super) fn folder(&self) -> (&str, bool) {
        let wild = self.path.find(['*', '?', '[']).unwrap_or(self.path.len());
        let folder = self.path[..wild].rsplit_once('/').map_or("", |(folder, _)| folder);
        let rest = &self.path[folder.len()..];
        // Of a pattern for names alone the folder itself is enough.
        (
            folder,
            wild < self.path.len() && rest.trim_start_matches('/').contains('/')
                || self.path.is_empty(),
        )
    }

    pub(super) fn is_pattern(&self) -> bool {
        self.path.contains(['*', '?', '['])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |a: &str| Address::parse(&format!("hf://datasets/{a}")).unwrap();
        let is = |a: &str, revision: &str, path: &str| {
            let got = parse(a);
            assert_eq!(
                (got.name.as_str(), got.revision.as_str(), got.path.as_str()),
                ("o/n", revision, path),
                "{a}"
            );
        };
        is("o/n", "main", "");
        is("o/n/", "main", "");
        is("o/n/data/a@b.jsonl", "main", "data/a@b.jsonl");
        is("o/n@v1.0/data/*.parquet", "v1.0", "data/*.parquet");
        is(
            "o/n@refs/convert/parquet/x/train/*.parquet",
            "refs/convert/parquet",
            "x/train/*.parquet",
        );
        is("o/n@refs%2Fpr%2F1/x", "refs/pr/1", "x");
        is("o/n@~parquet/x", "refs/convert/parquet", "x");
        for bad in [
            "hf://o/n/x",
            "hf://datasets/n",
            "hf://datasets/o/../x",
            "hf://datasets/o/n@/x",
            "hf://datasets/o/n@a%2F..%2Fb/x",
            "hf://datasets/o/n/[",
            "hf://datasets/o n/x",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        for (path, want) in [
            ("o/n", ("", true)),
            ("o/n/a.jsonl", ("", false)),
            ("o/n/d/a.jsonl", ("d", false)),
            ("o/n/d/*.jsonl", ("d", false)),
            ("o/n/d/*/x.jsonl", ("d", true)),
            ("o/n/**/x.jsonl", ("", true)),
            ("o/n/d*/x", ("", true)),
        ] {
            assert_eq!(parse(path).folder(), want, "{path}");
        }
    }
}
