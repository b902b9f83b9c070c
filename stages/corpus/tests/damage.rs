//! The whole stage over files that are damaged or made to burst: each is skipped with a reason that the
//! account counts, or refused with its place; and memory stays bounded.

use std::{fs::File, io::Write, path::Path, sync::Arc};

use athanor_store::{Interrupt, Recipe, Result, Run, Silent, read_json};
use flate2::{Compression, write::GzEncoder};
use peak_alloc::PeakAlloc;
use serde_json::Value;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn run(dir: &Path, source: &str) -> Result<()> {
    let recipe = format!(
        "[corpus]\nsteps = []\nheldout_per_thousand = 0\n[corpus.tokenizer]\nvocab_size = 300\n\
         [[corpus.sources]]\nname = \"good\"\npath = {:?}\n[[corpus.sources]]\nname = \"bad\"\n{source}",
        dir.join("good.jsonl")
    );
    let recipe = Recipe::parse("test.toml", &recipe, &[]).unwrap();
    let out = dir.join("run");
    let run = Run::open(&out, recipe, 1, Arc::new(Silent), Interrupt::new(), true)?;
    athanor_corpus::run(&run)
}

/// `bytes` of one letter, packed; a line's end before and behind, and `{}`'s kin around it.
fn long_line(path: &Path, mib: usize, before: &str, behind: &str) {
    let mut out = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    out.write_all(before.as_bytes()).unwrap();
    for _ in 0..mib {
        out.write_all(&[b'a'; 1 << 20]).unwrap();
    }
    out.write_all(behind.as_bytes()).unwrap();
    out.finish().unwrap();
}

/// A file; what refuses it; what is skipped, and how many documents of it are kept (-1: some).
type Case = (&'static str, &'static str, &'static [(&'static str, i64)], i64);

/// One test: the peak of memory is that of the whole process.
#[test]
fn damaged_and_bursting_files() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let good: String =
        (0..40).map(|n| format!("{{\"text\": \"number {n} of forty\"}}\n")).collect();
    std::fs::write(at("good.jsonl"), &good).unwrap();
    let whole = {
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        out.write_all(good.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let page = |text: &str| {
        format!(
            "<page>\n<title>A</title><ns>0</ns><revision><text>{text}</text></revision>\n</page>\n"
        )
    };
    long_line(
        &at("line.jsonl.gz"),
        200,
        "{\"text\": \"first\"}\n{\"text\": \"",
        "\"}\n{\"text\": \"last\"}\n",
    );
    long_line(&at("line.txt.gz"), 200, "first\n", "\nlast\n");
    std::fs::write(at("torn.jsonl.gz"), &whole[..whole.len() - 30]).unwrap();
    std::fs::write(at("flipped.jsonl.gz"), [&whole[..60], &[7; 20], &whole[80..]].concat())
        .unwrap();
    std::fs::write(
        at("latin.jsonl"),
        b"{\"text\": \"first\"}\n{\"text\": \"caf\xE9\"}\n{\"text\": \"last\"}\n",
    )
    .unwrap();
    std::fs::write(at("latin.txt"), b"first\ncaf\xE9\nlast\n").unwrap();
    let dump = page("'''one''' two")
        + &page("<b>x</c>")
        + &page("three")
        + &page("four").replace("</page>", "");
    std::fs::write(at("dump.xml"), dump).unwrap();
    // A page in bzip2 that unpacks to 200 MiB.
    let mut bomb = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bomb.write_all(page("good").as_bytes()).unwrap();
    bomb.write_all(b"<page>\n<revision><text>").unwrap();
    for _ in 0..200 {
        bomb.write_all(&[b'a'; 1 << 20]).unwrap();
    }
    bomb.write_all(b"</text></revision>\n</page>\n").unwrap();
    std::fs::write(at("bomb.xml.bz2"), bomb.finish().unwrap()).unwrap();

    let cases: &[Case] = &[
        ("line.jsonl.gz", "line.jsonl.gz:2: a line of more than 64 MiB", &[("bad line", 1)], 2),
        ("line.txt.gz", "line.txt.gz:2: a line of more than 64 MiB", &[("bad line", 1)], 2),
        ("latin.jsonl", "latin.jsonl:2: not UTF-8 text at byte 14", &[("bad line", 1)], 2),
        ("latin.txt", "latin.txt:2: not UTF-8 text at byte 4", &[("bad line", 1)], 2),
        (
            "dump.xml",
            "dump.xml:4: no page of a MediaWiki export in it, or bad XML",
            &[("bad XML page", 1), ("file not read to its end", 1)],
            2,
        ),
        ("bomb.xml.bz2", "", &[("page too large", 1)], 1),
        // What is behind the damage is lost; how much of what is before it can be read, zlib decides.
        ("torn.jsonl.gz", "the gzip file is torn", &[("file not read to its end", 1)], -1),
        ("flipped.jsonl.gz", "flipped.jsonl.gz", &[("file not read to its end", 1)], -1),
    ];
    let mut most = 0;
    for (name, refused, skipped, kept) in cases {
        let source = format!("path = {:?}\n", at(name));
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let error = run(dir.path(), &source).err().map_or(String::new(), |e| e.to_string());
        assert!(
            error.contains(refused) && error.is_empty() == refused.is_empty(),
            "{name}: {error}"
        );
        let lenient = run(dir.path(), &format!("{source}on_error = \"skip\"\n"));
        let taken = MEMORY.peak_usage().saturating_sub(before);
        println!("{name}: {} MiB", taken >> 20);
        most = most.max(taken);
        lenient.unwrap();
        let account: Value = read_json(&dir.path().join("run/corpus/account.json")).unwrap();
        let source = &account["sources"][1];
        assert!(*kept < 0 || source["kept_documents"] == *kept, "{name}: {source}");
        for (reason, records) in *skipped {
            assert_eq!(source["skipped"][reason]["records"], *records, "{name}: {source}");
        }
    }
    assert!(most < 700 << 20, "{} MiB at most", most >> 20);
}
