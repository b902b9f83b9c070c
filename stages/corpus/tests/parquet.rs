//! Parquet as pyarrow writes it (tests/fixtures/make_parquet.py), and as an attacker would.

use std::path::{Path, PathBuf};

use athanor_corpus::{
    SourceSection,
    sources::{self, Body},
};
use peak_alloc::PeakAlloc;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::Value;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parquet").join(name)
}

/// Names and texts; "skip: reason", "error: …".
fn read(path: &Path, change: impl FnOnce(&mut SourceSection)) -> Vec<(String, String)> {
    let mut source =
        SourceSection { name: "s".into(), path: path.into(), ..SourceSection::default() };
    source.on_error = "skip".into();
    source.format = Some("parquet".into());
    change(&mut source);
    let (items, tally) = match sources::open(&source.all_paths(), &source) {
        Ok(opened) => opened,
        Err(e) => return vec![(String::new(), format!("error: {e}"))],
    };
    let (mut bytes, mut out) = (0, Vec::new());
    for item in items {
        out.push(match item {
            Err(e) => (String::new(), format!("error: {e}")),
            Ok(item) => {
                bytes += item.bytes;
                let text = match item.body {
                    Body::Text(text) => text,
                    Body::Skip(reason) => format!("skip: {reason}"),
                    Body::Later(make) => make().unwrap(),
                };
                (item.id, text)
            }
        });
    }
    // What was read adds up: a file, and its values' bytes.
    let (_, packed, unpacked) = tally.total();
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    match out.iter().any(|(_, t)| t.starts_with("error: ")) {
        true => assert!(unpacked >= bytes && packed <= size),
        false => assert_eq!((unpacked, packed), (bytes, size)),
    }
    out
}

fn texts(path: &Path) -> Vec<String> {
    read(path, |_| {}).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn every_packing() {
    for packing in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"] {
        let got = read(&fixture(&format!("{packing}.parquet")), |_| {});
        let want = [
            ("a", "The first of four."),
            ("b", "春眠不覺曉，處處聞啼鳥。"),
            (&format!("{packing}.parquet:3"), "skip: no such text in the record"),
            ("d", "Last & least.\nTwo lines."),
        ];
        let got: Vec<(&str, &str)> = got.iter().map(|(i, t)| (i.as_str(), t.as_str())).collect();
        assert_eq!(got, want, "{packing}");
    }
    let path = fixture("snappy.parquet");
    let some = read(&path, |s| {
        s.text = "{{ id }} {{ score }} {{ meta.lang }}".into();
        s.only = "score != 2 and meta".into();
    });
    let some: Vec<&str> = some.iter().map(|(_, t)| t.as_str()).collect();
    assert_eq!(some, ["a 1 en", "skip: not wanted (only)", "c 3 en", "skip: not wanted (only)"]);
    let strict = read(&path, |s| s.on_error = "refuse".into());
    assert!(
        strict[2].1.contains("snappy.parquet:3: field `text` should be a text, found null"),
        "{strict:?}"
    );
    // All fields are named where the wanted one is not among them.
    let other = read(&path, |s| (s.text, s.on_error) = ("txt".into(), "refuse".into()));
    assert!(
        other[0].1.contains("did you mean `text`?") && other[0].1.contains("score, meta"),
        "{other:?}"
    );
}

#[test]
fn nested_columns_and_types_as_pyarrow_sees_them() {
    let want: Value =
        serde_json::from_slice(&std::fs::read(fixture("want.json")).unwrap()).unwrap();
    for (file, rows) in [("nested", "nested"), ("nested-v2", "nested"), ("types", "types")] {
        let rows = want[rows].as_array().unwrap();
        for (name, _) in rows[0].as_object().unwrap() {
            let got = read(&fixture(&format!("{file}.parquet")), |s| {
                s.text = format!("{{{{ {name} | tojson }}}}")
            });
            assert_eq!(got.len(), rows.len());
            for (n, ((_, got), row)) in got.iter().zip(rows).enumerate() {
                let got: Value =
                    serde_json::from_str(got).unwrap_or_else(|e| panic!("{name} {n}: {got}: {e}"));
                let want = &row[name];
                // Python writes a time without its zone.
                let alike = |a: &str, b: &str| {
                    a.trim_end_matches(" +00:00").trim_end_matches('0') == b.trim_end_matches('0')
                };
                let same = match (&got, want) {
                    (Value::String(got), Value::String(want))
                        if name == "time" || name == "nanos" =>
                    {
                        alike(got, want)
                    }
                    (Value::Number(got), Value::Number(want)) if name == "f32" => {
                        got.as_f64().unwrap() as f32 == want.as_f64().unwrap() as f32
                    }
                    (got, want) => got == want,
                };
                assert!(same, "{file}: {name} of row {n}: {got}, expected {want}");
            }
        }
    }
}

#[test]
fn many_pages_in_every_encoding() {
    let mut all: Vec<Vec<(String, String)>> = Vec::new();
    for name in ["plain", "dictionary", "delta-length", "delta"] {
        let template = "{{ text }} {{ tags | join('+') }} {{ id }}";
        all.push(read(&fixture(&format!("{name}.parquet")), |s| s.text = template.into()));
    }
    for rows in &all {
        assert_eq!(rows.len(), 5000);
        for (n, (id, text)) in rows.iter().enumerate() {
            let sentence = if n % 7 == 0 {
                "None".into()
            } else {
                format!("sentence number {} of many", n / 3)
            };
            let tags = vec![format!("t{}", n % 5); n % 4].join("+");
            assert_eq!(
                (id.as_str(), text.as_str()),
                (n.to_string().as_str(), format!("{sentence} {tags} {n}").as_str())
            );
        }
    }
}

/// A file of nothing but an index.
fn with_footer(footer: &[u8]) -> Vec<u8> {
    let length = (footer.len() as u32).to_le_bytes();
    [b"PAR1", footer, &length, b"PAR1"].concat()
}

/// An element of a schema: name, children (zigzag), nothing else.
fn element(children: u8, more: &[u8]) -> Vec<u8> {
    [&[0x48, 1, b'a', 0x15, children][..], more, &[0]].concat()
}

#[test]
fn damaged_and_crafted_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.parquet");
    let says = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let got = texts(&path).pop().unwrap();
        assert!(
            got.starts_with("error: ") && got.contains("bad.parquet") && got.contains(what),
            "{what}: {got}"
        );
    };
    let whole = std::fs::read(fixture("snappy.parquet")).unwrap();
    says(&[], "too short");
    says(&whole[..whole.len() / 2], "its end is not that of a Parquet file");
    says(&whole[..whole.len() - 1], "its end is not that of a Parquet file");
    says(&[b"PAR1", &whole[whole.len() - 600..]].concat(), "not a Parquet file that can be read");
    says(b"{\"text\": \"a line of JSON\"}\n", "its end");
    says(&[&whole[..whole.len() - 4], b"PARE"].concat(), "encrypted");
    says(
        &[&whole[..whole.len() - 8], &u32::MAX.to_le_bytes(), b"PAR1"].concat(),
        "an index of 4294967295 bytes",
    );
    // Version 1, then a list of so many structures.
    let schema = |elements: &[Vec<u8>]| {
        let mut out = vec![0x15, 2, 0x19];
        match elements.len() {
            few @ 0..15 => out.push((few as u8) << 4 | 12),
            many => {
                out.push(0xFC);
                let mut left = many;
                while left > 127 {
                    out.push(left as u8 | 128);
                    left >>= 7;
                }
                out.push(left as u8);
            }
        }
        out.extend(elements.concat());
        out.push(0);
        with_footer(&out)
    };
    let huge = [&[0x48, 1, b'a', 0x15][..], &[0xFE, 0xFF, 0xFF, 0xFF, 0x0F], &[0]].concat();
    says(&schema(&[huge.clone(), element(0, &[])]), "promises more fields than it has");
    says(&schema(&[element(2, &[]), huge]), "promises more fields than it has");
    says(&schema(&[element(1, &[])]), "a group of less than no fields");
    let deep: Vec<_> =
        (0..200_000).map(|n| element(if n < 199_999 { 2 } else { 0 }, &[])).collect();
    says(&schema(&deep), "levels deep");
    says(&schema(&[element(0, &[]), element(0, &[])]), "more than one root");
    says(&with_footer(&[0x19; 1000]), "not a Parquet file");
    says(&with_footer(&[0x1C; 1000]), "nested too deep");
}

/// No byte that is bent makes it panic, or take memory that the file does not bear out. ATHANOR_CASES=1 bends every
/// byte, else one in seven.
#[test]
fn bent_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bent.parquet");
    let template = "{{ text }} {{ lists }} {{ structs }} {{ map }} {{ deep }}";
    let many = std::env::var_os("ATHANOR_CASES").is_some();
    let mut most = 0;
    let mut check = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        texts(&path);
        read(&path, |s| s.text = template.into());
        let taken = MEMORY.peak_usage().saturating_sub(before);
        most = most.max(taken);
        assert!(taken < 300 << 20, "{} MiB", taken >> 20);
    };
    for name in ["gzip", "zstd", "lz4", "nested", "nested-v2", "types"] {
        let whole = std::fs::read(fixture(&format!("{name}.parquet"))).unwrap();
        for at in (0..whole.len()).step_by(if many { 1 } else { 7 }) {
            let mut bytes = whole.clone();
            bytes[at] ^= [0x5A, 0x80, 0x01, 0xFF][at % 4];
            check(&bytes);
        }
    }
    let whole = std::fs::read(fixture("nested.parquet")).unwrap();
    let cases = ProptestConfig::with_cases(if many { 2000 } else { 300 });
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(cases, rng);
    let edits = proptest::collection::vec((0..whole.len(), any::<u8>()), 1..6);
    let check = std::cell::RefCell::new(check);
    runner
        .run(&edits, |edits| {
            let mut bytes = whole.clone();
            edits.iter().for_each(|(at, byte)| bytes[*at] = *byte);
            (check.borrow_mut())(&bytes);
            Ok(())
        })
        .unwrap();
    println!("{} MiB at most", most >> 20);
}
