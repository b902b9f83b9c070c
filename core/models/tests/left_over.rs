//! Tensors of a file that the model does not have are named; buffers, and what it has under another name, are not.

mod common;

use std::{collections::BTreeMap, path::Path};

use athanor_models::{Head, Model, Shape, families};
use athanor_store::{Array, ArrayData, ArrayDataRef, ArrayRef, load_arrays, save_arrays};
use athanor_tensor::Device;

const CPU: Device = Device::Cpu;

fn saved(family: &str, head: Head, tied: bool, dir: &Path) {
    let shape = Shape { tied, ..common::shape() };
    let family = families::by_name(family).unwrap();
    Model::new(family, &shape, head, 1, CPU).unwrap().save(dir).unwrap();
}

/// Adds tensors of two numbers to a folder's file.
fn add(dir: &Path, names: &[&str]) {
    let path = dir.join("model.safetensors");
    let mut arrays = load_arrays(&path).unwrap();
    for name in names {
        let data = ArrayData::F32(vec![1.0, 2.0]);
        arrays.push(Array { name: (*name).into(), shape: vec![2], data });
    }
    let floats = |a: &Array| match &a.data {
        ArrayData::F32(v) => v.clone(),
        ArrayData::I64(_) => panic!("{} holds integers", a.name),
    };
    let values: Vec<Vec<f32>> = arrays.iter().map(floats).collect();
    let all: Vec<ArrayRef<'_>> = arrays
        .iter()
        .zip(&values)
        .map(|(a, v)| ArrayRef { name: &a.name, shape: &a.shape, data: ArrayDataRef::F32(v) })
        .collect();
    save_arrays(&path, &all, &BTreeMap::new()).unwrap();
}

#[test]
fn nothing_is_left_of_a_models_own_file() {
    let dir = tempfile::tempdir().unwrap();
    for family in families::FAMILIES {
        for head in [Head::BARE, Head::sequence(2)] {
            saved(family.name, head, true, dir.path());
            let model = Model::load(dir.path(), CPU).unwrap();
            let (warning, remark) = (model.left_over().warning(), model.left_over().remark());
            assert_eq!((warning, remark), (None, None), "{}", family.name);
        }
    }
}

#[test]
fn unknown_tensors_are_named() {
    let dir = tempfile::tempdir().unwrap();
    saved("llama", Head::CAUSAL_LM, true, dir.path());
    add(
        dir.path(),
        &[
            "model.layers.2.mlp.up_proj.weight",
            "model.layers.0.self_attn.q_proj.lora_A.weight",
            "vision_tower.patch.weight",
            "model.layers.0.mlp.experts.0.weight",
            // These are there already, or made anew.
            "lm_head.weight",
            "model.layers.0.self_attn.rotary_emb.inv_freq",
            "model.embeddings.position_ids",
        ],
    );
    let model = Model::load(dir.path(), CPU).unwrap();
    assert_eq!(
        model.left_over().unknown,
        [
            "model.layers.0.mlp.experts.0.weight",
            "model.layers.0.self_attn.q_proj.lora_A.weight",
            "model.layers.2.mlp.up_proj.weight",
            "vision_tower.patch.weight",
        ]
    );
    let warning = model.left_over().warning().unwrap();
    assert!(warning.starts_with("4 tensors were ignored"), "{warning}");
    assert!(warning.ends_with("model.layers.2.mlp.up_proj.weight and 1 more"), "{warning}");
    assert_eq!(model.left_over().remark(), None);
}

#[test]
fn another_head_is_worth_a_remark() {
    let dir = tempfile::tempdir().unwrap();
    saved("bert", Head::PRETRAINING, true, dir.path());
    let open = |head| Model::load_with_head(dir.path(), head, 1, CPU).unwrap();
    let masked = open(Head::MASKED_LM);
    assert_eq!(masked.left_over().unknown, [""; 0]);
    assert_eq!(
        masked.left_over().heads,
        [
            "bert.pooler.dense.bias",
            "bert.pooler.dense.weight",
            "cls.seq_relationship.bias",
            "cls.seq_relationship.weight",
        ]
    );
    let text = open(Head::sequence(2)).left_over().remark().unwrap();
    assert!(text.contains("cls.predictions.bias") && text.contains("more"), "{text}");
    // An output of its own is another head's for a model that scores texts.
    saved("gpt2", Head::CAUSAL_LM, false, dir.path());
    assert_eq!(open(Head::SCALAR).left_over().heads, ["lm_head.weight"]);
    // The folder's head has other labels.
    saved("bert", Head::sequence(2), true, dir.path());
    let labels = ["good".to_owned(), "bad".to_owned()];
    let model = Model::load_labelled(dir.path(), Head::sequence(2), &labels, 1, CPU).unwrap();
    assert_eq!(model.left_over().heads, ["classifier.bias", "classifier.weight"]);
    // GPT-2's old exports carry the causal mask of each layer.
    saved("gpt2", Head::CAUSAL_LM, true, dir.path());
    add(dir.path(), &["transformer.h.0.attn.bias", "h.1.attn.masked_bias", "lm_head.weight"]);
    assert_eq!(Model::load(dir.path(), CPU).unwrap().left_over(), &Default::default());
}
