//! Logits, hidden states, loss and every gradient equal those of Hugging Face transformers on the
//! fixtures that tests/fixtures/make_hf.py wrote.

use std::{collections::BTreeMap, fs, path::Path};

use athanor_models::{Model, forward::forward};
use athanor_store::{Array, ArrayData, load_arrays};
use athanor_tensor::Device;

fn floats(a: &Array) -> &[f32] {
    match &a.data {
        ArrayData::F32(v) => v,
        ArrayData::I64(_) => panic!("{} holds integers", a.name),
    }
}

/// Drops the places of `a` [batch, time, …] where `mask` is 0: a query there may see nothing at all
/// (padding on the left, or beyond a sliding window), where transformers averages over masked keys,
/// or gives zeros, as its backend has it, and nobody reads the result. Ours gives zeros.
fn seen(a: &Array, mask: Option<&Array>) -> Vec<f32> {
    let Some(Array { data: ArrayData::I64(mask), .. }) = mask else { return floats(a).to_vec() };
    if a.shape.len() != 3 {
        return floats(a).to_vec();
    }
    let rows = floats(a).chunks(a.shape[2]).zip(mask).filter(|(_, seen)| **seen == 1);
    rows.flat_map(|(row, _)| row.to_vec()).collect()
}

/// Greatest difference relative to the greatest value of the tensor.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-6f64, |m, v| m.max(f64::from(v.abs())));
    got.iter().zip(want).fold(0.0, |m: f64, (g, w)| m.max(f64::from((g - w).abs()))) / scale
}

#[test]
fn fixtures_match_transformers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hf");
    let mut cases: Vec<_> =
        fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 21, "only {} fixtures", cases.len());
    let mut worst = BTreeMap::new();
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let model = Model::load(&case, Device::Cpu).unwrap_or_else(|e| panic!("{name}: {e}"));
        let input = load_arrays(&case.join("in.safetensors")).unwrap();
        let want = load_arrays(&case.join("out.safetensors")).unwrap();
        let mask = input.iter().find(|a| a.name == "attention_mask").cloned();
        let got = forward(&model, input, true).unwrap_or_else(|e| panic!("{name}: {e}"));
        for w in &want {
            let g = got
                .iter()
                .find(|g| g.name == w.name)
                .unwrap_or_else(|| panic!("{name}: no {}", w.name));
            assert_eq!(g.shape, w.shape, "{name}: {}", w.name);
            let d = distance(&seen(g, mask.as_ref()), &seen(w, mask.as_ref()));
            let entry = worst.entry(name.clone()).or_insert((0.0f64, String::new()));
            if d > entry.0 {
                *entry = (d, w.name.clone());
            }
        }
        let grads = want.iter().filter(|w| w.name.starts_with("grad.")).count();
        assert_eq!(grads, model.params.len(), "{name}: a gradient for every parameter");
    }
    for (case, (d, tensor)) in &worst {
        println!("{case}: {d:.2e} ({tensor})");
    }
    for (case, (d, tensor)) in &worst {
        // The gradient of a key's bias nearly cancels (softmax does not feel a shift), so there f32's
        // own error, which tests/fixtures/hf/report.json has, is larger against what is left.
        let limit = if tensor.ends_with("k_proj.bias") { 3e-5 } else { 1e-5 };
        assert!(*d < limit, "{case}: {d:.2e} ({tensor})");
    }
}
