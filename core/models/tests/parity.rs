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
/// or gives zeros, depending on its backend; the result is never read. Ours gives zeros.
fn seen(a: &Array, mask: Option<&Array>) -> Vec<f32> {
    let Some(Array { data: ArrayData::I64(mask), .. }) = mask else { return floats(a).to_vec() };
    if a.shape.len() != 3 {
        return floats(a).to_vec();
    }
    let rows = floats(a).chunks(a.shape[2]).zip(mask).filter(|(_, seen)| **seen == 1);
    rows.flat_map(|(row, _)| row.to_vec()).collect()
}

fn peak(values: &[f32]) -> f64 {
    values.iter().fold(1e-6, |m, v| m.max(f64::from(v.abs())))
}

/// Greatest difference relative to `scale`.
fn distance(got: &[f32], want: &[f32], scale: f64) -> f64 {
    assert_eq!(got.len(), want.len());
    // A NaN is a difference.
    let apart = |g: &f32, w: &f32| {
        let d = f64::from((g - w).abs());
        if d.is_nan() { f64::INFINITY } else { d }
    };
    got.iter().zip(want).fold(0.0, |m: f64, (g, w)| m.max(apart(g, w))) / scale
}

/// How far a tensor may lie off, relative to its greatest value: 1e-5, or where transformers' own float32
/// misses float64 by more than half of that (parts that nearly cancel), twice by how much, up to 1e-4.
fn tolerance(report: &serde_json::Value, case: &str, tensor: &str) -> f64 {
    let own = report["cases"][case]["inexact_tensors"][tensor].as_f64();
    own.map_or(1e-5, |own| (2.0 * own).clamp(1e-5, 1e-4))
}

/// Below this share of the greatest gradient a gradient is rounding alone: that of a bias of attention's
/// keys is 0, since softmax does not see what is added to all scores, as is the sum of a span's.
const NOTHING: f64 = 1e-5;

#[test]
fn fixtures_match_transformers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hf");
    let mut cases: Vec<_> =
        fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 45, "only {} fixtures", cases.len());
    let report = fs::read_to_string(root.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let (mut worst, mut wrong) = (BTreeMap::new(), Vec::new());
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let model = Model::load(&case, Device::Cpu).unwrap_or_else(|e| panic!("{name}: {e}"));
        let input = load_arrays(&case.join("in.safetensors")).unwrap();
        let want = load_arrays(&case.join("out.safetensors")).unwrap();
        // An encoder's padding has hidden states like any other place, and XLNet's sees itself.
        let causal = model.input(vec![0], 1, 1).mask.causal && model.family().name != "xlnet";
        let mask = input.iter().find(|a| a.name == "attention_mask" && causal).cloned();
        let learns = want.iter().any(|a| a.name == "loss");
        let got = forward(&model, input, learns).unwrap_or_else(|e| panic!("{name}: {e}"));
        let gradients = want.iter().filter(|w| w.name.starts_with("grad."));
        let steepest = gradients.map(|w| peak(floats(w))).fold(0.0, f64::max);
        for w in &want {
            let g = got
                .iter()
                .find(|g| g.name == w.name)
                .unwrap_or_else(|| panic!("{name}: no {}", w.name));
            assert_eq!(g.shape, w.shape, "{name}: {}", w.name);
            let (g, expected) = (seen(g, mask.as_ref()), seen(w, mask.as_ref()));
            let own = peak(&expected);
            let nothing = w.name.starts_with("grad.") && own < NOTHING * steepest;
            let d = distance(&g, &expected, if nothing { steepest } else { own });
            if d > if nothing { 1e-5 } else { tolerance(&report, &name, &w.name) } {
                wrong.push(format!("{name}: {} by {d:.2e}", w.name));
            }
            let entry = worst.entry(name.clone()).or_insert((0.0f64, String::new()));
            if d > entry.0 {
                *entry = (d, w.name.clone());
            }
        }
        // What takes no part has no gradient there, and zeros here.
        for g in got.iter().filter(|g| g.name.starts_with("grad.")) {
            let known = want.iter().any(|w| w.name == g.name);
            assert!(known || floats(g).iter().all(|v| *v == 0.0), "{name}: {}", g.name);
        }
    }
    for (case, (d, tensor)) in &worst {
        println!("{case}: {d:.2e} ({tensor})");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
