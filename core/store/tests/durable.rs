//! Files, folders and lines that survive crashes.
#![allow(missing_docs)]

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use athanor_store::{
    Error, JsonLines, Kind, StagedDir, TensorBoard, read_json, read_jsonl, read_text, sha256_bytes,
    sha256_file, sha256_folder, tensorboard, write_atomic, write_atomic_with, write_json,
};
use serde_json::{Value, json};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn atomic_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/folder/x.json");
    write_json(&path, &json!({"b": 1, "a": [2]})).unwrap();
    assert_eq!(read_text(&path).unwrap(), "{\n  \"b\": 1,\n  \"a\": [\n    2\n  ]\n}\n");
    assert_eq!(read_json::<Value>(&path).unwrap(), json!({"b": 1, "a": [2]}));
    write_atomic(&path, b"{\n \"a\": }").unwrap();
    let e = read_json::<Value>(&path).unwrap_err();
    assert_eq!(e.to_string(), format!("{}:2:7: bad JSON: expected value", path.display()));
    write_atomic(&path, b"a\n\xff").unwrap();
    let e = read_text(&path).unwrap_err();
    assert_eq!(e.to_string(), format!("{}:2: not UTF-8 text", path.display()));
    assert_eq!(names(path.parent().unwrap()), ["x.json"]);
    assert_eq!(write_atomic(dir.path(), b"").unwrap_err().kind(), Kind::Input);
    assert_eq!(write_atomic(Path::new("/"), b"").unwrap_err().kind(), Kind::Input);
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_partial() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    write_atomic(&path, b"old").unwrap();
    let e = write_atomic_with(&path, |w| {
        w.write_all(&[7; 1 << 21]).unwrap();
        Err(Error::io("write", &path, io::ErrorKind::StorageFull.into()))
    })
    .unwrap_err();
    assert_eq!(e.kind(), Kind::Failed);
    assert!(e.to_string().contains("the disk is full\n  help: free some space"));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["x"]);
}

#[test]
fn threads_may_write_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::thread::scope(|s| {
        for i in 0..4u8 {
            let path = &path;
            s.spawn(move || (0..20).for_each(|_| write_atomic(path, &[i; 1000]).unwrap()));
        }
    });
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() == 1000 && bytes.iter().all(|b| *b == bytes[0]));
    assert_eq!(names(dir.path()), ["x"]);
}

#[test]
fn staged_folder_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("model");
    let staged = StagedDir::new(&target).unwrap();
    write_atomic(&staged.path().join("sub/a"), b"1").unwrap();
    assert!(!target.exists());
    let e = StagedDir::new(&target).unwrap_err();
    assert!(e.to_string().contains("is being written already"), "{e}");
    staged.commit().unwrap();
    assert_eq!(fs::read(target.join("sub/a")).unwrap(), b"1");

    // Dropped: nothing changes. Committed: replaced.
    let staged = StagedDir::new(&target).unwrap();
    write_atomic(&staged.path().join("b"), b"2").unwrap();
    drop(staged);
    assert_eq!(names(&target), ["sub"]);
    let staged = StagedDir::new(&target).unwrap();
    write_atomic(&staged.path().join("b"), b"2").unwrap();
    staged.commit().unwrap();
    assert_eq!(names(&target), ["b"]);
    assert_eq!(names(dir.path()), ["model"]);

    write_atomic(&dir.path().join("file"), b"").unwrap();
    assert_eq!(StagedDir::new(&dir.path().join("file")).unwrap_err().kind(), Kind::Input);
}

#[test]
fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write_atomic(&at(".model.partial-1/a"), b"").unwrap();
    write_atomic(&at(".model.partial-2/a"), b"").unwrap();
    write_atomic(&at(".model.safetensors.partial-3/a"), b"").unwrap();
    write_atomic(&at(".file.partial-4-0"), b"").unwrap();
    // The living hold a lock on theirs.
    let living = File::open(at(".model.partial-2")).unwrap();
    living.lock().unwrap();
    drop(StagedDir::new(&at("model")).unwrap());
    assert_eq!(
        names(dir.path()),
        [".file.partial-4-0", ".model.partial-2", ".model.safetensors.partial-3"]
    );
    write_atomic(&at("file"), b"").unwrap();
    assert_eq!(names(dir.path()), [".model.partial-2", ".model.safetensors.partial-3", "file"]);
}

#[test]
fn a_crash_between_the_two_renames_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("model");
    write_atomic(&dir.path().join(".model.old-1/a"), b"old").unwrap();
    write_atomic(&dir.path().join(".model.partial-1/a"), b"new").unwrap();
    athanor_store::durable::recover(&target).unwrap();
    assert_eq!(fs::read(target.join("a")).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["model"]);
    // After both renames: the old one is only in the way.
    write_atomic(&dir.path().join(".model.old-1/a"), b"older").unwrap();
    athanor_store::durable::recover(&target).unwrap();
    assert_eq!(fs::read(target.join("a")).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["model"]);
}

#[test]
fn hashes() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256_bytes(b"abc"), abc);
    let dir = tempfile::tempdir().unwrap();
    write_atomic(&dir.path().join("m/a"), b"abc").unwrap();
    write_atomic(&dir.path().join("m/b/c"), b"").unwrap();
    assert_eq!(sha256_file(&dir.path().join("m/a")).unwrap(), abc);
    let empty = sha256_bytes(b"");
    let want = sha256_bytes(format!("{abc}  a\n{empty}  b/c\n").as_bytes());
    assert_eq!(sha256_folder(&dir.path().join("m")).unwrap(), want);
    assert_eq!(sha256_file(&dir.path().join("no")).unwrap_err().kind(), Kind::Input);
}

#[test]
fn json_lines_survive_a_cut_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.jsonl");
    let line = |n: u64| json!({"step": n, "text": "a\n中"});
    let mut lines = JsonLines::append(&path).unwrap();
    (1..=3).for_each(|n| lines.write(&line(n)).unwrap());
    lines.sync().unwrap();
    drop(lines);
    let whole = fs::read(&path).unwrap();
    for n in 0..=whole.len() {
        fs::write(&path, &whole[..n]).unwrap();
        let before = read_jsonl(&path).unwrap();
        let mut lines = JsonLines::append(&path).unwrap();
        lines.write(&json!("next")).unwrap();
        lines.flush().unwrap();
        let mut want = before;
        want.push(json!("next"));
        assert_eq!(read_jsonl(&path).unwrap(), want, "cut at {n}");
    }
    fs::write(&path, "{}\nnope\n{}\n").unwrap();
    let e = read_jsonl(&path).unwrap_err().to_string();
    assert!(e.starts_with(&format!("{}:2: bad JSON", path.display())), "{e}");
}

#[test]
fn a_long_torn_line_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.jsonl");
    fs::write(&path, format!("{{}}\n{{\"a\": \"{}", "x".repeat(10_000))).unwrap();
    drop(JsonLines::append(&path).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"{}\n");
}

#[test]
fn records_after_the_checkpoint_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.jsonl");
    let keep = |v: &Value| v["step"].as_u64().is_some_and(|s| s <= 2);
    assert_eq!(JsonLines::truncate_after(&path, keep).unwrap(), 0);
    fs::write(&path, "{\"step\":1}\n{\"step\": 2}\n{\"step\":3}\n{\"st").unwrap();
    assert_eq!(JsonLines::truncate_after(&path, keep).unwrap(), 2);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\": 2}\n");
    assert_eq!(JsonLines::truncate_after(&path, keep).unwrap(), 0);
    assert_eq!(names(dir.path()), ["m.jsonl"]);
}

/// The records of an event file, their CRCs checked.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let n = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let data = rest[12..12 + n].to_vec();
        assert_eq!(tensorboard::record(&data), rest[..16 + n]);
        rest = &rest[16 + n..];
        found.push(data);
    }
    found
}

#[test]
fn tensorboard_bytes() {
    // RFC 3720's vectors: CRC-32C of 32 zeros and of 0..32, masked as TensorFlow masks.
    let mask = |crc: u32| crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(tensorboard::masked_crc(&[0; 32]), mask(0x8a91_36aa));
    let rising: Vec<u8> = (0..32).collect();
    assert_eq!(tensorboard::masked_crc(&rising), mask(0x46dd_794e));

    let dir = tempfile::tempdir().unwrap();
    let mut board = TensorBoard::create(dir.path()).unwrap();
    board.scalar("train/loss", 300, 2.5).unwrap();
    board.text("note", 1, "中").unwrap();
    board.flush().unwrap();
    let first = records(board.path());
    let mut second = TensorBoard::resume(dir.path(), 200).unwrap();
    second.scalar("train/loss", 201, f64::NAN).unwrap();
    second.flush().unwrap();
    let later = records(second.path());

    // Event: wall_time = field 1 (64-bit, 9 bytes), then what is asserted here.
    assert_eq!((first.len(), first[0][0]), (3, 9));
    assert_eq!(first[0][9..], *b"\x1a\x0dbrain.Event:2");
    assert_eq!(
        first[1][9..],
        *b"\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0atrain/loss\x15\x00\x00\x20\x40"
    );
    assert_eq!(
        first[2][9..],
        *b"\x10\x01\x2a\x21\x0a\x1f\x0a\x04note\x42\x0d\x08\x07\x12\x04\x12\x02\x08\x01\x42\x03\xe4\xb8\xad\x4a\x08\x0a\x06\x0a\x04text"
    );
    assert_eq!(later[1][9..], *b"\x10\xc9\x01\x3a\x02\x08\x01");
    // TensorBoard reads files by name: the newer must come last.
    assert!(board.path() < second.path());
}
