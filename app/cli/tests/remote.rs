//! A corpus with a source on the Hub, by the program itself: the settings in the environment reach it.

#[path = "common/mod.rs"]
mod common;
#[path = "../../../stages/corpus/tests/hub/mod.rs"]
mod hub;

use std::{fs, path::Path, process::Output};

use common::{athanor, bad, good, stderr};
use hub::{Server, answer, hub, store};
use serde_json::Value;

fn corpus(folder: &Path, out: &str, variables: &[(&str, &str)], more: &[&str]) -> Output {
    let mut command = athanor();
    for name in [
        "HF_TOKEN",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HTTP_PROXY",
        "http_proxy",
    ] {
        command.env_remove(name);
    }
    command.env("HF_HOME", folder.join("hf")).envs(variables.iter().copied());
    let out = folder.join(out);
    command
        .arg("corpus")
        .arg(folder.join("recipe.toml"))
        .arg("--out")
        .arg(out)
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn a_corpus_from_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(
        dir.join("recipe.toml"),
        "[corpus]\nsteps = []\nheldout_per_thousand = 0\nwrite_texts = true\ntokenizer.vocab_size = 300\n\
         [[corpus.sources]]\nname = \"hub\"\npath = \"hf://datasets/o/n@main/data/t*.jsonl\"\n",
    )
    .unwrap();
    let elsewhere = Server::start(|r, _| store(r));
    let address = elsewhere.address.clone();
    let server = Server::start(move |r, _| hub(r, &address));
    let endpoint = ("HF_ENDPOINT", server.address.as_str());

    // Before anything is done: a recipe that cannot be right.
    let set = ["--set", "corpus.sources.0.path=hf://o/n"];
    let told = bad(&corpus(dir, "bad", &[endpoint], &set), 2);
    assert!(
        told.contains("corpus.sources.0.path") && told.contains("hf://datasets/OWNER/NAME"),
        "{told}"
    );
    let closed = Server::start(|_, _| answer(403, "").with("X-Error-Code", "GatedRepo"));
    let told = bad(&corpus(dir, "bad", &[("HF_ENDPOINT", &closed.address)], &[]), 2);
    assert!(
        told.contains("source \"hub\"") && told.contains("help: accept its terms at"),
        "{told}"
    );

    let variables = [endpoint, ("HF_TOKEN", "hf_secret")];
    let output = corpus(dir, "run", &variables, &[]);
    good(&output);
    let told = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("3 files") && told.contains(hub::COMMIT), "{told}");
    assert!(!told.contains("secret"), "{told}");
    let account = fs::read(dir.join("run/corpus/account.json")).unwrap();
    let account: Value = serde_json::from_slice(&account).unwrap();
    let source = &account["sources"][0];
    assert_eq!((&source["files"], &source["documents"]), (&3.into(), &50_002.into()));
    assert_eq!(source["path"], "hf://datasets/o/n@main/data/t*.jsonl");
    assert_eq!(source["fetched"][0], format!("commit {}", hub::COMMIT));
    let card = fs::read_to_string(dir.join("run/corpus/datacard.md")).unwrap();
    assert!(card.contains(&format!("data/t*.jsonl: commit {}.", hub::COMMIT)), "{card}");

    // Done is done, without the Hub, too.
    let asked = server.asked().len() + elsewhere.asked().len();
    let again = corpus(dir, "run", &[endpoint, ("HF_HUB_OFFLINE", "1")], &[]);
    good(&again);
    let told = stderr(&again) + &String::from_utf8_lossy(&again.stdout);
    assert!(told.contains("done already"), "{told}");
    assert_eq!(server.asked().len() + elsewhere.asked().len(), asked);

    // Nothing stays of what is not to be kept.
    let hf = dir.join("passing").display().to_string();
    let variables = [endpoint, ("HF_HOME", hf.as_str())];
    let set = ["--set", "corpus.keep_downloads=false"];
    good(&corpus(dir, "passing-run", &variables, &set));
    let blobs = dir.join("passing/hub/datasets--o--n/blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
    assert_eq!(elsewhere.asked().len(), 4);

    // Two processes that begin with nothing fetch each file once, and make the same bytes.
    let hf = dir.join("other").display().to_string();
    let variables = [endpoint, ("HF_HOME", hf.as_str())];
    std::thread::scope(|scope| {
        for task in ["0/2", "1/2"] {
            let variables = &variables;
            scope.spawn(move || good(&corpus(dir, "shared", variables, &["--task", task])));
        }
    });
    assert_eq!(elsewhere.asked().len(), 6);
    let shard = |run: &str| fs::read(dir.join(run).join("corpus/train-00000.bin")).unwrap();
    assert!(shard("run") == shard("shared") && shard("run") == shard("passing-run"));
}
