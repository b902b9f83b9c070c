//! Conventions that a compiler does not hold: who imports whom, who writes durable bytes, lengths, registries.
//! CONTRIBUTING.md and ARCHITECTURE.md say why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Crates by layer: a crate imports only from layers before its own.
const LAYERS: &[&[&str]] = &[
    &["tensor", "store"],
    &["text", "gguf"],
    &["models", "data"],
    &["generation"],
    &["training", "serving"],
    &["corpus", "pretrain", "finetune", "reward", "reinforce"],
    &["report", "bench"],
    &["lab"],
    &["athanor"],
];

/// Files that may write without core/store: what a crash may lose, or what is no file of a run.
const WRITERS: &[(&str, &str)] = &[
    ("core/store/", "the one that writes durable bytes"),
    ("stages/corpus/src/cache.rs", "claims, which only save work"),
    ("stages/corpus/src/mix/shuffle.rs", "buckets that a crash may lose"),
    ("stages/corpus/src/clean/compare.rs", "sorted runs that a crash may lose"),
    ("stages/corpus/src/stage.rs", "texts.jsonl, within a staged folder"),
    ("stages/corpus/src/sources/remote/", "a download's partial file, renamed when it is whole"),
    ("core/data/src/shard_writer.rs", "shards, within a staged folder"),
    ("core/gguf/src/", "a model folder, within a staged folder"),
    ("app/bench/", "folders that vanish"),
    ("fuzz/", "no part of the product"),
];

/// Functions that may be longer than [`LONGEST_FUNCTION`], each with its reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("stages/corpus/src/sources/wikitext/templates.rs: render", "a table of templates"),
    ("app/bench/src/ops.rs: run", "a table of ops"),
];

const LONGEST_FUNCTION: usize = 100;
const LONGEST_FILE: usize = 560;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Relative path and text of all Rust files below some folders.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    fn walk(at: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    folders.iter().for_each(|f| walk(&root.join(f), &mut found));
    found.sort();
    let relative = |p: &Path| p.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    found.iter().map(|p| (relative(p), fs::read_to_string(p).unwrap())).collect()
}

/// Product code: no tests, no comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/fixtures.rs")
}

#[test]
fn crates_import_from_below() {
    let layer = |name: &str| LAYERS.iter().position(|l| l.contains(&name));
    let mut seen = 0;
    for floor in ["core", "stages", "app"] {
        for entry in fs::read_dir(root().join(floor)).unwrap() {
            let manifest = entry.unwrap().path().join("Cargo.toml");
            let text = fs::read_to_string(&manifest).unwrap();
            let short = |name: &str| name.trim_start_matches("athanor-").to_owned();
            let name = text.lines().find_map(|l| l.strip_prefix("name = \"")).unwrap();
            let name = short(name.trim_end_matches('"'));
            let own =
                layer(&name).unwrap_or_else(|| panic!("{name} has no layer in tests/tidy.rs"));
            let product = text.split("[dev-dependencies]").next().unwrap();
            for line in product.lines().filter(|l| l.starts_with("athanor-")) {
                let other = short(line.split(['.', ' ', '=']).next().unwrap());
                let below = layer(&other).unwrap_or_else(|| panic!("{other} has no layer"));
                assert!(below < own, "{name} imports {other}, which is not below it");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, LAYERS.iter().map(|l| l.len()).sum::<usize>(), "a crate is gone");
}

/// The modules of a crate: for each its text and what it re-exports, by the path of its name.
struct Crate {
    files: BTreeMap<Vec<String>, String>,
}

impl Crate {
    fn open(folder: &str) -> Self {
        let prefix = format!("{folder}/src/");
        let mut files = BTreeMap::new();
        for (path, text) in sources(&[&format!("{folder}/src")]) {
            if is_test(&path) {
                continue;
            }
            let name = path[prefix.len()..].trim_end_matches(".rs");
            let mut parts: Vec<String> = name.split('/').map(str::to_owned).collect();
            if parts.last().is_some_and(|p| p == "mod") {
                parts.pop();
            }
            if parts == ["lib"] || parts == ["main"] {
                parts.clear();
            }
            files.insert(parts, code(&text));
        }
        Self { files }
    }

    /// The module that a path leads to, through re-exports.
    fn resolve(&self, path: &[String], depth: usize) -> Vec<String> {
        for n in (0..=path.len()).rev() {
            let module = path[..n].to_vec();
            let Some(text) = self.files.get(&module) else { continue };
            let Some(item) = path.get(n).filter(|_| depth < 6) else { return module };
            for (public, used) in uses(text) {
                let Some(full) = absolute(&module, &used, self) else { continue };
                if public && full.last() == Some(item) && full[..] != path[..] {
                    return self.resolve(&full, depth + 1);
                }
            }
            return module;
        }
        Vec::new()
    }

    /// What each module imports, but for its own children: those are its registry.
    fn imports(&self) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
        let mut all: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
        for (module, text) in &self.files {
            let found = all.entry(module.clone()).or_default();
            let named = uses(text).into_iter().map(|(_, path)| path).chain(inline(text));
            for path in named.filter(|p| p.starts_with("crate") || p.starts_with("super")) {
                let Some(full) = absolute(module, &path, self) else { continue };
                let other = self.resolve(&full, 0);
                let child = other.starts_with(module);
                if !child && !other.is_empty() {
                    found.insert(other);
                }
            }
        }
        all
    }
}

/// All paths of `use` items, one for each name, and whether they are re-exports.
fn uses(text: &str) -> Vec<(bool, String)> {
    fn expand(path: &str, out: &mut Vec<String>) {
        let path = path.trim();
        let Some((before, rest)) = path.split_once('{') else {
            let path = path.split(" as ").next().unwrap_or_default().trim();
            if !path.is_empty() {
                out.push(path.trim_end_matches("::").to_owned());
            }
            return;
        };
        let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
        let (mut depth, mut part) = (0, String::new());
        for c in inner.chars().chain([',']) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if c == ',' && depth == 0 {
                let one = std::mem::take(&mut part);
                if !one.trim().is_empty() {
                    expand(&format!("{}{}", before.trim(), one.trim()), out);
                }
            } else {
                part.push(c);
            }
        }
    }
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let line = rest[..at].rsplit('\n').next().unwrap_or_default().trim().to_owned();
        rest = &rest[at + 4..];
        let Some(end) = rest.find(';') else { break };
        if !line.is_empty() && !line.starts_with("pub") {
            continue;
        }
        let mut names = Vec::new();
        expand(&rest[..end], &mut names);
        found.extend(names.into_iter().map(|n| (line.starts_with("pub"), n.replace("::self", ""))));
        rest = &rest[end..];
    }
    found
}

/// Paths that begin with `crate::` or `super::` outside of `use`.
fn inline(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in
        text.lines().filter(|l| !l.trim_start().trim_start_matches("pub ").starts_with("use "))
    {
        for start in ["crate::", "super::"] {
            for (at, _) in line.match_indices(start) {
                let before = line[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == ':' || c == '_') {
                    continue;
                }
                let end = line[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
                let path = &line[at..end.map_or(line.len(), |e| at + e)];
                found.push(path.trim_end_matches(':').to_owned());
            }
        }
    }
    found
}

/// A path seen from the crate's root; `None` for other crates.
fn absolute(module: &[String], path: &str, of: &Crate) -> Option<Vec<String>> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut base: Vec<String> = module.to_vec();
    match parts[0] {
        "crate" => {
            base.clear();
            parts.remove(0);
        }
        "self" => {
            parts.remove(0);
        }
        "super" => {
            while parts.first() == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
        }
        first => {
            let child: Vec<String> = module.iter().cloned().chain([first.to_owned()]).collect();
            of.files.get(&child)?;
        }
    }
    base.extend(parts.into_iter().map(str::to_owned));
    Some(base)
}

/// A walk from a module back to itself, if there is one.
fn circle(graph: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Option<Vec<String>> {
    fn walk<'a>(
        at: &'a Vec<String>,
        graph: &'a BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
        way: &mut Vec<&'a Vec<String>>,
        done: &mut BTreeSet<&'a Vec<String>>,
    ) -> Option<Vec<String>> {
        if let Some(from) = way.iter().position(|m| *m == at) {
            let names = way[from..].iter().chain([&at]).map(|m| m.join("::"));
            return Some(names.collect());
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let found =
            graph.get(at).into_iter().flatten().find_map(|next| walk(next, graph, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|m| walk(m, graph, &mut Vec::new(), &mut done))
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let mut modules = 0;
    for floor in ["core", "stages", "app"] {
        for entry in fs::read_dir(root().join(floor)).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            let folder = format!("{floor}/{name}");
            let of = Crate::open(&folder);
            modules += of.files.len();
            if let Some(way) = circle(&of.imports()) {
                panic!("{folder}: a circle: {}", way.join(" -> "));
            }
        }
    }
    assert!(modules > 300, "only {modules} modules were read");
}

/// The program that finds circles finds one where there is one.
#[test]
fn a_circle_is_found() {
    let files = [
        (vec![], "pub use a::Item;"),
        (vec!["a"], "use crate::b::Other;\npub struct Item;"),
        (vec!["b"], "use super::c;\npub struct Other;"),
        (vec!["c"], "fn f(_: crate::Item) {}"),
        (vec!["c", "child"], "use super::f;"),
    ];
    let files = files.map(|(name, text)| {
        (name.into_iter().map(str::to_owned).collect::<Vec<_>>(), text.to_owned())
    });
    let of = Crate { files: files.into_iter().collect() };
    let way = circle(&of.imports()).unwrap();
    assert_eq!(way, ["a", "b", "c", "a"]);
}

#[test]
fn durable_bytes_only_through_store() {
    for (path, text) in sources(&["core", "stages", "app"]) {
        if is_test(&path) || WRITERS.iter().any(|(p, _)| path.starts_with(p)) {
            continue;
        }
        for way in ["fs::write(", "File::create(", "OpenOptions::new()", "File::options()"] {
            assert!(!code(&text).contains(way), "{path} writes by {way}…): use core/store");
        }
    }
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for (path, text) in sources(&["core", "stages", "app"]) {
        if is_test(&path) {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > LONGEST_FILE {
            long.push(format!("{path}: {} lines", lines.len()));
        }
        for (i, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words = line.trim_start();
            let begins = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "unsafe fn "];
            if !begins.iter().any(|b| words.starts_with(b)) {
                continue;
            }
            let head = lines[i..].iter().find(|l| l.ends_with(['{', ';', '}']));
            if head.is_some_and(|l| l.ends_with(';')) {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let Some(length) = lines[i..].iter().position(|l| *l == close) else { continue };
            let name = words.split("fn ").nth(1).and_then(|n| n.split(['(', '<']).next());
            let name = format!("{path}: {}", name.unwrap_or_default());
            let allowed = LONG_FUNCTIONS.iter().any(|(n, _)| *n == name);
            if length >= LONGEST_FUNCTION && !allowed {
                long.push(format!("{name}: {} lines", length + 1));
            }
        }
    }
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}

/// Each row of CONTRIBUTING's table of additions names a registry that is there.
#[test]
fn registries_are_where_contributing_says() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let mut rows = 0;
    for row in text.lines().filter(|l| l.starts_with("| ") && l.contains(" in ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [_, _, registry] = cells[..] else { continue };
        let Some((name, place)) = registry.split_once(" in ") else { continue };
        // A registry is named by its code; other ways are described in words.
        let Some(name) = name.trim().strip_prefix('`').and_then(|n| n.strip_suffix('`')) else {
            continue;
        };
        let name = name.trim_end_matches('!');
        let place = place.split([' ', ';', ',']).next().unwrap().trim_matches('`');
        let file = root().join(place);
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|e| panic!("CONTRIBUTING.md names {place}: {e}"));
        assert!(text.contains(name), "{place} has no {name}, which CONTRIBUTING.md names");
        rows += 1;
    }
    assert!(rows >= 12, "only {rows} rows were read");
}
