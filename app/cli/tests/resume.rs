//! The same bytes come out on one thread or two, stopped anywhere, killed anywhere, and going on
//! from an older checkpoint if the newest is damaged.
//!
//! `ATHANOR_KILLS=50` kills each stage that many times instead of 5, and prints where it hit.

mod small;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Output},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use small::{STAGES, Small, checkpoints, copy_folder, good, nothing_partial, same, stderr};

/// Texts that the models learn from.
const TEXTS: usize = 400;
/// An undisturbed run, and how long each of its stages took.
struct Undisturbed {
    small: Small,
    seconds: Vec<f64>,
}

fn undisturbed() -> &'static Undisturbed {
    static ONCE: OnceLock<Undisturbed> = OnceLock::new();
    ONCE.get_or_init(|| {
        let small = Small::new(TEXTS);
        let seconds = STAGES.map(|stage| {
            let began = Instant::now();
            good(&small.command(stage, "A", &["--threads", "2"]).output().unwrap());
            began.elapsed().as_secs_f64()
        });
        nothing_partial(&small.path("A"));
        Undisturbed { small, seconds: seconds.to_vec() }
    })
}

/// A stream of numbers in [0, 1) (splitmix64), the same in every run of the test.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = athanor_tensor::splitmix64(state);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[test]
fn one_thread_or_two_and_checkpoints_or_none() {
    let Undisturbed { small, .. } = undisturbed();
    let mut args = vec!["--threads", "1"];
    for key in ["pretrain", "finetune", "reward", "reinforce"] {
        let never = format!("{key}.train.checkpoint_seconds=1000");
        args.extend(["--set", never.leak()]);
    }
    good(&small.command("run", "B", &args).output().unwrap());
    for stage in STAGES {
        same(&small.path("A"), &small.path("B"), stage);
        assert!(checkpoints(&small.path("B"), stage).is_empty(), "{stage}: none was due");
    }
}

/// Starts a stage, waits until it begins to train or goes on, or only starts, and kills it after
/// `life` seconds. What it said, and whether it was killed before it had come to its end.
fn kill(small: &Small, out: &str, stage: &str, from_start: bool, life: f64) -> (String, bool) {
    let mut child = small.command(stage, out, &["--threads", "2"]).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    // Its progress bar is there: "pretrain: 60 steps".
    while !from_start && !said.ends_with(" steps\n") && lines.read_line(&mut said).unwrap() > 0 {}
    // The last kill may have come when only the report was left to write.
    let bar = from_start || said.ends_with(" steps\n") || said.contains("done already");
    assert!(bar, "{stage} has shown no bar: {said}");
    sleep(Duration::from_secs_f64(life));
    child.kill().unwrap();
    let killed = child.wait().unwrap().code().is_none();
    lines.read_to_string(&mut said).unwrap();
    (said, killed)
}

/// Kills a stage `kills` times and lets it end; says at which steps it began or went on. A process
/// lives for a random part of the stage's duration, so that five of them reach about its end; every
/// third is counted from its very start, so that loading is hit, too.
fn kill_and_go_on(small: &Small, out: &str, stage: &str, duration: f64, kills: usize) -> Vec<u64> {
    let mut random = random(stage.bytes().fold(0, |s, b| s.rotate_left(8) ^ u64::from(b)));
    // A stage without checkpoints begins anew: its processes may live as long as it takes.
    let longest = if stage == "corpus" { duration } else { 0.4 * duration };
    let (mut hits, mut attempts) = (0, 0);
    let mut went_on = Vec::new();
    let mut begun = |told: &str| {
        let step = told.split("going on from step ").nth(1);
        let step = step.and_then(|s| s.split_whitespace().next()?.parse().ok());
        went_on.push(step.unwrap_or(0));
    };
    while hits < kills {
        let from_start = stage == "corpus" || attempts % 3 == 0;
        let (told, killed) = kill(small, out, stage, from_start, random() * longest);
        begun(&told);
        hits += usize::from(killed);
        attempts += 1;
        assert!(attempts < 4 * kills, "{stage}: always too quick to be killed");
        if !killed {
            // It had come to its end: once more from the beginning.
            same(&small.path("A"), &small.path(out), stage);
            fs::remove_dir_all(small.path(out).join(stage)).unwrap();
        }
    }
    begun(&good(&small.command(stage, out, &["--threads", "2"]).output().unwrap()));
    went_on
}

#[test]
fn killed_at_random_moments() {
    let Undisturbed { small, seconds } = undisturbed();
    let kills = std::env::var("ATHANOR_KILLS").map_or(5, |n| n.parse().unwrap());
    for (stage, duration) in STAGES.into_iter().zip(seconds) {
        let went_on = kill_and_go_on(small, "C", stage, *duration, kills);
        println!(
            "{stage}: {duration:.2} s undisturbed, {kills} kills, began or went on at {went_on:?}"
        );
        same(&small.path("A"), &small.path("C"), stage);
    }
    nothing_partial(&small.path("C"));
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(small.path("C/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["stages"].as_object().unwrap().len(), STAGES.len());
}

/// Stops a stage with a signal once it has made some steps.
fn stop(small: &Small, out: &str, stage: &str, name: &str) -> Output {
    let child = small.command(stage, out, &["--threads", "2"]).spawn().unwrap();
    let began = Instant::now();
    while checkpoints(&small.path(out), stage).len() < 3 {
        assert!(began.elapsed().as_secs() < 30, "{stage}: no checkpoints");
        sleep(Duration::from_millis(2));
    }
    signal(&child, name);
    child.wait_with_output().unwrap()
}

/// A run folder in which all the stages before `stage` are done.
fn before(small: &Small, out: &str, stage: &str) {
    for done in STAGES.into_iter().take_while(|s| *s != stage) {
        copy_folder(&small.path("A").join(done), &small.path(out).join(done));
    }
}

#[test]
fn stopped_by_ctrl_c_or_sigterm() {
    let Undisturbed { small, seconds } = undisturbed();
    for (i, stage) in STAGES.into_iter().enumerate().skip(1) {
        let name = if i % 2 == 1 { "-INT" } else { "-TERM" };
        let out = &format!("D-{stage}");
        before(small, out, stage);
        let stopped = stop(small, out, stage, name);
        let told = stderr(&stopped);
        assert_eq!(stopped.status.code(), Some(130), "{stage} {name}: {told}");
        assert!(told.contains("a checkpoint was written"), "{told}");
        assert!(told.contains("run the same command again to go on"), "{told}");
        let newest = checkpoints(&small.path(out), stage).pop().unwrap();
        let step = newest.file_name().unwrap().to_str().unwrap()[5..].parse::<u64>().unwrap();
        assert!(told.contains(&format!("stopped at step {step} of ")), "{newest:?}: {told}");
        nothing_partial(&small.path(out));
        let told = good(&small.command(stage, out, &["--threads", "2"]).output().unwrap());
        assert!(told.contains(&format!("going on from step {step}")), "{told}");
        same(&small.path("A"), &small.path(out), stage);
    }
    // The corpus has no checkpoints: it goes on where it was stopped.
    let child = small.command("corpus", "D", &["--threads", "2"]).spawn().unwrap();
    sleep(Duration::from_secs_f64(seconds[0] * 0.3));
    signal(&child, "-INT");
    let stopped = child.wait_with_output().unwrap();
    let told = stderr(&stopped);
    assert_eq!(stopped.status.code(), Some(130), "{told}");
    assert!(told.contains("it goes on where it was stopped"), "{told}");
    nothing_partial(&small.path("D"));
    good(&small.command("corpus", "D", &["--threads", "2"]).output().unwrap());
    same(&small.path("A"), &small.path("D"), "corpus");
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 3]).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let Undisturbed { small, .. } = undisturbed();
    let stage = "pretrain";
    before(small, "E", stage);
    assert_eq!(stop(small, "E", stage, "-INT").status.code(), Some(130));
    type Damage = (&'static str, fn(&Path), &'static str);
    let damages: [Damage; 5] = [
        ("weights.safetensors", flip, "SHA-256"),
        ("optimizer.safetensors", truncate, "bytes, its manifest says"),
        ("state.json", flip, "SHA-256"),
        ("manifest.json", truncate, "bad JSON"),
        ("weights.safetensors", |path| fs::remove_file(path).unwrap(), "no such file"),
    ];
    for (i, (file, damage, says)) in damages.into_iter().enumerate() {
        let out = &format!("E{i}");
        copy_folder(&small.path("E"), &small.path(out));
        let mut all = checkpoints(&small.path(out), stage);
        let newest = all.pop().unwrap();
        damage(&newest.join(file));
        let told = good(&small.command(stage, out, &["--threads", "2"]).output().unwrap());
        let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_owned();
        let warning = told.lines().find(|l| l.contains("checkpoint skipped")).unwrap_or_default();
        assert!(warning.contains(&name(&newest)) && warning.contains(says), "{told}");
        let step: u64 = name(all.last().unwrap())[5..].parse().unwrap();
        assert!(told.contains(&format!("going on from step {step}")), "{told}");
        same(&small.path("A"), &small.path(out), stage);
    }
    // None is whole: nothing is touched, and the user gets an error.
    for checkpoint in checkpoints(&small.path("E"), stage) {
        flip(&checkpoint.join("weights.safetensors"));
    }
    let kept = small::files(&small.path("E/pretrain"));
    let output = small.command(stage, "E", &[]).output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("3 checkpoint(s), and none is whole"), "{told}");
    assert!(told.contains("help: restore one from a backup, or remove this folder"), "{told}");
    assert_eq!(small::files(&small.path("E/pretrain")), kept);
}
