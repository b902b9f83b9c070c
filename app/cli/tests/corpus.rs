//! The corpus stage killed anywhere: in every phase, alone and as one of several processes. Run again it
//! gives the shards, texts and account of an undisturbed run, byte for byte.
//!
//! `ATHANOR_KILLS=60` kills so often at random moments instead of 6, alone and shared, and says what was being
//! written.

mod small;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use small::{Small, files, good, nothing_partial, same};

/// Four sources; steps of all kinds: alone, with all others before and after, learning from others; a mix in
/// an order by chance.
fn setup() -> Small {
    let small = Small::new(0);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let mut recipe = String::from(
        r#"[corpus]
heldout_per_thousand = 100
write_texts = true
steps = [
    "control", "duplicates", "length", "language", "quality", "perplexity", "lines", "minhash",
    "substrings", "split",
]
mix.shuffle = true
mix.by = "source"
mix.quality = 0.5
tokenizer = { vocab_size = 600, max_bytes = 200000 }
[corpus.settings.quality]
good = ["brown"]
raw = ["tweets", "again"]
min_score = 0.05
examples = 500
bits = 14
epochs = 2
folds = 2
[corpus.settings.perplexity]
good = ["brown"]
raw = ["tweets", "zh"]
examples = 1000
[corpus.settings.lines]
min_letters = 15
[corpus.settings.substrings]
min_words = 12
"#,
    );
    for (name, file) in [
        ("tweets", "human_ratings.jsonl.gz"),
        ("brown", "brown.jsonl.gz"),
        ("again", "human_ratings.jsonl.gz"),
        ("zh", "zh.jsonl.gz"),
    ] {
        let path = data.join(file).display().to_string();
        recipe +=
            &format!("[[corpus.sources]]\nname = {name:?}\npath = {path:?}\nmax_bytes = 200000\n");
    }
    fs::write(small.path("corpus.toml"), recipe).unwrap();
    small
}

fn command(small: &Small, out: &str, more: &[&str]) -> Command {
    let mut command = small.athanor(&["corpus", "corpus.toml", "--out", out, "--threads", "2"]);
    command.args(more);
    // Nobody reads what is said.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command
}

fn finish(small: &Small, out: &str) -> f64 {
    let began = Instant::now();
    let command = &["corpus", "corpus.toml", "--out", out, "--threads", "2"];
    good(&small.athanor(command).output().unwrap());
    assert!(!small.path(out).join(".corpus-work").exists(), "intermediate results stay");
    nothing_partial(&small.path(out));
    began.elapsed().as_secs_f64()
}

/// Waits, and kills. Whether it was alive.
fn kill(child: &mut Child) -> bool {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.code().is_none() || status.success(), "{status}");
    status.code().is_none()
}

/// What is finished, by its kind and key.
fn pieces(run: &Path) -> BTreeSet<String> {
    let work = run.join(".corpus-work");
    match fs::read_dir(&work) {
        Err(_) => BTreeSet::new(),
        // A folder may go while one looks.
        Ok(folders) => folders
            .flatten()
            .flat_map(|f| fs::read_dir(f.path()).into_iter().flatten().flatten())
            .map(|f| f.file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.') && !name.ends_with(".claim"))
            .collect(),
    }
}

/// The kinds of files that were being written.
fn half_written(run: &Path) -> Vec<String> {
    let name = |file: &str| {
        let name = Path::new(file).file_name().unwrap().to_str().unwrap().to_owned();
        let (name, _) = name.strip_prefix('.')?.rsplit_once(".partial-")?;
        Some(name.split_once('.').map_or(name, |(_, kind)| kind).to_owned())
    };
    files(run).iter().filter_map(|f| name(f)).collect()
}

/// Numbers in [0, 1), the same in every run of the test.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = athanor_tensor::splitmix64(state);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn kills() -> usize {
    std::env::var("ATHANOR_KILLS").map_or(6, |n| n.parse().unwrap())
}

#[test]
fn killed_in_every_phase() {
    let small = setup();
    let duration = finish(&small, "A");
    let undisturbed = small.path("A");

    // Whenever three more pieces of work are there. Names are hashes of what the pieces are made from, so their
    // number is bounded, and the run comes to its end however often it is killed.
    let (run, mut known, mut kinds) = (small.path("B"), BTreeSet::new(), BTreeMap::new());
    let (mut attempts, mut hits) = (0u64, 0);
    loop {
        attempts += 1;
        let mut child = command(&small, "B", &[]).spawn().unwrap();
        let new = loop {
            let now = pieces(&run);
            let new: Vec<String> = now.difference(&known).cloned().collect();
            if new.len() >= 3 || child.try_wait().unwrap().is_some() {
                break new;
            }
            sleep(Duration::from_micros(300));
        };
        // Not always right behind a piece.
        sleep(Duration::from_millis(attempts * 7 % 11));
        let alive = kill(&mut child);
        // The kill came behind those that were made meanwhile, too.
        let meanwhile: Vec<String> = match alive {
            true => pieces(&run).difference(&known).filter(|n| !new.contains(n)).cloned().collect(),
            false => Vec::new(),
        };
        for name in new.into_iter().chain(meanwhile) {
            let kind = name.split_once('.').map_or("", |(_, kind)| kind).to_owned();
            *kinds.entry(kind).or_insert(0) += 1;
            known.insert(name);
        }
        known.extend(pieces(&run));
        if !alive {
            break;
        }
        hits += 1;
        assert!(attempts < 200, "it does not get on: {kinds:?}");
    }
    println!("{duration:.2} s undisturbed; {hits} kills behind {kinds:?}");
    finish(&small, "B");
    same(&undisturbed, &run, "corpus");
    for kind in ["docs", "keys", "marks", "ids", "tokenizer"] {
        assert!(kinds.contains_key(kind), "never killed behind {kind}: {kinds:?}");
    }
    assert!(hits >= 8, "{hits}");

    // At random moments.
    let mut random = random(1);
    let (run, mut hits, mut attempts) = (small.path("C"), 0, 0);
    let mut written = BTreeMap::new();
    while hits < kills() {
        attempts += 1;
        assert!(attempts < 4 * kills(), "always too quick to be killed");
        let mut child = command(&small, "C", &[]).spawn().unwrap();
        sleep(Duration::from_secs_f64(random() * duration));
        if kill(&mut child) {
            hits += 1;
            let mut what = half_written(&run);
            if what.is_empty() {
                what.push("nothing".into());
            }
            what.into_iter().for_each(|kind| *written.entry(kind).or_insert(0) += 1);
        } else {
            same(&undisturbed, &run, "corpus");
            fs::remove_dir_all(&run).unwrap();
        }
    }
    println!("{hits} kills at random while these were written: {written:?}");
    finish(&small, "C");
    same(&undisturbed, &run, "corpus");
}

#[test]
fn tasks_killed_and_started_again() {
    let small = setup();
    let duration = finish(&small, "A");
    let start = |n: usize| command(&small, "B", &["--task", &format!("{n}/3")]).spawn().unwrap();
    let mut random = random(2);
    let mut tasks: Vec<Child> = (0..3).map(start).collect();
    let (mut hits, mut attempts) = (0, 0);
    let mut written = BTreeMap::new();
    while hits < kills() {
        attempts += 1;
        assert!(attempts < 6 * kills(), "always too quick to be killed");
        sleep(Duration::from_secs_f64(random() * 0.4 * duration));
        let n = attempts % 3;
        if kill(&mut tasks[n]) {
            hits += 1;
            half_written(&small.path("B"))
                .into_iter()
                .for_each(|kind| *written.entry(kind).or_insert(0) += 1);
        } else if tasks.iter_mut().all(|t| t.try_wait().unwrap().is_some()) {
            same(&small.path("A"), &small.path("B"), "corpus");
            fs::remove_dir_all(small.path("B")).unwrap();
            tasks = (0..3).map(start).collect();
            continue;
        }
        tasks[n] = start(n);
    }
    for task in &mut tasks {
        let status = task.wait().unwrap();
        assert!(status.success(), "{status}");
    }
    println!("{hits} of three processes killed while these were written: {written:?}");
    // What the killed ones left is gone, and one that comes late finds it done.
    finish(&small, "B");
    same(&small.path("A"), &small.path("B"), "corpus");
}
