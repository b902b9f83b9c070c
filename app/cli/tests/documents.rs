//! What the documents say can be typed, exists and is accepted.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use athanor_pretrain::objectives::OBJECTIVES;
use athanor_reinforce::algorithms::ALGORITHMS;
use athanor_store::{
    Entry,
    figures::{
        self, CorpusSummary, FinetuneSummary, MetricsRow, PretrainSummary, ReinforceSummary,
        RewardSummary, SUPERVISED, Shape, Summary, fields_table,
    },
};

/// Documents outside docs/. All documents in docs/ count.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "README.zh-CN.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "data/README.md",
];

const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];

/// What `cargo test` needs; .ci/run has to run the same.
const TESTS: &str = "cargo test --workspace --release";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(document: &str) -> String {
    let path = root().join(document);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// [`DOCUMENTS`] and every document below docs/, by path from the top.
fn documents() -> Vec<String> {
    let mut found: Vec<String> = DOCUMENTS.iter().map(|name| (*name).to_owned()).collect();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    assert!(found.len() > DOCUMENTS.len() + 5, "{found:?}");
    found.sort();
    found
}

/// A folder of this test's own, empty.
fn empty(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn athanor(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_athanor"))
        .current_dir(folder)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The fenced blocks of a document with their language.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that is not closed");
    found
}

/// The command lines of a document: `sh` blocks whole, of `console` blocks what follows `$ `.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (language, body) in blocks(text) {
        let lines = body.lines().filter_map(|line| match language.as_str() {
            "sh" => Some(line),
            "console" => line.strip_prefix("$ "),
            _ => None,
        });
        found.extend(lines.filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned));
    }
    found
}

/// The words of a command line as a shell sees them, one list for each command of a pipe.
fn words(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut any, mut quote) = (String::new(), false, None);
    for c in line.chars().chain([' ']) {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => (quote, any) = (Some(c), true),
            (' ' | '|', None) => {
                if any {
                    all.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                any = false;
                if c == '|' {
                    all.push(Vec::new());
                }
            }
            (c, _) => {
                word.push(c);
                any = true;
            }
        }
    }
    assert!(quote.is_none(), "a quote that is not closed: {line}");
    // What is behind > goes to a file.
    for command in &mut all {
        if let Some(at) = command.iter().position(|w| w == ">") {
            command.truncate(at);
        }
    }
    all
}

/// The arguments of `athanor` in a command line, also behind `cargo run --release --`.
fn arguments(line: &str) -> Vec<Vec<String>> {
    words(line)
        .into_iter()
        .filter_map(|mut command| {
            let from = match command.first()?.as_str() {
                "athanor" | "target/release/athanor" => 1,
                "cargo" if command.get(1)? == "run" => command.iter().position(|w| w == "--")? + 1,
                _ => return None,
            };
            Some(command.split_off(from))
        })
        .collect()
}

#[test]
fn commands_of_the_documents_are_real() {
    let folder = empty("commands");
    let mut checked = 0;
    for document in documents() {
        for line in commands(&read(&document)) {
            for args in arguments(&line) {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let Some(name) = args.first().filter(|a| !a.starts_with('-')) else { continue };
                let help = athanor(&folder, &[name, "--help"]);
                assert!(help.status.success(), "{document}: no command `{name}`: {line}");
                let help = String::from_utf8(help.stdout).unwrap();
                let known: BTreeSet<&str> =
                    help.split([' ', ',', '\n', '[', '<']).filter(|w| w.starts_with('-')).collect();
                for flag in args.iter().filter(|a| a.starts_with('-') && a.len() > 1) {
                    let flag = flag.split('=').next().unwrap();
                    assert!(known.contains(flag), "{document}: `{name}` has no {flag}: {line}");
                }
                for pair in args.windows(2).filter(|p| p[0] == "--set") {
                    // The command's own recipe, if it names one that is here.
                    let own = args.iter().map(|a| root().join(a));
                    let mut own =
                        own.filter(|p| p.extension().is_some_and(|e| e == "toml") && p.exists());
                    let recipe = own.next().unwrap_or_else(|| root().join("recipes/demo.toml"));
                    let recipe = recipe.to_str().unwrap();
                    let set = athanor(&folder, &["recipe", "--check", recipe, "--set", pair[1]]);
                    let error = String::from_utf8_lossy(&set.stderr);
                    assert!(set.status.success(), "{document}: {line}: {error}");
                }
                // There is nothing here to work on, so all but the demo end at once: with an error
                // about a file, but not about the command line.
                if *name != "demo" {
                    let output = athanor(&folder, &args);
                    let error = String::from_utf8_lossy(&output.stderr);
                    assert!(!error.contains("Usage: "), "{document}: {line}: {error}");
                }
                checked += 1;
            }
        }
    }
    assert!(checked >= 40, "only {checked} commands were found");
}

#[test]
fn cargo_takes_the_flags_of_the_documents() {
    for document in documents() {
        for line in commands(&read(&document)) {
            for command in words(&line).iter().filter(|c| c.first().is_some_and(|w| w == "cargo")) {
                let name = command[1].as_str();
                assert!(
                    ["run", "test", "build", "install", "fmt", "clippy", "doc"].contains(&name),
                    "{document}: {line}"
                );
                if ["fmt", "clippy"].contains(&name) {
                    continue; // They are components that a machine may lack.
                }
                let help = Command::new(env!("CARGO")).args([name, "-h"]).output().unwrap();
                let help = String::from_utf8_lossy(&help.stdout).into_owned();
                let own = command.iter().take_while(|w| *w != "--");
                for flag in own.filter(|w| w.starts_with('-')) {
                    let there = help
                        .split([' ', ',', '\n', '[', '<', '='])
                        .any(|w| w == flag.split('=').next().unwrap());
                    assert!(there, "{document}: cargo {name} has no {flag}: {line}");
                }
                for pair in command.windows(2) {
                    let there = match pair[0].as_str() {
                        "--path" => root().join(&pair[1]).join("Cargo.toml").is_file(),
                        "-p" | "--package" => {
                            read("Cargo.lock").contains(&format!("name = \"{}\"", pair[1]))
                        }
                        _ => true,
                    };
                    assert!(there, "{document}: {line}");
                }
            }
        }
    }
    let has = |text: &str| text.lines().any(|l| l.ends_with(TESTS));
    assert!(READMES.iter().all(|r| has(&read(r))) && has(&read(".ci/run")), "{TESTS}");
}

#[test]
fn both_readmes_say_the_same() {
    let [english, chinese] = READMES.map(read);
    assert_eq!(commands(&english), commands(&chinese));
    // Comments are translated.
    let code = |text: &str| -> Vec<String> {
        let tomls = blocks(text).into_iter().filter(|(language, _)| language == "toml");
        let lines = tomls.flat_map(|(_, body)| {
            body.lines().map(|l| l.split('#').next().unwrap().trim().to_owned()).collect::<Vec<_>>()
        });
        lines.collect()
    };
    assert_eq!(code(&english), code(&chinese));
    let sections = |text: &str| text.lines().filter(|l| l.starts_with("<!-- demo:")).count();
    assert_eq!(sections(&english), sections(&chinese));
}

/// Lines that a README may have.
const README_LINES: usize = 200;

/// Characters that a line of a document may have outside tables and code.
const LINE: usize = 400;

#[test]
fn documents_can_be_read() {
    for readme in READMES {
        let lines = read(readme).lines().count();
        assert!(lines <= README_LINES, "{readme} has {lines} lines, at most {README_LINES}");
    }
    for document in documents() {
        let mut code = false;
        for (i, line) in read(&document).lines().enumerate() {
            code ^= line.trim_start().starts_with("```");
            let length = line.chars().count();
            let good = code || line.starts_with('|') || length <= LINE;
            assert!(good, "{document}:{}: {length} characters, at most {LINE}", i + 1);
        }
    }
}

/// The table of speed has the figures of the files that its head links to; docs/refresh_speed.py writes it.
#[test]
fn speed_is_as_measured() {
    let document = "docs/speed.md";
    let text = read(document);
    let table =
        text.split_once("<!-- speed -->").unwrap().1.split_once("<!-- /speed -->").unwrap().0;
    let mut lines = table.trim().lines();
    let linked = lines.next().unwrap().split("](../bench/").skip(1);
    let results: Vec<String> =
        linked.map(|rest| read(&format!("bench/{}", rest.split(')').next().unwrap()))).collect();
    assert!(!results.is_empty(), "{document}");
    let rows: Vec<&str> = lines.skip(1).collect();
    assert!(rows.len() > 5, "{document}: {rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for (three, results) in cells[1..].chunks(3).zip(&results) {
            let [speed, ratio, memory] = three else { panic!("{document}: {row}") };
            let is_it = |line: &str| {
                line.contains(&format!("| {speed} |"))
                    && line.contains(&format!("| {ratio} ("))
                    && (memory.is_empty() || line.ends_with(&format!("| {memory} |")))
            };
            assert!(speed.is_empty() || results.lines().any(is_it), "{document}: {row}");
        }
    }
}

#[test]
fn every_command_is_in_both_readmes() {
    let help = String::from_utf8(athanor(&root(), &["--help"]).stdout).unwrap();
    let lines = help.lines().skip_while(|l| *l != "Commands:").skip(1);
    let names: Vec<&str> = lines
        .take_while(|l| l.starts_with("  "))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for readme in READMES {
        let text = read(readme);
        for name in &names {
            let there =
                text.contains(&format!("`athanor {name}")) || text.contains(&format!("`{name}`"));
            assert!(there, "{readme} says nothing about `athanor {name}`");
        }
    }
}

#[test]
fn recipes_are_accepted() {
    let folder = empty("recipes");
    let mut recipes = Vec::new();
    for document in documents() {
        let tomls = blocks(&read(&document)).into_iter().filter(|(language, _)| language == "toml");
        for (i, (_, body)) in tomls.enumerate() {
            let path = folder.join(format!("{}-{i}.toml", document.replace('/', "-")));
            fs::write(&path, body).unwrap();
            recipes.push(path);
        }
    }
    assert!(recipes.len() >= 12, "the documents show recipes");
    for entry in fs::read_dir(root().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            recipes.push(path);
        }
    }
    for recipe in recipes {
        let output = athanor(&folder, &["recipe", "--check", recipe.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {error}", recipe.display());
    }
}

#[test]
fn paths_of_the_documents_exist() {
    let folders: Vec<String> = fs::read_dir(root())
        .unwrap()
        .flatten()
        .filter(|e| e.path().is_dir())
        .map(|e| format!("{}/", e.file_name().to_string_lossy()))
        .filter(|name| !["target/", "runs/", ".git/", ".venv/"].contains(&name.as_str()))
        .collect();
    let mut checked = 0;
    for document in documents() {
        let text = read(&document);
        let here = root().join(&document).parent().unwrap().to_owned();
        let mut wanted = Vec::new();
        // [words](path), from the document's folder.
        for (at, _) in text.match_indices("](") {
            let path = text[at + 2..].split(')').next().unwrap().split('#').next().unwrap();
            if !path.is_empty() && !path.contains("://") {
                wanted.push((here.join(path), path.to_owned()));
            }
        }
        // Words that begin with a folder of ours, from the top; <name> stands for any.
        let end = |c: char| c.is_whitespace() || "`()[]|,;:\"'，。：；（）、".contains(c);
        for word in text.split(end) {
            let word = word.trim_end_matches(['.', '/']);
            let place = word.contains(['<', '*', '{', '…', '$']);
            if !place && folders.iter().any(|f| word.starts_with(f.as_str())) {
                wanted.push((root().join(word), word.to_owned()));
            }
        }
        for (path, name) in wanted {
            assert!(path.exists(), "{document}: {name} does not exist");
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} paths were found");
}

/// The tables of docs/contracts.md that are made from declarations, by name.
fn declared() -> Vec<(String, String)> {
    fn summary<T: Summary>() -> (String, String) {
        (format!("summary of {}", T::STAGE), fields_table(&T::fields()))
    }
    let mut rows = "| stage | kind | figure | unit | meaning |\n|---|---|---|---|---|\n".to_owned();
    rows += &SUPERVISED.rows("every supervised one");
    for objective in OBJECTIVES.iter() {
        rows += &objective.logged.rows(&format!("pretrain, {}", objective.name));
    }
    rows += &athanor_reward::LOGGED.rows("reward");
    rows += &athanor_reinforce::LOGGED.rows("reinforce, ppo and grpo");
    for algorithm in ALGORITHMS.iter() {
        rows += &algorithm.logged.rows(&format!("reinforce, {}", algorithm.name()));
    }
    vec![
        ("metrics.jsonl".into(), fields_table(&MetricsRow::fields())),
        ("figures of metrics.jsonl".into(), rows),
        summary::<CorpusSummary>(),
        summary::<PretrainSummary>(),
        summary::<FinetuneSummary>(),
        summary::<RewardSummary>(),
        summary::<ReinforceSummary>(),
        ("figures".into(), figures::table(figures::ALL)),
    ]
}

/// `ATHANOR_WRITE_DOCS=1`, or `just contracts`, writes the tables anew.
#[test]
fn contracts_are_what_the_code_makes() {
    let document = "docs/contracts.md";
    let write = std::env::var_os("ATHANOR_WRITE_DOCS").is_some();
    let mut text = read(document);
    let tables = declared();
    for (name, table) in &tables {
        let (begin, end) =
            (format!("<!-- made from code: {name} -->\n"), format!("<!-- end of {name} -->\n"));
        let from =
            text.find(&begin).unwrap_or_else(|| panic!("{document}: no {begin}")) + begin.len();
        let to = from + text[from..].find(&end).unwrap_or_else(|| panic!("{document}: no {end}"));
        if write {
            text.replace_range(from..to, table);
        } else {
            assert_eq!(&text[from..to], table, "{document}: `just contracts` writes {name} anew");
        }
    }
    assert_eq!(text.matches("<!-- made from code: ").count(), tables.len(), "{document}");
    if write {
        fs::write(root().join(document), text).unwrap();
    }
}

/// Whether a key of the recipe has this path below it.
fn has_path(key: &serde_json::Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let keys = key["keys"].as_array().into_iter().flatten();
    keys.filter(|inner| inner["name"] == *first).any(|inner| has_path(inner, rest))
}

/// All keys that have keys below them.
fn tables<'a>(keys: &'a serde_json::Value, found: &mut Vec<&'a serde_json::Value>) {
    for key in keys.as_array().into_iter().flatten().filter(|k| k["keys"].is_array()) {
        found.push(key);
        tables(&key["keys"], found);
    }
}

/// `train.schedule.name`, with or without its stage, `[corpus.mix]` and the like, in prose.
#[test]
fn keys_of_the_documents_exist() {
    let output = athanor(&empty("keys"), &["recipe", "--json"]);
    let tree: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut known = Vec::new();
    tables(&tree, &mut known);
    let mut checked = 0;
    // The changelog names keys that are gone.
    for document in documents().into_iter().filter(|name| name != "CHANGELOG.md") {
        for line in read(&document).lines() {
            for word in line.split('`').skip(1).step_by(2) {
                let word = word.split(" =").next().unwrap_or_default();
                let path: Vec<&str> = word.trim_matches(['[', ']']).split('.').collect();
                let plain = |part: &&str| {
                    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                    !part.is_empty() && part.chars().all(inner)
                };
                // Fields of an objective's summary, not keys.
                let field = document == "docs/contracts.md" && path[0] == "masking";
                if path.len() < 2 || !path.iter().all(plain) || field {
                    continue;
                }
                let mut named = known.iter().filter(|key| key["name"] == path[0]).peekable();
                if named.peek().is_none() || ["md", "json"].contains(&path[1]) {
                    continue;
                }
                let exists = named.any(|key| has_path(key, &path[1..]));
                let code = path[0] == "run" && document.starts_with("docs/contracts");
                assert!(exists || code, "{document}: no key `{word}`");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} keys were found");
}
