//! What was planted is found, and what is like it is left: recall and precision of each step on real text
//! (data/brown.jsonl.gz, data/zh.jsonl.gz).

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use athanor_data::{records, splitmix64};
use athanor_store::{Interrupt, Recipe, Run, Silent, read_json};
use serde_json::{Value, json};

fn data(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(file)
}

/// Pieces of about 250 words of the Brown corpus, all different.
fn pieces() -> Vec<String> {
    let mut out = Vec::new();
    for record in records::open(data("brown.jsonl.gz")).unwrap() {
        let text = record.unwrap().text("text").unwrap().to_string();
        let words: Vec<&str> = text.split_whitespace().collect();
        out.extend(words.chunks_exact(250).map(|w| w.join(" ")));
        if out.len() > 900 {
            break;
        }
    }
    out.truncate(900);
    out
}

/// Runs steps over documents (id, text); the ids and texts that are kept, and the account.
fn run(documents: &[(String, String)], steps: &str) -> (Vec<(String, String)>, Value) {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = documents
        .iter()
        .map(|(id, text)| format!("{}\n", json!({"id": id, "text": text})))
        .collect();
    let path = dir.path().join("docs.jsonl");
    std::fs::write(&path, lines).unwrap();
    let recipe = format!(
        "[corpus]\nwrite_texts = true\nheldout_per_thousand = 0\n{steps}\n[corpus.tokenizer]\nvocab_size = 262\nmax_bytes = 200000\n\
         [[corpus.sources]]\nname = \"docs\"\npath = {path:?}\n"
    );
    let recipe = Recipe::parse("test.toml", &recipe, &[]).unwrap();
    let folder = dir.path().join("run");
    let run = Run::open(&folder, recipe, 1, Arc::new(Silent), Interrupt::new(), false).unwrap();
    athanor_corpus::run(&run).unwrap();
    let text = |r: athanor_data::Record, key: &str| r.text(key).unwrap().to_string();
    let kept = records::open(folder.join("corpus/texts.jsonl")).unwrap();
    let kept = kept.map(|r| r.unwrap()).map(|r| (text(r.clone(), "id"), text(r, "text"))).collect();
    (kept, read_json(&folder.join("corpus/account.json")).unwrap())
}

/// Recall and precision of what was dropped.
fn judge(
    kept: &[(String, String)],
    planted: &HashSet<String>,
    all: &[(String, String)],
) -> (f64, f64) {
    let kept: HashSet<&String> = kept.iter().map(|(id, _)| id).collect();
    let dropped: Vec<&String> =
        all.iter().map(|(id, _)| id).filter(|id| !kept.contains(id)).collect();
    let right = dropped.iter().filter(|id| planted.contains(**id)).count() as f64;
    (right / planted.len() as f64, right / dropped.len().max(1) as f64)
}

fn good((recall, precision): (f64, f64)) {
    println!("recall {recall:.3}, precision {precision:.3}");
    assert!(recall >= 0.95 && precision >= 0.95, "recall {recall}, precision {precision}");
}

/// A piece with one word in `every` replaced by another piece's.
fn perturbed(text: &str, other: &str, every: u64, seed: u64) -> String {
    let others: Vec<&str> = other.split(' ').collect();
    let change = |(n, w)| match splitmix64(seed ^ n as u64) % every {
        0 => others[n % others.len()],
        _ => w,
    };
    text.split(' ').enumerate().map(change).collect::<Vec<_>>().join(" ")
}

#[test]
fn duplicates_and_near_duplicates() {
    let pieces = pieces();
    let mut documents: Vec<(String, String)> =
        pieces.iter().enumerate().map(|(n, t)| (format!("d{n}"), t.clone())).collect();
    let mut exact = HashSet::new();
    let mut near = HashSet::new();
    for n in 0..150 {
        let id = format!("exact{n}");
        exact.insert(id.clone());
        documents.push((id, pieces[n].to_uppercase().replace(',', " ;")));
        // One word in 100 changed: a Jaccard similarity of about 0.9.
        let id = format!("near{n}");
        near.insert(id.clone());
        documents.push((id, perturbed(&pieces[200 + n], &pieces[850], 100, n as u64)));
        // A third of the words changed is another document.
        documents.push((
            format!("far{n}"),
            perturbed(&pieces[400 + n], &pieces[851 + n % 40], 3, n as u64),
        ));
    }
    let (kept, _) = run(&documents, "steps = [\"duplicates\"]");
    good(judge(&kept, &exact, &documents));
    let (kept, account) = run(&documents, "steps = [\"minhash\"]");
    good(judge(&kept, &near.union(&exact).cloned().collect(), &documents));
    let notes = &account["steps"][0]["notes"];
    assert!(notes["clusters"].as_u64() >= Some(285) && notes["curve"][20][1] == 1.0, "{notes}");
}

#[test]
fn chinese_near_duplicates() {
    let mut documents = Vec::new();
    let mut near = HashSet::new();
    for record in records::open(data("zh.jsonl.gz")).unwrap() {
        let text = record.unwrap().text("text").unwrap().to_string();
        if text.chars().count() > 120 && documents.len() < 400 {
            documents.push((format!("d{}", documents.len()), text));
        }
    }
    documents.sort_by(|a, b| a.1.cmp(&b.1));
    documents.dedup_by(|a, b| a.1 == b.1);
    for n in 0..documents.len().min(100) {
        let id = format!("near{n}");
        near.insert(id.clone());
        documents.push((id, format!("{}！", documents[n].1.replace('，', ","))));
    }
    assert!(near.len() >= 50, "{}", near.len());
    let (kept, _) = run(&documents, "steps = [\"minhash\"]");
    good(judge(&kept, &near, &documents));
}

#[test]
fn lines_and_passages() {
    let pieces = pieces();
    let menu = "Home of the Society | Members of the Board | How to find the library on the hill";
    let planted: Vec<String> = pieces[..300].iter().map(|p| format!("{menu}\n{p}")).collect();
    let documents: Vec<_> =
        planted.iter().enumerate().map(|(n, t)| (format!("d{n}"), t.clone())).collect();
    let (kept, account) = run(&documents, "steps = [\"lines\"]");
    let removed = account["steps"][0]["counters"]["lines removed"].as_u64().unwrap();
    assert_eq!(kept.len(), 300);
    assert_eq!(kept.iter().filter(|(_, t)| t.contains(menu)).count(), 1);
    assert_eq!(removed, 299);

    // 80 words of one document in the middle of another.
    let mut documents: Vec<_> =
        pieces.iter().enumerate().map(|(n, t)| (format!("d{n}"), t.clone())).collect();
    for n in 0..200 {
        let quote: Vec<&str> = pieces[n].split(' ').skip(60).take(80).collect();
        documents[600 + n].1 =
            format!("{} {} {}", pieces[600 + n], quote.join(" "), "and so it ended.");
    }
    let (kept, account) = run(&documents, "steps = [\"substrings\"]");
    let mut exactly = 0;
    for n in 0..200 {
        exactly += usize::from(kept[600 + n].1 == format!("{} and so it ended.", pieces[600 + n]));
    }
    let changed = account["steps"][0]["changed"].as_u64().unwrap() as f64;
    good((exactly as f64 / 200.0, exactly as f64 / changed));
    assert_eq!(kept[0].1, pieces[0], "the first place keeps it");
}

#[test]
fn evaluation_questions() {
    let pieces = pieces();
    let dir = tempfile::tempdir().unwrap();
    let question = |n: usize| {
        let words: Vec<&str> = pieces[700 + n].split(' ').collect();
        words[20..40].join(" ")
    };
    let set: String = (0..100)
        .map(|n| format!("{}\n", json!({"a": {"question": question(n)}, "answer": "x"})))
        .collect();
    let path = dir.path().join("set.jsonl");
    std::fs::write(&path, set).unwrap();
    let mut planted = HashSet::new();
    let mut documents = Vec::new();
    for (n, text) in pieces[..500].iter().enumerate() {
        if n % 5 == 0 {
            planted.insert(format!("d{n}"));
            // As it is in the wild: other case, other punctuation.
            let question = question(n / 5).to_uppercase().replace(" ,", "").replace(" .", " -");
            documents.push((format!("d{n}"), format!("{text}\nQ: {question}?")));
        } else {
            documents.push((format!("d{n}"), text.clone()));
        }
    }
    let steps = format!(
        "steps = [\"decontaminate\"]\n[[corpus.settings.decontaminate.sets]]\nname = \"quiz\"\npath = {path:?}\nfields = [\"question\"]"
    );
    let (kept, account) = run(&documents, &steps);
    good(judge(&kept, &planted, &documents));
    let step = &account["steps"][0];
    assert_eq!(
        step["hits"].as_array().unwrap().len() as u64,
        step["dropped"]["in an evaluation set"].as_u64().unwrap()
    );
    assert_eq!(step["hits"][0]["with"], "quiz");
    assert_eq!(step["notes"]["sets"][0]["looked_for"], 100);
}

/// An identity number of GB 11643 with its check digit.
fn identity(n: u64) -> String {
    let front = format!("1101051980{:02}{:02}{:03}", 1 + n % 12, 1 + n % 28, n % 1000);
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = front.chars().zip(weights).map(|(c, w)| c.to_digit(10).unwrap() * w).sum();
    format!("{front}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

/// A number with its Luhn digit.
fn card(n: u64) -> String {
    let front = format!("622202{:012}", splitmix64(n) % 1_000_000_000_000);
    let sum: u32 = front
        .chars()
        .rev()
        .enumerate()
        .map(|(i, c)| {
            let d = c.to_digit(10).unwrap() * if i % 2 == 0 { 2 } else { 1 };
            if d > 9 { d - 9 } else { d }
        })
        .sum();
    format!("{front}{}", (10 - sum % 10) % 10)
}

#[test]
fn personal_data() {
    let pieces = pieces();
    let mut documents = Vec::new();
    let mut secrets = Vec::new();
    for (n, text) in pieces[..500].iter().enumerate() {
        let k = n as u64;
        let secret = match n % 6 {
            0 => format!("j.doe{n}@mail{}.example.net", n % 7),
            1 => format!("8.{}.{}.9", n % 250, n % 100),
            2 => format!("138{:08}", splitmix64(k) % 100_000_000),
            3 => identity(k),
            4 => card(k),
            _ => format!("+44 20 {:04} {:04}", 1000 + n, 2000 + n),
        };
        let middle = text.len() / 2;
        let at = (middle..).find(|&i| text.as_bytes()[i] == b' ').unwrap();
        documents.push((format!("d{n}"), format!("{} {secret}{}", &text[..at], &text[at..])));
        secrets.push(secret);
    }
    // Numbers that are like them and are none: the check digit is wrong, they are parts of others.
    for (n, text) in pieces[500..700].iter().enumerate() {
        let other = match n % 4 {
            0 => {
                let mut c = card(n as u64).into_bytes();
                let d = c[7];
                c[7] = b'0' + (d - b'0' + 1) % 10;
                String::from_utf8(c).unwrap()
            }
            1 => format!("192.168.{}.1", n % 250),
            2 => format!("v1.{n}.33.44.5"),
            _ => format!("1984-{:02}-17, 3.14159{n}, 1,234,567,890 and 2001-2009", 1 + n % 12),
        };
        documents.push((format!("other{n}"), format!("{text} {other}")));
    }
    let (kept, account) = run(&documents, "steps = [\"personal\"]");
    let gone =
        (0..500).filter(|&n| !kept[n].1.contains(&secrets[n]) && kept[n].1.contains('<')).count();
    let found: u64 = account["steps"][0]["counters"]
        .as_object()
        .unwrap()
        .values()
        .map(|v| v.as_u64().unwrap())
        .sum();
    good((gone as f64 / 500.0, gone as f64 / found as f64));
}

#[test]
fn a_classifier_learns_what_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let pieces = pieces();
    let noise = |n: usize| {
        let word = |k: u64| {
            ["buy", "cheap", "free", "click", "now", "deal", "pills", "win", "casino", "the"]
                [(splitmix64(k) % 10) as usize]
        };
        (0..60).map(|k| word(n as u64 * 1000 + k)).collect::<Vec<_>>().join(" ")
    };
    let good: String = pieces[..300].iter().map(|t| format!("{}\n", json!({"text": t}))).collect();
    let raw: String = (0..300)
        .map(|n| {
            json!({"id": if n % 3 == 0 { format!("ok{n}") } else { format!("bad{n}") },
            "text": if n % 3 == 0 { pieces[400 + n].clone() } else { noise(n) }})
            .to_string()
                + "\n"
        })
        .collect();
    std::fs::write(dir.path().join("good.jsonl"), good).unwrap();
    std::fs::write(dir.path().join("raw.jsonl"), raw).unwrap();
    let recipe = format!(
        "[corpus]\nwrite_texts = true\nheldout_per_thousand = 0\nsteps = [\"quality\"]\n[corpus.settings.quality]\n\
         good = [\"good\"]\nraw = [\"raw\"]\nmin_score = 0.1\n[corpus.tokenizer]\nvocab_size = 262\nmax_bytes = 200000\n\
         [[corpus.sources]]\nname = \"good\"\npath = {:?}\n[[corpus.sources]]\nname = \"raw\"\npath = {:?}\n",
        dir.path().join("good.jsonl"),
        dir.path().join("raw.jsonl")
    );
    let recipe = Recipe::parse("test.toml", &recipe, &[]).unwrap();
    let folder = dir.path().join("run");
    let run = Run::open(&folder, recipe, 1, Arc::new(Silent), Interrupt::new(), false).unwrap();
    athanor_corpus::run(&run).unwrap();
    let account: Value = read_json(&folder.join("corpus/account.json")).unwrap();
    let notes = &account["steps"][0]["notes"];
    // A third of the raw ones are prose, too, of other texts than the good ones.
    let auc = notes["cross_validated_roc_auc"].as_f64().unwrap();
    assert!(auc > 0.75, "{notes}");
    let kept: Vec<String> = records::open(folder.join("corpus/texts.jsonl"))
        .unwrap()
        .map(|r| r.unwrap().text("id").unwrap().to_string())
        .collect();
    let bad = kept.iter().filter(|id| id.starts_with("bad")).count();
    let ok = kept.iter().filter(|id| id.starts_with("ok")).count();
    assert!(bad <= 10 && ok >= 95, "{bad} of 200 bad ones and {ok} of 100 good ones kept");
}
