//! However the work is cut up, stopped, shared or repeated, the result is the same.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use athanor_store::{Bar, Console, Interrupt, Kind, Recipe, Run, Silent, Task, read_json};
use serde_json::Value;

fn data(file: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(file).display().to_string()
}

/// Four sources, and steps of all kinds: alone, and with all others before and after.
fn recipe(more: &str) -> String {
    let mut out = format!(
        "[corpus]\nheldout_per_thousand = 100\nwrite_texts = true\n{more}\n\
         steps = [\"control\", \"duplicates\", \"length\", \"lines\", \"language\", \"minhash\", \"substrings\", \"split\"]\n\
         [corpus.settings.lines]\nmin_letters = 15\n[corpus.settings.substrings]\nmin_words = 12\n\
         [corpus.tokenizer]\nvocab_size = 600\nmax_bytes = 100000\n"
    );
    for (name, file) in [
        ("tweets", "human_ratings.jsonl.gz"),
        ("brown", "brown.jsonl.gz"),
        ("again", "human_ratings.jsonl.gz"),
        ("zh", "zh.jsonl.gz"),
    ] {
        out += &format!(
            "[[corpus.sources]]\nname = \"{name}\"\npath = {:?}\nmax_bytes = 150000\n",
            data(file)
        );
    }
    out
}

fn open(
    dir: &Path,
    recipe: &str,
    interrupt: Interrupt,
    console: Arc<dyn Console>,
    task: Option<Task>,
) -> Run {
    let recipe = Recipe::parse("test.toml", recipe, &[]).unwrap();
    Run::open_as(dir, recipe, 1, console, interrupt, true, task).unwrap()
}

fn make(dir: &Path, recipe: &str) {
    let run = open(dir, recipe, Interrupt::new(), Arc::new(Silent), None);
    athanor_corpus::run(&run).unwrap();
}

/// The result's files by name, without what tells the time.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for name in [".", "tokenizer"] {
        for entry in fs::read_dir(dir.join("corpus").join(name)).unwrap().flatten() {
            let file = entry.file_name().into_string().unwrap();
            if entry.path().is_file()
                && !["done.json", "summary.json", "started.json"].contains(&file.as_str())
            {
                out.insert(format!("{name}/{file}"), fs::read(entry.path()).unwrap());
            }
        }
    }
    assert!(
        out.contains_key("./index.json") && out.contains_key("./texts.jsonl"),
        "{:?}",
        out.keys()
    );
    out
}

/// Asks to stop after so many reports of progress.
struct Stopper(Arc<AtomicUsize>, Interrupt);

impl Console for Stopper {
    fn bar(&self, _: &str, _: u64, _: &str) -> Box<dyn Bar> {
        Box::new(Self(self.0.clone(), self.1.clone()))
    }
    fn say(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

impl Bar for Stopper {
    fn set(&self, _: u64) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.1.set();
        }
    }
    fn message(&self, _: &str) {}
    fn finish(&self, _: &str) {}
}

#[test]
fn stopped_again_and_again_it_gives_the_same_bytes() {
    let whole = tempfile::tempdir().unwrap();
    make(whole.path(), &recipe(""));
    let account: Value = read_json(&whole.path().join("corpus/account.json")).unwrap();
    let dropped: Vec<bool> = account["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["documents_in"] != s["documents_out"] || s["bytes_in"] != s["bytes_out"])
        .collect();
    assert!(dropped[1] && dropped[5] && dropped[6], "the steps have something to do: {dropped:?}");
    assert!(!whole.path().join(".corpus-work").exists());

    let dir = tempfile::tempdir().unwrap();
    let mut stops = 0;
    loop {
        let interrupt = Interrupt::new();
        let left = Arc::new(AtomicUsize::new(if stops < 25 { 2 } else { usize::MAX }));
        let console = Arc::new(Stopper(left, interrupt.clone()));
        match athanor_corpus::run(&open(dir.path(), &recipe(""), interrupt, console, None)) {
            Ok(()) => break,
            Err(e) => assert_eq!(e.kind(), Kind::Interrupted, "{e}"),
        }
        stops += 1;
        // What a kill leaves: a file half written, and documents without their account.
        if let Some(file) = found(dir.path(), "docs").first() {
            fs::write(file.with_extension("json.torn"), "{").unwrap();
            if stops % 3 == 0 {
                let _ = fs::remove_file(file.with_extension("json"));
            }
        }
        assert!(stops <= 25);
    }
    assert!(stops >= 5, "{stops}");
    assert!(files(dir.path()) == files(whole.path()));
}

#[test]
fn tasks_give_the_bytes_of_one_process() {
    let whole = tempfile::tempdir().unwrap();
    make(whole.path(), &recipe(""));
    // The last two of four never start.
    for (count, started) in [(3, 3), (4, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let runs: Vec<Run> = (0..started)
            .map(|index| {
                let task = Some(Task { index, count });
                open(dir.path(), &recipe(""), Interrupt::new(), Arc::new(Silent), task)
            })
            .collect();
        std::thread::scope(|scope| {
            for run in &runs {
                scope.spawn(move || athanor_corpus::run(run).unwrap());
            }
        });
        assert!(files(dir.path()) == files(whole.path()));
        // Those that come late find it done.
        std::thread::scope(|scope| {
            for run in &runs {
                scope.spawn(move || athanor_corpus::run(run).unwrap());
            }
        });
        assert!(!dir.path().join(".corpus-work").exists());
    }
}

/// Files of an ending below a folder.
fn found(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            out.extend(found(&entry.path(), ending));
        } else if entry.path().extension().is_some_and(|e| e == ending) {
            out.push(entry.path());
        }
    }
    out.sort();
    out
}

#[test]
fn a_change_in_a_step_redoes_only_what_follows_it() {
    let cache = tempfile::tempdir().unwrap();
    let with = |more: &str| recipe(&format!("cache = {:?}\n{more}", cache.path()));
    let times = |ending: &str| -> BTreeMap<PathBuf, SystemTime> {
        let time = |p: PathBuf| (p.clone(), fs::metadata(p).unwrap().modified().unwrap());
        found(cache.path(), ending).into_iter().map(time).collect()
    };
    let first = tempfile::tempdir().unwrap();
    make(first.path(), &with(""));
    let (docs, ids) = (times("docs"), times("ids"));
    // Five phases (alone, and from each of the four steps that see all documents on) of four sources.
    assert_eq!((docs.len(), ids.len()), (20, 4));

    // Another mix: nothing is cleaned or tokenised again.
    let second = tempfile::tempdir().unwrap();
    make(second.path(), &with("mix.shuffle = true"));
    assert_eq!((times("docs"), times("ids")), (docs.clone(), ids.clone()));
    assert!(files(second.path())["./texts.jsonl"] == files(first.path())["./texts.jsonl"]);
    assert!(files(second.path())["./train-00000.bin"] != files(first.path())["./train-00000.bin"]);

    // Another setting of the last step: one phase.
    let third = tempfile::tempdir().unwrap();
    let changed = with("").replace("min_words = 12", "min_words = 20");
    make(third.path(), &changed);
    let now = times("docs");
    assert_eq!(now.len(), 24);
    assert!(docs.iter().all(|(path, time)| now[path] == *time));
    // And the same as without a cache.
    let fresh = tempfile::tempdir().unwrap();
    make(fresh.path(), &recipe("").replace("min_words = 12", "min_words = 20"));
    assert!(files(third.path()) == files(fresh.path()));
}

#[test]
fn a_mix_has_the_shares_that_were_asked_for() {
    let mix = |more: &str| recipe(&format!("mix.by = \"source\"\n{more}"));
    let account = |recipe: &str| -> Value {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), recipe);
        read_json(&dir.path().join("corpus/account.json")).unwrap()
    };
    let group = |account: &Value, key: &str, name: &str, what: &str| -> f64 {
        let groups = account["mix"]["groups"].as_array().unwrap();
        groups.iter().filter(|g| g[key] == name).filter_map(|g| g[what].as_f64()).sum()
    };
    let shares =
        "mix.parts = [{ name = \"zh\", share = 0.5 }, { name = \"brown\", weight = 2.0 }]\n";
    let got = account(&mix(shares));
    assert!((group(&got, "source", "zh", "share") - 0.5).abs() < 0.03, "{}", got["mix"]);
    let total: i64 =
        got["sources"].as_array().unwrap().iter().map(|s| s["tokens"].as_i64().unwrap()).sum();
    assert_eq!(
        got["tokens"]["train"].as_i64().unwrap() + got["tokens"]["heldout"].as_i64().unwrap(),
        total
    );
    // Brown's tokens count twice against the tweets'.
    let (brown, tweets) =
        (group(&got, "source", "brown", "tokens"), group(&got, "source", "tweets", "tokens"));
    let (b, t) = (
        group(&got, "source", "brown", "tokens_available"),
        group(&got, "source", "tweets", "tokens_available"),
    );
    assert!(((brown / tweets) / (2.0 * b / t) - 1.0).abs() < 0.1, "{}", got["mix"]);

    // At a high temperature languages are alike, but for the bound on epochs.
    let got =
        account(&recipe("mix.by = \"language\"\nmix.temperature = 1000.0\nmix.max_epochs = 2.0"));
    assert!(group(&got, "language", "zh", "epochs_wanted") <= 2.0);
    assert!(
        got["mix"]["groups"]
            .as_array()
            .unwrap()
            .iter()
            .all(|g| g["epochs_wanted"].as_f64() <= Some(2.0))
    );
    // A tenth of the tokens, as they are.
    let got = account(&recipe("mix.tokens = 12000"));
    let tokens = got["mix"]["tokens"].as_f64().unwrap();
    assert!((tokens / 12000.0 - 1.0).abs() < 0.15, "{tokens}");

    let bad = |more: &str| {
        let dir = tempfile::tempdir().unwrap();
        let run = open(dir.path(), &recipe(more), Interrupt::new(), Arc::new(Silent), None);
        athanor_corpus::run(&run).unwrap_err().to_string()
    };
    assert!(
        bad("mix.by = \"source\"\nmix.parts = [{ name = \"wiki\" }]")
            .contains("no source \"wiki\"")
    );
    assert!(bad("mix.by = \"source\"\nmix.parts = [{ name = \"zh\", share = 0.7 }, { name = \"brown\", share = 0.7 }]").contains("1.4"));
    assert!(bad("mix.quality = 1.0").contains("quality"));
}
