//! The whole stage on the demo's own data.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use athanor_data::{Shards, Split, heldout, records};
use athanor_store::{Interrupt, Kind, Recipe, Result, Run, Silent, read_json};
use athanor_text::Tokenizer;
use serde_json::Value;

fn data(file: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(file).display().to_string()
}

fn open(dir: &Path, recipe: &str, interrupt: Interrupt) -> Run {
    let recipe = Recipe::parse("test.toml", recipe, &[]).unwrap();
    Run::open(dir, recipe, 1, Arc::new(Silent), interrupt, false).unwrap()
}

fn make(dir: &Path, recipe: &str) -> Result<()> {
    athanor_corpus::run(&open(dir, recipe, Interrupt::new()))
}

fn small() -> String {
    format!(
        "[corpus]\nheldout_per_thousand = 100\n[corpus.tokenizer]\nvocab_size = 800\n\
         [[corpus.sources]]\nname = \"ratings\"\npath = {:?}\nlicence = \"MIT\"\nmax_bytes = 300000\nrepeat = 2\n\
         only = \"domain == 'tweet'\"\n\
         [[corpus.sources]]\nname = \"zh\"\npath = {:?}\ntext = \"{{% if title %}}{{{{ title }}}}\\n{{% endif %}}{{{{ text }}}}\"\n\
         [[corpus.sources]]\nname = \"books\"\npath = {:?}\n",
        data("human_ratings.jsonl.gz"),
        data("zh.jsonl.gz"),
        data("books.jsonl.gz")
    )
}

fn sum(list: &Value, key: &str) -> i64 {
    list.as_array().unwrap().iter().map(|v| v[key].as_i64().unwrap()).sum()
}

#[test]
fn account_shards_and_tokeniser_agree() {
    let dir = tempfile::tempdir().unwrap();
    // A field that only some records have (reviews have no title): an error that says where.
    let error = make(dir.path(), &small()).unwrap_err();
    assert!(error.to_string().contains("zh.jsonl.gz:"), "{error}");
    assert!(!dir.path().join("corpus/index.json").exists());
    let recipe = small().replace("{% if title %}", "{% if title is defined %}");
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), &recipe).unwrap();
    let corpus = dir.path().join("corpus");

    let account: Value = read_json(&corpus.join("account.json")).unwrap();
    let sources = &account["sources"];
    let steps = account["steps"].as_array().unwrap();
    assert_eq!(steps[0]["documents_in"], sum(sources, "documents"));
    assert_eq!(steps[0]["bytes_in"], sum(sources, "bytes"));
    for pair in steps.windows(2) {
        assert_eq!(pair[0]["documents_out"], pair[1]["documents_in"]);
        assert_eq!(pair[0]["bytes_out"], pair[1]["bytes_in"]);
    }
    let last = steps.last().unwrap();
    assert_eq!(last["documents_out"], sum(sources, "kept_documents"));
    assert_eq!(last["bytes_out"], sum(sources, "kept_bytes"));
    for step in steps {
        let dropped: i64 =
            step["dropped"].as_object().unwrap().values().map(|n| n.as_i64().unwrap()).sum();
        let n = |k: &str| step[k].as_i64().unwrap();
        assert_eq!(
            n("documents_in") + n("documents_added"),
            n("documents_out") + dropped,
            "{step}"
        );
        assert_eq!(
            n("bytes_in"),
            n("bytes_out") + n("bytes_dropped") + n("bytes_removed"),
            "{step}"
        );
    }
    assert!(steps.iter().any(|s| s["name"] == "entities" && s["changed"].as_i64() > Some(20)));
    assert!(sources[0]["bytes"].as_i64().unwrap() >= 300_000);

    let tokenizer = Tokenizer::load(corpus.join("tokenizer")).unwrap();
    let train = Shards::open(&corpus, Split::Train).unwrap();
    let held = Shards::open(&corpus, Split::Heldout).unwrap();
    train.verify().unwrap();
    held.verify().unwrap();
    assert_eq!(train.index().vocab_size, tokenizer.vocab_size());
    assert_eq!(account["tokens"]["train"], train.len());
    assert_eq!(account["tokens"]["heldout"], held.len());
    assert_eq!(sum(sources, "tokens") as u64, train.len() + held.len());
    assert_eq!(held.documents() as i64, sum(sources, "heldout_documents"));
    // Repeats: all but the held-out ones of the first source are there twice.
    let twice = sources[0]["kept_documents"].as_i64().unwrap()
        - sources[0]["heldout_documents"].as_i64().unwrap();
    let kept = sum(sources, "kept_documents") - sum(sources, "heldout_documents");
    assert_eq!(train.documents() as i64, kept + twice);
    let counted: i64 =
        account["lengths"]["counts"].as_array().unwrap().iter().filter_map(Value::as_i64).sum();
    assert_eq!(counted, sum(sources, "kept_documents"));

    // What is held out is what every stage holds out, by the records' own texts.
    let texts: Vec<String> =
        (0..held.documents()).map(|i| tokenizer.decode(&held.document(i)).unwrap()).collect();
    let mut found = 0;
    for record in records::open(data("human_ratings.jsonl.gz")).unwrap().take(1000) {
        let record = record.unwrap();
        let text = record.text("text").unwrap();
        if text.contains('&') || record.text("domain").unwrap() != "tweet" {
            continue;
        }
        let inside = texts.iter().any(|t| t == text.trim());
        assert!(!inside || heldout(text, 100), "{text}");
        found += usize::from(inside);
    }
    assert!(found > 20, "{found}");

    // Done is done; another recipe is refused, and says why.
    make(dir.path(), &recipe).unwrap();
    let error = make(dir.path(), &recipe.replace("800", "900")).unwrap_err().to_string();
    assert!(error.contains("corpus.tokenizer.vocab_size: 800 → 900"), "{error}");
}

#[test]
fn the_same_bytes_on_one_thread_and_on_many() {
    let recipe =
        small().replace("{% if title %}", "{% if title is defined %}").replace("300000", "60000");
    let mut folders = Vec::new();
    for threads in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| make(dir.path(), &recipe)).unwrap();
        let read = |f: &str| std::fs::read(dir.path().join("corpus").join(f)).unwrap();
        folders.push(
            [
                "index.json",
                "train-00000.bin",
                "train-00000.docs",
                "heldout-00000.bin",
                "account.json",
                "tokenizer/tokenizer.json",
            ]
            .map(read),
        );
    }
    assert!(folders[0] == folders[1]);
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::new();
    interrupt.set();
    let error = athanor_corpus::run(&open(dir.path(), &small(), interrupt)).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert!(!dir.path().join("corpus/index.json").exists());
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().contains("partial")), "{left:?}");
}

#[test]
fn bad_input_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |recipe: &str| {
        let run = tempfile::tempdir().unwrap();
        let error = make(run.path(), recipe).unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{error}");
        error.to_string()
    };
    let source = |path: &Path| {
        format!("[corpus]\n[[corpus.sources]]\nname = \"a\"\npath = {:?}\n", path.display())
    };
    assert!(fails("[corpus]\n").contains("no sources"));
    assert!(fails(&source(&dir.path().join("none.jsonl"))).contains("none.jsonl"));
    let file = dir.path().join("a.jsonl");
    std::fs::write(&file, "{\"text\": \"a\"}\n{\"text\": \"b\"}\n").unwrap();
    let error = fails(&source(&file));
    assert!(
        error.contains("none of 2 documents") && error.contains("length: 2 too short"),
        "{error}"
    );
    std::fs::write(&file, "").unwrap();
    assert!(fails(&source(&file)).contains("no documents"));
    std::fs::write(&file, "{\"body\": \"a\"}\n").unwrap();
    let error = fails(&source(&file));
    assert!(error.contains("a.jsonl:1: no field `text`") && error.contains("body"), "{error}");
    let error = fails(&format!(
        "{}\n",
        source(&file).replace("[corpus]\n", "[corpus]\nsteps = [\"lenght\"]\n")
    ));
    assert!(error.contains("did you mean \"length\"?"), "{error}");
    std::fs::write(dir.path().join("b.xyz"), "x").unwrap();
    assert!(fails(&source(dir.path())).contains("does not tell its format"));
}

#[test]
fn folders_of_text_files() {
    let files = tempfile::tempdir().unwrap();
    std::fs::create_dir(files.path().join("sub")).unwrap();
    let line = |i: usize| format!("Line {i} of a text that is long enough. 第{i}行，夠長。\n");
    for (name, range) in [("b.txt", 0..40), ("a.md", 40..80), ("sub/c.txt", 80..120)] {
        std::fs::write(files.path().join(name), range.map(line).collect::<String>()).unwrap();
    }
    std::fs::write(files.path().join(".hidden.txt"), "never read").unwrap();
    let run = tempfile::tempdir().unwrap();
    let recipe = format!(
        "[corpus]\nheldout_per_thousand = 0\nsteps = [\"control\"]\n[corpus.tokenizer]\nvocab_size = 300\n\
         [[corpus.sources]]\nname = \"a\"\npath = {:?}\n",
        files.path().display()
    );
    make(run.path(), &recipe).unwrap();
    let corpus = run.path().join("corpus");
    let shards = Shards::open(&corpus, Split::Train).unwrap();
    let tokenizer = Tokenizer::load(corpus.join("tokenizer")).unwrap();
    assert_eq!(shards.documents(), 3);
    assert!(tokenizer.decode(&shards.document(0)).unwrap().starts_with("Line 40"), "by name");
    assert!(tokenizer.decode(&shards.document(2)).unwrap().starts_with("Line 80"));
}

/// The figures of the demo's corpus: `cargo test --release -p athanor-corpus -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn figures() {
    for vocab in [4096, 2048] {
        let dir = tempfile::tempdir().unwrap();
        let mut recipe = format!("[corpus]\n[corpus.tokenizer]\nvocab_size = {vocab}\n");
        for name in ["human_ratings", "brown", "books", "zh"] {
            let path = data(&format!("{name}.jsonl.gz"));
            recipe += &format!("[[corpus.sources]]\nname = {name:?}\npath = {path:?}\n");
        }
        let began = Instant::now();
        make(dir.path(), &recipe).unwrap();
        println!("vocab {vocab}: {:.2} s", began.elapsed().as_secs_f64());
        let corpus = dir.path().join("corpus");
        let account: Value = read_json(&corpus.join("account.json")).unwrap();
        println!(
            "{} bytes/token, tokens {}, lengths {}",
            account["bytes_per_token"], account["tokens"], account["lengths"]
        );
        for source in account["sources"].as_array().unwrap() {
            println!("  {source}");
        }
        for step in account["steps"].as_array().unwrap() {
            println!(
                "  {} in {} out {} added {} bytes {} → {} changed {} dropped {}",
                step["name"],
                step["documents_in"],
                step["documents_out"],
                step["documents_added"],
                step["bytes_in"],
                step["bytes_out"],
                step["changed"],
                step["dropped"]
            );
            for e in step["examples"].as_array().unwrap() {
                let cut =
                    |v: &Value| v.as_str().unwrap_or("").chars().take(110).collect::<String>();
                println!(
                    "      {} {} {:?} → {:?}",
                    e["reason"],
                    e["id"],
                    cut(&e["text"]),
                    cut(&e["after"])
                );
            }
        }
    }
}
