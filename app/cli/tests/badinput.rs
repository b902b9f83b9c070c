//! Bad input ends in a message that says where it is, what was found and what to do, with exit code 2
//! or 1; nothing half-written stays and nothing is lost.

mod small;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};

use small::{STAGES, Small, copy_folder, files, good, nothing_partial, stderr};

/// A run with all its stages done; tests copy what they need of it.
fn finished() -> &'static Small {
    static ONCE: OnceLock<Small> = OnceLock::new();
    ONCE.get_or_init(|| {
        let small = Small::new(300);
        small.edit("path = \"all.jsonl\"", "path = \"ratings.jsonl\"");
        for steps in ["steps = 60", "steps = 40"] {
            small.edit(steps, "steps = 3");
        }
        small.edit("checkpoint_seconds = 0.0", "checkpoint_seconds = 60.0");
        good(&small.command("run", "done", &["--threads", "1"]).output().unwrap());
        small
    })
}

/// A run folder of its own in which the stages before `stage` are done.
fn before(out: &str, stage: &str) {
    let small = finished();
    for done in STAGES.into_iter().take_while(|s| *s != stage) {
        copy_folder(&small.path("done").join(done), &small.path(out).join(done));
    }
}

/// Runs `athanor COMMAND small.toml --out OUT MORE`, which has to fail with this code, without a
/// panic and without leaving anything half-written; what it said.
fn fails(code: i32, command: &str, out: &str, more: &[&str]) -> String {
    let small = finished();
    let output = small.command(command, out, more).args(["--threads", "1"]).output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{command} {more:?}: {told}");
    for ours in ["panicked", "a bug", "unwrap", "RUST_BACKTRACE"] {
        assert!(!told.contains(ours), "{told}");
    }
    if small.path(out).is_dir() {
        nothing_partial(&small.path(out));
    }
    let error = told.find("error: ").map(|at| told[at..].to_owned());
    error.unwrap_or_else(|| panic!("no error in {told}"))
}

/// The same, with these parts in the message.
fn says(code: i32, command: &str, out: &str, more: &[&str], parts: &[&str]) {
    let told = fails(code, command, out, more);
    for part in parts {
        assert!(told.contains(part), "{part:?} is missing in: {told}");
    }
}

fn file(name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = finished().path(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn ratings() -> String {
    fs::read_to_string(finished().path("ratings.jsonl")).unwrap()
}

/// The recipe with one line changed, as a file of its own; its path, and the number of that line.
fn changed(name: &str, from: &str, to: &str) -> usize {
    let text = fs::read_to_string(finished().path("small.toml")).unwrap();
    let line = text.lines().position(|l| l == from).unwrap() + 1;
    file(name, text.replacen(from, to, 1));
    line
}

#[test]
fn recipes() {
    let small = finished();
    let run = |recipe: &str| {
        let output = small.athanor(&["run", recipe, "--out", "recipes"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        stderr(&output)
    };
    assert_eq!(
        run("nope.toml"),
        "error: nope.toml: there is no such recipe\n  help: check the path; `athanor recipe > \
         my.toml` writes one with every key\n"
    );
    for (to, what) in [
        (
            "layer = 1",
            "unknown key `layer` in [pretrain.model]; did you mean `layers`?\n  help: its keys are \
             family, hidden_size, layers, heads, ",
        ),
        (
            "layers = \"one\"",
            "`layers` in [pretrain.model]: found the text \"one\", expected a whole number, 0 or more\n",
        ),
        ("layers = 0", "`layers` in [pretrain.model]: is 0, it must be 1 to "),
        ("layers = ", "not TOML: "),
        (
            "heads = 3",
            "`hidden_size` in [pretrain.model]: is 16, it must be a multiple of heads (3)",
        ),
    ] {
        let from = if to.starts_with("heads") { "heads = 2" } else { "layers = 1" };
        let mut line = changed("changed.toml", from, to);
        if to.starts_with("heads") {
            line = changed("other.toml", "hidden_size = 16", "hidden_size = 16");
        }
        let told = run("changed.toml");
        assert!(told.starts_with(&format!("error: changed.toml:{line}: {what}")), "{told}");
    }
    for (set, what) in [
        ("pretrain.train.steps", "`=` is missing\n  help: write it as --set section.key=value"),
        (
            "pretrain.train.stepz=3",
            "unknown key `stepz` in [pretrain.train]; did you mean `steps`?",
        ),
        ("pretran.train.steps=3", "unknown section [pretran]; did you mean [pretrain]?"),
        ("pretrain.train.steps=many", "`steps` in [pretrain.train]: found the text \"many\""),
        ("pretrain.train.dropout=2", "`dropout` in [pretrain.train]: is 2, it must be 0 or more"),
        ("reinforce.answers=9", "`answers` in [reinforce]: is 9, it must be a multiple of "),
        ("corpus.sources.7.path=a", "`corpus.sources` is a list of 1"),
    ] {
        let told = fails(2, "run", "recipes", &["--set", set]);
        assert!(told.starts_with(&format!("error: --set {set}: {what}")), "{told}");
    }
    // A section that is needed, a file that is not there: also those of later stages, at once.
    let text = fs::read_to_string(small.path("small.toml")).unwrap();
    let (head, rest) = text.split_once("[reward]").unwrap();
    let tail = &rest[rest.find("[reinforce]").unwrap()..];
    file("unrewarded.toml", format!("{head}{tail}"));
    let told = run("unrewarded.toml");
    assert!(told.contains("[reinforce] works on the result of [reward]"), "{told}");
    assert!(
        told.contains("help: add [reward], or name a folder with reinforce.rewards.0.model.path")
    );
    let line = text.lines().position(|l| l.starts_with("dialogue.path")).unwrap() + 1;
    file("astray.toml", text.replacen("dialogue.path = \"ratings", "dialogue.path = \"rating", 1));
    let told = run("astray.toml");
    let what = "`path` in [finetune.data.0.dialogue]: there is no file or folder rating.jsonl";
    assert!(told.starts_with(&format!("error: astray.toml:{line}: {what}")), "{told}");
    let folder = small.dir.path().to_str().unwrap();
    assert!(told.contains(&format!("relative ones start from the recipe's folder, {folder}")));
    assert!(!small.path("recipes").exists(), "nothing is written for a bad recipe");
}

#[test]
fn data_of_the_corpus() {
    let lines: Vec<String> = ratings().lines().take(3).map(str::to_owned).collect();
    let three = lines.join("\n") + "\n";
    file("bad.jsonl", format!("{three}{{\"text\": \"abc\", }}\n{three}"));
    file("latin.jsonl", [three.as_bytes(), b"{\"text\": \"caf\xe9\"}\n"].concat());
    file("empty.jsonl", "");
    file("one.jsonl", "{\"text\": \"This is the only text that there is, I am afraid.\"}\n");
    let gzip = Command::new("gzip").args(["-c"]).arg(finished().path("ratings.jsonl")).output();
    let gzip = gzip.unwrap().stdout;
    file("torn.jsonl.gz", &gzip[..gzip.len() / 2]);
    // A byte at which the parquet crate panics: the message says that the file is bad.
    let bent =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/parquet/gzip.parquet"));
    let mut bent = bent.unwrap();
    bent[1653] ^= 0x80;
    file("bent.parquet", bent);
    // One run folder for all: what was wrong is mended without --force.
    let source = |name: &str| format!("corpus.sources.0.path={name}");
    for (name, found, help) in [
        (
            "bad.jsonl",
            "source \"ratings\": bad.jsonl:4: bad JSON at column 17: trailing comma",
            "each line should be one JSON object",
        ),
        ("latin.jsonl", "latin.jsonl:4: not UTF-8 text at byte 14", "iconv"),
        (
            "torn.jsonl.gz",
            "torn.jsonl.gz:",
            "the gzip file is torn: its end is missing\n  help: copy or download",
        ),
        (
            "bent.parquet",
            "bent.parquet: not a Parquet file that can be read: its parts contradict each other",
            "copy or download the file again",
        ),
        (
            "empty.jsonl",
            "small.toml: [corpus]: the sources have no documents",
            "check the sources' paths",
        ),
    ] {
        says(2, "run", "data", &["--set", &source(name)], &[found, help]);
        assert_eq!(files(&finished().path("data/corpus")), ["started.json"], "{name}");
    }
    let one = source("one.jsonl");
    let none_held_out = ["--set", &one, "--set", "corpus.heldout_per_thousand=0"];
    let parts = ["tokens, at least 65 were expected", "lower pretrain.model.context"];
    says(2, "run", "data", &none_held_out, &parts);
    // Mended: the corpus is done with other text by now, and that is for the user to throw away.
    says(
        2,
        "corpus",
        "data",
        &[],
        &["finished with another recipe", "corpus.sources.0.path: \"one.jsonl\""],
    );
    let small = finished();
    good(&small.command("corpus", "data", &["--force"]).output().unwrap());
}

#[test]
fn data_of_later_stages() {
    let all = ratings();
    let without = |to: &str| -> String {
        all.lines()
            .map(|l| {
                format!(
                    "{}{to}}}\n",
                    l.split_once("\"ratings\": ").or(l.split_once("\"ratings\":")).unwrap().0
                )
            })
            .collect()
    };
    file("unrated.jsonl", without("\"stars\": 3"));
    file("words.jsonl", without("\"ratings\": [\"good\", \"bad\"]"));
    file("number.jsonl", without("\"ratings\": 3"));
    before("finetune", "finetune");
    for (set, parts) in [
        (
            "user={{ txt }}",
            [
                "ratings.jsonl:1: `{{ txt }}`: a field that this record does not have",
                "fields are id, domain, text, ratings",
            ],
        ),
        ("user={{ text", ["`user` in [finetune.data.0.dialogue]: `{{ text`", "unexpected end"]),
        (
            "only=domain == 'x'",
            ["ratings.jsonl: no conversation is left of this file", "look at `only`"],
        ),
        (
            "only=domian == 'x'",
            ["ratings.jsonl:1: `domian == 'x'`: a field that this record does not have", "domain"],
        ),
        ("user=", ["ratings.jsonl:1: no field `messages`", "set templates `user` and `assistant`"]),
        (
            "assistant=",
            ["finetune.data: no conversation has an answer to learn from", "role assistant"],
        ),
    ] {
        says(
            2,
            "finetune",
            "finetune",
            &["--set", &format!("finetune.data.0.dialogue.{set}")],
            &parts,
        );
    }
    let long = "a long request ".repeat(20);
    let long_finetune = format!("finetune.sample_prompts=[\"{long}\"]");
    let parts = ["finetune.sample_prompts: the prompt has ", "the model's context is 64"];
    says(2, "finetune", "finetune", &["--set", &long_finetune], &parts);
    before("reward", "reward");
    for (name, parts) in [
        (
            "unrated.jsonl",
            ["unrated.jsonl:1: `ratings`: a field that this record does not have", "stars"],
        ),
        (
            "words.jsonl",
            [
                "words.jsonl:1: `ratings` gives [\"good\",\"bad\"], a list of at least two numbers",
                "one number for each rater",
            ],
        ),
        ("number.jsonl", ["number.jsonl:1: `ratings` gives 3, a list of", "help: "]),
    ] {
        says(
            2,
            "reward",
            "reward",
            &["--set", &format!("reward.data.0.dialogue.path={name}")],
            &parts,
        );
    }
    before("reinforce", "reinforce");
    let parts = [
        "reinforce.prompts: there is no request to learn from that has, with max_new_tokens = 60, at most 63 tokens",
        "lower max_new_tokens",
    ];
    says(2, "reinforce", "reinforce", &["--set", "reinforce.max_new_tokens=60"], &parts);
    let long = format!("reinforce.sample_prompts=[\"{long}\"]");
    says(
        2,
        "reinforce",
        "reinforce",
        &["--set", &long],
        &["reinforce.sample_prompts: \"a long", "shorten the request"],
    );
}

/// Answers as long as what the context leaves, and a token behind: once read beyond the end.
#[test]
fn requests_that_just_fit() {
    before("fit", "reinforce");
    let small = finished();
    // Writing that does not fit into memory is an error, as learning is.
    says(
        2,
        "reinforce",
        "fit",
        &["--set", "reinforce.train.memory_gigabytes=0.01"],
        &["reinforce.answers: writing 64 answers at once needs", "or lower max_new_tokens"],
    );
    says(
        2,
        "reinforce",
        "fit",
        &["--set", "reinforce.answers=32768", "--set", "reinforce.train.memory_gigabytes=0.5"],
        &["reinforce.answers: writing 32768 answers at once needs", "help: reinforce.answers = "],
    );
    let more = ["--set", "reinforce.max_new_tokens=44", "--threads", "1"];
    let told = good(&small.command("reinforce", "fit", &more).output().unwrap());
    assert!(told.contains("reinforce: up to 0."), "{told}");
}

fn model_with(name: &str, from: &str, change: impl Fn(&Path)) -> String {
    let dir = finished().path(name);
    copy_folder(&finished().path("done").join(from).join("model"), &dir);
    change(&dir);
    name.to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

fn edit_config(dir: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(dir.join("config.json")).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(dir.join("config.json"), text.replace(from, to)).unwrap();
}

#[test]
fn model_folders() {
    let small = finished();
    let tokenizer = |out: &str, set: &str| {
        good(&small.command("corpus", out, &["--set", set]).output().unwrap());
        small.path(out).join("corpus/tokenizer/tokenizer.json")
    };
    let larger = tokenizer("larger", "corpus.tokenizer.vocab_size=400");
    let other = tokenizer("other", "corpus.tokenizer.max_bytes=3000");
    before("models", "reward");
    let cut = |dir: &Path| {
        let bytes = fs::read(dir.join("model.safetensors")).unwrap();
        fs::write(dir.join("model.safetensors"), &bytes[..5000]).unwrap();
    };
    // Floats of eight bits, as in quantised models.
    let eight = |dir: &Path| {
        let header = r#"{"model.embed_tokens.weight":{"dtype":"F8_E4M3","shape":[320,16],"data_offsets":[0,5120]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.resize(bytes.len() + 5120, 0);
        fs::write(dir.join("model.safetensors"), bytes).unwrap();
    };
    let cases: [(String, &[&str]); 7] = [
        (
            model_with("eight", "finetune", eight),
            &[
                "eight: model.safetensors: tensor model.embed_tokens.weight: element type F8_E4M3",
                "can be read",
            ],
        ),
        (
            model_with("cut", "finetune", cut),
            &["cut/model.safetensors: truncated: header says tensor ", "file has 5000"],
        ),
        (
            model_with("wide", "finetune", |dir| {
                edit_config(dir, "\"hidden_size\": 16", "\"hidden_size\": 24")
            }),
            &[
                "wide: tensor model.embed_tokens.weight: shape [320, 16], but config.json asks for [320, 24]",
                "must come from the same model",
            ],
        ),
        (
            model_with("deep", "finetune", |dir| {
                edit_config(dir, "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2")
            }),
            &["deep: tensor model.layers.1.", " is missing"],
        ),
        (
            model_with("word", "finetune", |dir| {
                edit_config(dir, "\"hidden_size\": 16", "\"hidden_size\": \"x\"")
            }),
            &["`hidden_size` is \"x\", a positive integer was expected"],
        ),
        (
            model_with("tokens", "finetune", |dir| copy(&larger, &dir.join("tokenizer.json"))),
            &["the tokenizer has 400 tokens, the model 320", "help: "],
        ),
        (
            model_with("none", "finetune", |dir| fs::remove_file(dir.join("config.json")).unwrap()),
            &["none", "config.json"],
        ),
    ];
    for (name, parts) in cases {
        says(2, "reward", "models", &["--set", &format!("reward.model={name}")], parts);
        let output = small.athanor(&["generate", &name, "--prompt", "a"]).output().unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {told}");
        assert!(told.contains(parts[0]) && !told.contains("panicked"), "{name}: {told}");
    }
    before("rewarded", "reinforce");
    let judge = model_with("judge", "reward", |dir| copy(&other, &dir.join("tokenizer.json")));
    let parts = [
        "judge/tokenizer.json: the reward model's tokenizer (sha256 ",
        "train both from the same pretrained model",
    ];
    says(
        2,
        "reinforce",
        "rewarded",
        &["--set", &format!("reinforce.rewards=[{{model={{path=\"{judge}\"}}}}]")],
        &parts,
    );
    let parts = ["the model has no head with one score", "such as RUN/reward/model"];
    says(
        2,
        "reinforce",
        "rewarded",
        &["--set", "reinforce.rewards=[{model={path=\"done/finetune/model\"}}]"],
        &parts,
    );
}

#[test]
fn runs_that_are_not_ours_to_write() {
    let small = finished();
    // Another process has it.
    before("locked", "pretrain");
    let more = ["--set", "pretrain.train.steps=100000"];
    let mut other =
        small.command("pretrain", "locked", &more).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !small.path("locked/pretrain/metrics.jsonl").exists() {
        assert!(began.elapsed().as_secs() < 20);
        sleep(Duration::from_millis(5));
    }
    let whose = format!("another athanor (process {}) is writing this run", other.id());
    let told = fails_beside("locked");
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(told.contains(&whose) && told.contains("help: wait for it"), "{told}");

    // Another recipe made it.
    copy_folder(&small.path("done"), &small.path("changed"));
    let kept = files(&small.path("changed"));
    let more = ["--set", "pretrain.train.learning_rate=0.01", "--seed", "9"];
    let parts = [
        "this stage was finished with another recipe:\n",
        "\n  pretrain.train.learning_rate: 0.004 → 0.01\n",
        "\n  seed: 5 → 9\n",
        "help: --force redoes this stage, or choose another --out",
    ];
    says(2, "pretrain", "changed", &more, &parts);
    assert_eq!(files(&small.path("changed")), kept, "nothing is touched");
    let output = small.command("pretrain", "changed", &more).arg("--force").output().unwrap();
    good(&output);

    // It cannot be written.
    file("a-file", "x");
    says(
        2,
        "run",
        "a-file",
        &[],
        &["a-file: cannot create: a file is there, a folder was to be made"],
    );
    says(2, "run", "a-file/run", &[], &["a part of the path is a file"]);
    assert_eq!(fs::read_to_string(small.path("a-file")).unwrap(), "x");
}

/// While another process works there, its half-written files are its own.
fn fails_beside(out: &str) -> String {
    let output = finished().command("pretrain", out, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stderr(&output)
}

/// A small file system, unmounted when dropped; `None` if we may not mount.
struct Mounted(PathBuf);

impl Mounted {
    fn new(name: &str, options: &str) -> Option<Self> {
        let dir = finished().path(name);
        fs::create_dir_all(&dir).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&dir)
            .stderr(Stdio::null())
            .status();
        if mount.is_ok_and(|s| s.success()) {
            return Some(Self(dir));
        }
        println!("skipped: a tmpfs cannot be mounted here (root is needed)");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_can_only_be_read() {
    let Some(_disk) = Mounted::new("readonly", "size=1m,ro") else { return };
    let parts =
        ["readonly/run: cannot create: the file system can only be read", "name another place"];
    says(2, "run", "readonly/run", &[], &parts);
}

#[test]
fn a_full_disk() {
    let Some(disk) = Mounted::new("tiny", "size=3m") else { return };
    let small = finished();
    let free = |left: u64| {
        let all = Command::new("df").args(["--output=avail", "-B1"]).arg(&disk.0).output().unwrap();
        let all = String::from_utf8(all.stdout).unwrap();
        let all: u64 = all.lines().last().unwrap().trim().parse().unwrap();
        let mut filler = fs::File::create(disk.0.join("filler")).unwrap();
        filler.write_all(&vec![0; all.saturating_sub(left) as usize]).unwrap();
    };
    let full = ["the disk is full", "free some space and run the same command again"];
    // In the corpus.
    free(60_000);
    says(1, "run", "tiny/run", &[], &full);
    fs::remove_file(disk.0.join("filler")).unwrap();
    good(&small.command("corpus", "tiny/run", &[]).output().unwrap());
    // In the middle of pretraining: what it has stays, and it goes on when there is room.
    let often = [
        "--set",
        "pretrain.train.checkpoint_seconds=0",
        "--set",
        "pretrain.train.keep_checkpoints=9",
    ];
    free(230_000);
    says(1, "pretrain", "tiny/run", &often, &full);
    let kept = small.path("tiny/run/pretrain/checkpoints");
    assert!(kept.exists(), "room for one checkpoint at least");
    fs::remove_file(disk.0.join("filler")).unwrap();
    let told = good(&small.command("pretrain", "tiny/run", &often).output().unwrap());
    assert!(told.contains("going on from step "), "{told}");
    let weights = "pretrain/model/model.safetensors";
    let same = fs::read(small.path("tiny/run").join(weights)).unwrap()
        == fs::read(small.path("done").join(weights)).unwrap();
    assert!(same, "as if nothing had been");
    nothing_partial(&small.path("tiny/run"));
}

#[test]
fn a_loss_that_is_no_number() {
    let small = finished();
    before("hot", "pretrain");
    let often = ["--set", "pretrain.train.checkpoint_seconds=0"];
    let hot = [
        "--set",
        "pretrain.train.steps=20",
        "--set",
        "pretrain.train.schedule.warmup_steps=0",
        "--set",
        "pretrain.train.learning_rate=1e30",
    ];
    let all: Vec<&str> = hot.into_iter().chain(often).collect();
    let output = small.command("pretrain", "hot", &all).output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in [
        "warning: step 2: loss NaN, gradient norm NaN: update withheld (1 in a row)",
        "error: pretrain, step 4: loss or gradient was not finite 3 times in a row",
        "lower pretrain.train.learning_rate",
        "the checkpoint of step 1 is intact",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let mut inspect =
        small.athanor(&["inspect", "hot/pretrain/checkpoints/step-00000001", "--json"]);
    let kept = inspect.output().unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&kept.stdout).unwrap();
    assert_eq!(kept["intact"], true);
    assert_eq!(fs::read_dir(small.path("hot/pretrain/checkpoints")).unwrap().count(), 1);
    nothing_partial(&small.path("hot"));
    // Another rate, with --force, makes what it always made.
    good(&small.command("pretrain", "hot", &["--force"]).output().unwrap());
    let weights = "pretrain/model/model.safetensors";
    assert!(
        fs::read(small.path("hot").join(weights)).unwrap()
            == fs::read(small.path("done").join(weights)).unwrap()
    );
}

#[test]
fn a_model_that_does_not_write_is_refused() {
    let small = finished();
    let rewards = small.path("done/reward/model");
    for stage in ["finetune", "reinforce"] {
        before("no-writer", stage);
        let set = format!("{stage}.model={}", rewards.display());
        let output = small.command(stage, "no-writer", &["--set", &set]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("does not write text"), "{}", stderr(&output));
    }
}
