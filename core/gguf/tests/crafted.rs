//! Every block type equals the `gguf` package's; a damaged or crafted file gives an error, never a
//! panic, and never takes more memory than eight times its size.

use std::{fs, path::PathBuf};

use athanor_gguf::{File, Value, import};
use athanor_store::{ArrayData, load_arrays};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gguf").join(name)
}

fn blocks_equal_the_gguf_package() {
    let mut file = File::open(&fixture("blocks.gguf")).unwrap();
    assert_eq!(file.size("a.number", None).unwrap(), 7);
    assert_eq!(file.get("a.signed"), Some(&Value::Signed(-3)));
    assert_eq!(file.number("a.float").unwrap(), Some(0.5));
    assert_eq!(file.flag("a.flag"), Some(true));
    assert_eq!(file.text("a.text"), Some("春 spring"));
    let texts = ["a", "", "人之初"].map(String::from).to_vec();
    assert_eq!(file.get("a.texts"), Some(&Value::Texts(texts)));
    assert_eq!(file.get("a.floats"), Some(&Value::Floats(vec![1.5, -2.0])));
    let expected = load_arrays(&fixture("blocks.safetensors")).unwrap();
    assert_eq!(expected.len(), 9);
    for want in expected {
        let info = file.tensors.iter().find(|t| t.name == want.name).unwrap().clone();
        let ArrayData::F32(values) = want.data else { panic!() };
        assert_eq!(info.shape, want.shape, "{}", want.name);
        let got = file.read(&info).unwrap();
        let scale = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (a, b) in got.iter().zip(&values) {
            assert!((a - b).abs() <= 1e-6 * scale, "{}: {a} {b}", want.name);
        }
    }
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A whole gemma3 of one layer with a vocabulary of SentencePiece's kind, all sizes small.
fn whole() -> Vec<u8> {
    let (vocabulary, hidden, dim, inner) = (9u64, 4u64, 2u64, 3u64);
    let mut entries: Vec<(&str, u32, Vec<u8>)> = Vec::new();
    let text = |t: &str| {
        let mut b = Vec::new();
        put(&mut b, t);
        b
    };
    let number = |n: u32| n.to_le_bytes().to_vec();
    entries.push(("general.architecture", 8, text("gemma3")));
    for (key, n) in [
        ("gemma3.context_length", 16),
        ("gemma3.block_count", 1),
        ("gemma3.feed_forward_length", inner as u32),
        ("gemma3.attention.head_count", 2),
        ("gemma3.attention.head_count_kv", 1),
        ("gemma3.attention.key_length", dim as u32),
        ("gemma3.attention.sliding_window", 4),
        ("tokenizer.ggml.bos_token_id", 1),
        ("tokenizer.ggml.unknown_token_id", 0),
    ] {
        entries.push((key, 4, number(n)));
    }
    entries.push(("tokenizer.ggml.model", 8, text("llama")));
    entries.push(("tokenizer.ggml.add_bos_token", 7, vec![1]));
    let list = |kind: u32, n: usize, body: Vec<u8>| {
        [kind.to_le_bytes().to_vec(), (n as u64).to_le_bytes().to_vec(), body].concat()
    };
    let tokens = ["<unk>", "<s>", "▁", "a", "b", "ab", "▁a", "▁ab", "<0x0A>"];
    let body = tokens.iter().flat_map(|t| text(t)).collect();
    entries.push(("tokenizer.ggml.tokens", 9, list(8, 9, body)));
    let scores = (0..9).flat_map(|i| (-(i as f32)).to_le_bytes()).collect();
    entries.push(("tokenizer.ggml.scores", 9, list(6, 9, scores)));
    let kinds = [2i32, 3, 1, 1, 1, 1, 1, 1, 6].into_iter().flat_map(i32::to_le_bytes).collect();
    entries.push(("tokenizer.ggml.token_type", 9, list(5, 9, kinds)));
    let mut tensors: Vec<(String, Vec<u64>)> = vec![
        ("token_embd.weight".into(), vec![hidden, vocabulary]),
        ("output_norm.weight".into(), vec![hidden]),
    ];
    for (part, shape) in [
        ("attn_norm", vec![hidden]),
        ("post_attention_norm", vec![hidden]),
        ("ffn_norm", vec![hidden]),
        ("post_ffw_norm", vec![hidden]),
        ("attn_q_norm", vec![dim]),
        ("attn_k_norm", vec![dim]),
        ("attn_q", vec![hidden, 2 * dim]),
        ("attn_k", vec![hidden, dim]),
        ("attn_v", vec![hidden, dim]),
        ("attn_output", vec![2 * dim, hidden]),
        ("ffn_gate", vec![hidden, inner]),
        ("ffn_up", vec![hidden, inner]),
        ("ffn_down", vec![inner, hidden]),
    ] {
        tensors.push((format!("blk.0.{part}.weight"), shape));
    }
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    for (key, kind, value) in entries {
        put(&mut out, key);
        out.extend(kind.to_le_bytes());
        out.extend(value);
    }
    let mut offset = 0u64;
    for (name, shape) in &tensors {
        put(&mut out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(0u32.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += (shape.iter().product::<u64>() * 4).next_multiple_of(32);
    }
    out.resize(out.len().next_multiple_of(32) + offset as usize, 0);
    out
}

/// Opens and imports `bytes`; what was taken at the most beyond eight times their size.
fn take(bytes: &[u8]) -> (bool, usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    fs::write(&path, bytes).unwrap();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let opened = File::open(&path);
    let good = opened.is_ok();
    drop(opened);
    let header = MEMORY.peak_usage().saturating_sub(before);
    let folder = dir.path().join("out");
    fs::create_dir(&folder).unwrap();
    let _ = import(&path, &folder);
    let whole = MEMORY.peak_usage().saturating_sub(before);
    // Buffers of reading and writing are constant: 8 KiB and 1 MiB.
    let over = |taken: usize, fixed: usize| taken.saturating_sub(8 * bytes.len() + fixed);
    (good, over(header, 16 << 10).max(over(whole, 3 << 19)))
}

fn damaged() {
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let base = whole();
    let header = base.len() - 700;
    let edits = prop::collection::vec(
        (
            0..header,
            prop_oneof![
                Just(vec![0xff]),
                Just(vec![0]),
                any::<u8>().prop_map(|b| vec![b]),
                Just(u64::MAX.to_le_bytes().to_vec()),
                (0u32..40).prop_map(|s| (1u64 << s).to_le_bytes().to_vec()),
            ],
        ),
        1..4,
    );
    let strategy = (edits, prop::option::weighted(0.2, 0..base.len()));
    runner
        .run(&strategy, |(edits, cut)| {
            let mut bytes = base.clone();
            for (at, with) in edits {
                let end = (at + with.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&with[..end - at]);
            }
            bytes.truncate(cut.unwrap_or(bytes.len()));
            prop_assert_eq!(take(&bytes).1, 0);
            Ok(())
        })
        .unwrap();
}

/// Files made to fill memory: many small entries, and counts that nothing bears out.
fn bombs() {
    let head = |tensors: u64, entries: u64| {
        let mut b = b"GGUF".to_vec();
        b.extend(3u32.to_le_bytes());
        b.extend(tensors.to_le_bytes());
        b.extend(entries.to_le_bytes());
        b
    };
    let list = |kind: u32, n: u64, fill: &[u8]| {
        let mut b = head(0, 1);
        put(&mut b, "k");
        b.extend(9u32.to_le_bytes());
        b.extend(kind.to_le_bytes());
        b.extend(n.to_le_bytes());
        b.extend(fill);
        b
    };
    // A list of bytes, of empty texts, of numbers; entries with empty keys differ by nothing.
    assert_eq!(take(&list(0, 1 << 20, &vec![1; 1 << 20])), (true, 0));
    assert_eq!(take(&list(8, 1 << 17, &vec![0; 1 << 20])), (true, 0));
    assert_eq!(take(&list(4, 1 << 18, &vec![7; 1 << 20])), (true, 0));
    assert_eq!(take(&list(8, u64::MAX, &[0; 64])), (false, 0));
    assert_eq!(take(&list(9, 1, &[0; 64])), (false, 0));
    let mut keys = head(0, 50_000);
    for i in 0..50_000u32 {
        put(&mut keys, &format!("{i:05}"));
        keys.extend(7u32.to_le_bytes());
        keys.push(1);
    }
    assert_eq!(take(&keys), (true, 0));
    let mut tensors = head(30_000, 0);
    for i in 0..30_000u32 {
        put(&mut tensors, &format!("{i:05}"));
        tensors.extend([1u32, 1, 0, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
    }
    // All stand at the same place: their bytes sum to more than the file has, so this is refused.
    assert_eq!(take(&tensors).1, 0);
    assert_eq!(take(&head(u64::MAX, u64::MAX)), (false, 0));
}

/// One test: the peak of memory is that of the whole process.
#[test]
fn crafted_files() {
    blocks_equal_the_gguf_package();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("m.gguf"), whole()).unwrap();
    let found = import(&dir.path().join("m.gguf"), dir.path()).unwrap();
    assert_eq!((found.tensors, found.left_over.len()), (15, 0));
    assert_eq!(take(&whole()), (true, 0));
    damaged();
    bombs();
}
