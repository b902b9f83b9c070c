//! The report of a whole run, of a run that was cut off, and of an empty folder.

mod synthetic;

use std::{fs, path::Path};

use athanor_report::{inspect, write_report};
use athanor_store::Kind;
use synthetic::ATTACK;

fn report(run: &Path) -> String {
    let path = write_report(run).unwrap();
    assert_eq!(path, run.join("report.html"));
    let html = fs::read_to_string(path).unwrap();
    assert_well_formed(&html);
    assert_offline(&html);
    html
}

/// Every tag closes in order; only the void elements of HTML and `/>` stand alone.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 3] = ["meta", "br", "!doctype"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start
            + rest[start..]
                .find('>')
                .unwrap_or_else(|| panic!("`<` without `>`: {}", &rest[start..]));
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "a quote is open in <{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes nothing");
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        if tag == "style" {
            rest = &rest[rest.find("</style>").unwrap()..];
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

/// No attribute or style that would fetch anything.
fn assert_offline(html: &str) {
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').unwrap();
        let tag = &rest[start..end];
        rest = &rest[end..];
        let link = tag.find("href=\"").map(|at| &tag[at + 6..]);
        assert!(link.is_none_or(|l| l.starts_with('#')), "a link leads outside: {tag}");
        assert!(
            !tag.contains(" src=") && !tag.contains(" on") && !tag.contains(" style="),
            "{tag}"
        );
        let name = tag[1..].split([' ', '>']).next().unwrap();
        assert!(!["script", "img", "iframe", "link", "object", "embed"].contains(&name), "{tag}");
    }
    assert!(!html.contains("url(") && !html.contains("@import"));
}

#[test]
fn the_whole_run_is_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic::write(&run);
    let html = report(&run);
    for figure in [
        "<h1>furnace, small</h1>",
        "2026-03-14 15:09 UTC",
        "Intel Xeon Platinum 8480+ · 2 cores",
        "1234",
        "23 min 41 s",
        // corpus
        "65.8 M",
        "CC BY-SA 4.0",
        "维基百科",
        "81.1 %",
        "near duplicate",
        "3,738",
        "点击这里",
        "Where the bytes went",
        "4.040",
        // pretrain and finetune
        "held-out loss 3.274 nats",
        "1.182",
        "12.6 M",
        "Learning rate",
        "Gradient norm",
        "Speed",
        "情感分类",
        "0.8740",
        "bigram_loss",
        "5.203",
        // reward
        "70.3 %",
        "62.2 %",
        "8.1 points better",
        "0–0.5",
        "2 and up",
        "Calibration",
        "0.03120",
        // reinforce
        "Reward against KL",
        "Explained variance",
        "−0.2140",
        "1.052",
        "6.310",
        "3.100e-5",
        "0.8710",
        "+2.075 standard deviations",
        // samples, recipe, hashes, glossary
        "pretrain · step 100",
        "after reinforce · step 60",
        "春天的早晨",
        "algorithm = &quot;ppo&quot; # a &lt; b",
        &"a7".repeat(32),
        &"9b".repeat(32),
        "made from corpus",
        "Kullback-Leibler",
    ] {
        assert!(html.contains(figure), "{figure} is missing");
    }
    assert!(!html.contains("NaN") && !html.contains("undefined"), "a value leaked");
    assert!(!html.contains(ATTACK) && !html.contains("<script") && !html.contains("<img"));
    assert!(html.contains("&lt;script&gt;alert(1)"), "samples are shown, escaped");
    assert!(html.matches("<svg").count() > 25);
    assert!(html.len() < 600_000, "{} bytes", html.len());
}

#[test]
fn any_file_may_be_missing_or_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let empty = report(dir.path());
    assert!(empty.contains("recipe.toml is missing") && empty.contains("not in this run"));

    let files = [
        "recipe.toml",
        "manifest.json",
        "corpus/account.json",
        "corpus/summary.json",
        "corpus/done.json",
        "pretrain/metrics.jsonl",
        "pretrain/summary.json",
        "pretrain/done.json",
        "pretrain/samples.jsonl",
        "finetune/summary.json",
        "reward/summary.json",
        "reward/metrics.jsonl",
        "reinforce/summary.json",
        "reinforce/metrics.jsonl",
        "reinforce/samples.jsonl",
    ];
    for file in files {
        let run = dir.path().join(file.replace('/', "-"));
        synthetic::write(&run);
        for damaged in [
            "",
            "{",
            "[]",
            "null",
            "{\"sources\":3,\"tasks\":[4],\"steps\":[{}],\"loss\":\"x\"}\n\u{0}\n7\n",
        ] {
            fs::write(run.join(file), damaged).unwrap();
            report(&run);
        }
        fs::write(run.join(file), [0xff, 0xfe, b'\n']).unwrap();
        report(&run);
        fs::remove_file(run.join(file)).unwrap();
        let html = report(&run);
        let name = file.rsplit('/').next().unwrap();
        assert!(
            name == "samples.jsonl"
                || html.contains(&format!("{name} is missing"))
                || html.contains("not finished")
        );
        for stage in ["corpus", "pretrain", "finetune", "reward", "reinforce"] {
            fs::remove_dir_all(run.join(stage)).unwrap();
            report(&run);
        }
    }
}

#[test]
fn a_run_that_was_cut_off_says_so() {
    let dir = tempfile::tempdir().unwrap();
    synthetic::write(dir.path());
    fs::remove_file(dir.path().join("pretrain/done.json")).unwrap();
    fs::remove_file(dir.path().join("pretrain/summary.json")).unwrap();
    for stage in ["finetune", "reward", "reinforce"] {
        fs::remove_dir_all(dir.path().join(stage)).unwrap();
    }
    let html = report(dir.path());
    assert!(
        html.contains("This run is not complete: pretrain (not finished), finetune (not started)")
    );
    assert!(html.contains("1 checkpoint so far, the newest is step-00001200"));
    assert!(html.contains("held-out loss 3."), "the key figure comes from the metrics");
}

#[test]
fn a_path_that_is_no_run_is_an_input_error() {
    let error = write_report(Path::new("/nowhere/at/all")).unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    assert!(error.to_string().contains("no such run folder"));
    assert_eq!(inspect::inspect(Path::new("/nowhere/at/all")).unwrap_err().kind(), Kind::Input);
}
