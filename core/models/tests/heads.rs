//! Every family with every head: saved and opened again; heads put on other trunks; what config.json may
//! say without harm.

mod common;

use std::{fs, path::Path};

use athanor_models::{
    Extra, Head, Model, Pass, Sentences, Shape, TwoStreams, families,
    families::{FAMILIES, Family},
    forward::forward,
    heads::HEADS,
};
use athanor_store::{Array, ArrayData, load_arrays};
use athanor_tensor::{Device, GradSet, Graph, Ids, Tensor, ops, pool_stats};
use common::shape;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const CPU: Device = Device::Cpu;

/// The heads that a family has.
fn heads(family: &Family) -> Vec<Head> {
    let all = [
        Head::BARE,
        Head::CAUSAL_LM,
        Head::MASKED_LM,
        Head::PERMUTATION_LM,
        Head::NEXT_SENTENCE,
        Head::PRETRAINING,
        Head::REPLACED_TOKEN,
        Head::SPAN,
        Head::MULTIPLE_CHOICE,
        Head::SCALAR,
        Head::sequence(3),
        Head::token(4),
    ];
    assert!(HEADS.iter().all(|k| all.iter().any(|h| h.kind().name == k.name)));
    all.into_iter().filter(|h| family.variant(h.kind()).is_some()).collect()
}

fn integers(name: &str, shape: &[usize], values: Vec<i64>) -> Array {
    Array { name: name.into(), shape: shape.to_vec(), data: ArrayData::I64(values) }
}

fn ids(model: &Model) -> Array {
    let values = (0..10).map(|i| i * 7 % 22).collect();
    let shape: &[usize] = if model.head().kind().choices { &[1, 2, 5] } else { &[2, 5] };
    integers("input_ids", shape, values)
}

fn outputs(model: &Model) -> Vec<(String, Vec<f32>)> {
    let all = forward(model, vec![ids(model)], false).unwrap();
    let floats = |a: Array| match a.data {
        ArrayData::F32(v) => (a.name, v),
        ArrayData::I64(_) => panic!("{} holds integers", a.name),
    };
    all.into_iter().map(floats).collect()
}

#[test]
fn saved_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for family in FAMILIES {
        for head in heads(family) {
            for tied in [true, false] {
                let shape = Shape { tied, ..shape() };
                let name = format!("{} {head:?} {tied}", family.name);
                let mut model = Model::new(family, &shape, head, 1, CPU)
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                model.set_tokens(1, 2, 3);
                model.save(dir.path()).unwrap();
                let again = Model::load(dir.path(), CPU).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(again.head(), head, "{name}");
                assert_eq!(again.config, model.config, "{name}");
                assert_eq!(outputs(&again), outputs(&model), "{name}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 70, "{seen}");
}

/// A pretrained trunk under every other head: the trunk's numbers stay.
#[test]
fn another_head_on_the_same_trunk() {
    let dir = tempfile::tempdir().unwrap();
    for family in FAMILIES {
        let first = heads(family)[1];
        let mut model = Model::new(family, &shape(), first, 1, CPU).unwrap();
        model.set_tokens(1, 2, 3);
        model.save(dir.path()).unwrap();
        let hidden = |model: &Model| {
            let graph = Graph::inference(&model.params);
            let input = model.input(vec![4, 9, 2, 7, 3, 3], 2, 3);
            model.hidden(&mut Pass::new(&graph, &input)).value().to_vec()
        };
        let want = hidden(&model);
        for head in heads(family) {
            let name = format!("{}: {head:?} over {first:?}", family.name);
            // Weights over the vocabulary are never made up, but where they are the embedding.
            let other = Model::load_with_head(dir.path(), head, 5, CPU)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(hidden(&other), want, "{name}");
            let again = Model::load_with_head(dir.path(), head, 5, CPU).unwrap();
            assert_eq!(outputs(&again), outputs(&other), "{name}: the same seed");
        }
    }
}

#[test]
fn a_missing_head_is_an_error_but_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let bert = families::by_name("bert").unwrap();
    Model::new(bert, &shape(), Head::MASKED_LM, 1, CPU).unwrap().save(dir.path()).unwrap();
    let path = dir.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("BertForMaskedLM", "BertForSequenceClassification")).unwrap();
    let error = Model::load(dir.path(), CPU).err().unwrap().to_string();
    assert!(error.contains("bert.pooler.dense.weight"), "{error}");
    fs::write(&path, text.replace("BertForMaskedLM", "BertForHaiku")).unwrap();
    let error = Model::load(dir.path(), CPU).err().unwrap().to_string();
    assert!(error.contains("BertForHaiku") && error.contains("…ForMaskedLM"), "{error}");
    // A trunk without its pooler is one all the same.
    fs::write(&path, text.replace("BertForMaskedLM", "BertModel")).unwrap();
    let bare = Model::load(dir.path(), CPU).unwrap();
    assert!(outputs(&bare).iter().all(|(name, _)| name.starts_with("hidden.")));
    assert!(Model::load_with_head(dir.path(), Head::CAUSAL_LM, 1, CPU).is_err());
}

/// Old TensorFlow names of layer norms.
#[test]
fn gamma_and_beta() {
    let dir = tempfile::tempdir().unwrap();
    let bert = families::by_name("bert").unwrap();
    let model = Model::new(bert, &shape(), Head::MASKED_LM, 1, CPU).unwrap();
    model.save(dir.path()).unwrap();
    let path = dir.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    // Names of the same length, so that the header keeps its size.
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
    let old = header
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta");
    let mut changed = (old.len() as u64).to_le_bytes().to_vec();
    changed.extend(old.as_bytes());
    changed.extend(&bytes[8 + length..]);
    fs::write(&path, changed).unwrap();
    assert_eq!(outputs(&Model::load(dir.path(), CPU).unwrap()), outputs(&model));
}

/// A head beside the model's own has a file of its own and leaves model.safetensors as it is.
#[test]
fn a_value_head_beside_a_writer() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let llama = families::by_name("llama").unwrap();
    let mut model = Model::new(llama, &shape(), Head::CAUSAL_LM, 1, CPU).unwrap();
    model.save(other.path()).unwrap();
    assert!(model.add_head(Head::SCALAR, None).is_err(), "it has no file of its own");
    model.add_head(Head::VALUE, None).unwrap();
    let values = |model: &Model| {
        let graph = Graph::inference(&model.params);
        let input = model.input(vec![4, 9, 2, 7, 3, 3], 2, 3);
        let hidden = model.hidden(&mut Pass::new(&graph, &input));
        let rows = model.rows(&hidden, (0..6).collect());
        model.values(&graph, &rows).value().to_vec()
    };
    assert_eq!(values(&model), [0.0; 6], "a new one");
    let last = model.params.iter_mut().last().unwrap();
    assert_eq!((last.name.as_str(), &last.value.shape()[..]), ("value_head.weight", &[1, 8][..]));
    last.value = Tensor::from_slice(CPU, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [1, 8]);
    assert!(!model.is_hidden_matrix(model.params.len() - 1));
    assert_eq!(model.planned().unwrap().params.len(), model.params.len());
    model.save(dir.path()).unwrap();
    let bytes = |dir: &Path| fs::read(dir.join("model.safetensors")).unwrap();
    assert_eq!(bytes(dir.path()), bytes(other.path()));
    assert_eq!(
        load_arrays(&dir.path().join("value_head.safetensors")).unwrap()[0].name,
        "value_head.weight"
    );
    let mut again = Model::load(dir.path(), CPU).unwrap();
    again.add_saved_heads(other.path()).unwrap();
    assert_eq!(again.params.len() + 1, model.params.len(), "nothing was saved there");
    again.add_saved_heads(dir.path()).unwrap();
    assert_eq!(values(&again), values(&model));

    // One of another width.
    let wide = Shape { hidden: 16, ..shape() };
    let mut wide = Model::new(llama, &wide, Head::CAUSAL_LM, 1, CPU).unwrap();
    let error = wide.add_head(Head::VALUE, Some(dir.path())).unwrap_err().to_string();
    assert!(error.contains("value_head.safetensors") && error.contains("[1, 8]"), "{error}");
}

fn refused(family: &str, head: Head, array: Array, words: &[&str]) {
    let model = Model::new(families::by_name(family).unwrap(), &shape(), head, 1, CPU).unwrap();
    let first = ids(&model);
    let Err(error) = forward(&model, vec![first, array], false) else {
        panic!("{words:?}: accepted")
    };
    let error = error.to_string();
    assert!(words.iter().all(|w| error.contains(w)), "{error}, not {words:?}");
}

#[test]
fn forward_says_what_is_wrong() {
    let ints = |name: &str, shape: &[usize], v: i64| {
        integers(name, shape, vec![v; shape.iter().product()])
    };
    let floats = |name: &str, shape: &[usize], v: f32| Array {
        name: name.into(),
        shape: shape.to_vec(),
        data: ArrayData::F32(vec![v; shape.iter().product()]),
    };
    let masked: [(Array, &[&str]); 7] = [
        (ints("token_type_ids", &[2, 5], 2), &["token_type_ids", "0 to 1"]),
        (ints("position_ids", &[2, 5], 12), &["position_ids", "0 to 11"]),
        (ints("labels", &[2, 5], 23), &["labels", "0 to 22 or -100"]),
        (ints("labels", &[2, 5], -100), &["labels", "no label counts"]),
        (ints("labels", &[2], 1), &["labels", "[2, 5]"]),
        (floats("labels", &[2, 5], 1.0), &["labels", "floats"]),
        (floats("perm_mask", &[2, 5, 5], 1.0), &["perm_mask", "known: input_ids"]),
    ];
    for (array, words) in masked {
        refused("bert", Head::MASKED_LM, array, words);
    }
    let permuted: [(Array, &[&str]); 6] = [
        (ints("position_ids", &[2, 5], 0), &["position_ids"]),
        (floats("perm_mask", &[2, 5], 1.0), &["perm_mask", "[2, 5, 5]"]),
        (floats("target_mapping", &[2, 3, 5], 1.0), &["target_mapping", "row 0"]),
        (floats("target_mapping", &[2, 5], 1.0), &["target_mapping", "targets"]),
        (floats("mems.0", &[3, 2, 8], 1.0), &["mems.1", "mems.0 to mems.1"]),
        (floats("mems.0", &[2, 3, 8], 1.0), &["mems.0", "[2, 2, 8]"]),
    ];
    for (array, words) in permuted {
        refused("xlnet", Head::PERMUTATION_LM, array, words);
    }
    refused("bert", Head::PRETRAINING, ints("labels", &[2, 5], 1), &["next_sentence_label"]);
    refused("bert", Head::SPAN, ints("start_positions", &[2], 1), &["end_positions"]);
    refused("bert", Head::SPAN, ints("start_positions", &[2], 7), &["start_positions", "beyond"]);
    refused("bert", Head::sequence(3), ints("labels", &[2], 3), &["labels", "0 to 2"]);
    let mut twice = vec![0.0; 2 * 2 * 5];
    for row in 0..4 {
        twice[row * 5 + 1] = 1.0;
    }
    let mapping =
        Array { name: "target_mapping".into(), shape: vec![2, 2, 5], data: ArrayData::F32(twice) };
    refused("xlnet", Head::PERMUTATION_LM, mapping, &["row 1", "second time"]);
}

/// A segment read in two parts, with memory in between, gives the same as in one part, if no query
/// looks ahead.
#[test]
fn memory_carries_the_past() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let xlnet = families::by_name("xlnet").unwrap();
    Model::new(xlnet, &shape(), Head::BARE, 1, CPU).unwrap().save(dir).unwrap();
    let path = dir.join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"bi\"", "\"uni\"")).unwrap();
    let model = Model::load(dir, CPU).unwrap();
    let graph = Graph::inference(&model.params);
    let row = vec![4, 9, 2, 7, 3, 11, 5];
    let types = |n: usize| Some(Ids::new(CPU, vec![0; n], [1, n]));
    let mut whole = model.input(row.clone(), 1, 7);
    whole.types = types(7);
    let want = model.hidden(&mut Pass::new(&graph, &whole)).value().to_vec();
    let mut first = model.input(row[..4].to_vec(), 1, 4);
    first.types = types(4);
    let mut pass = Pass::new(&graph, &first);
    pass.memory = Some(Vec::new());
    let mut got = model.hidden(&mut pass).value().to_vec();
    let mut second = model.input(row[4..].to_vec(), 1, 3);
    second.types = types(3);
    let memory = pass.memory.take().unwrap();
    second.extra = Extra::TwoStreams(TwoStreams { memory, ..TwoStreams::default() });
    got.extend(model.hidden(&mut Pass::new(&graph, &second)).value().to_vec());
    let far = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(got.len() == want.len() && far < 1e-5, "{far}");
}

fn write(dir: &Path, name: &str, value: &Value) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn modules_of_sentence_transformers() {
    let dir = tempfile::tempdir().unwrap();
    let bert = families::by_name("bert").unwrap();
    Model::new(bert, &shape(), Head::BARE, 1, CPU).unwrap().save(dir.path()).unwrap();
    let rows = [vec![4, 9, 2], vec![7], vec![], vec![1, 2, 3, 4, 5]];
    let load = || Sentences::load(dir.path(), None, CPU);
    let plain = load().unwrap().embed(&rows);
    let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((length(&plain[0]) - 1.0).abs() < 1e-6 && plain[2] == vec![0.0; 8]);
    // The other texts of a batch do not change a text's vector.
    let alone = load().unwrap().embed(&rows[..1]);
    let far = alone[0].iter().zip(&plain[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-6, "{far}");
    let module =
        |path: &str, kind: &str| json!({ "path": path, "type": format!("x.models.{kind}") });
    write(dir.path(), "1_Pooling/config.json", &json!({ "pooling_mode": ["cls", "mean"] }));
    write(
        dir.path(),
        "modules.json",
        &json!([module("", "Transformer"), module("1_Pooling", "Pooling")]),
    );
    let both = load().unwrap();
    let vectors = both.embed(&rows);
    assert_eq!((both.width(), vectors[0].len()), (16, 16));
    assert_eq!(vectors[1][..8], vectors[1][8..], "one token is its own mean");
    for (modules, word) in [
        (json!([module("../x", "Transformer")]), "leaves the folder"),
        (json!([module("", "Transformer")]), "no Pooling"),
        (json!([module("", "CLIPModel")]), "not computed"),
        (json!([module("2", "Normalize")]), "first of all"),
        (json!([module("3", "Pooling")]), "config.json"),
    ] {
        write(dir.path(), "modules.json", &modules);
        let error = load().err().unwrap_or_else(|| panic!("{word}: accepted")).to_string();
        assert!(error.contains(word), "{error}, not {word}");
    }
}

/// Values that a hostile config.json may hold.
fn hostile() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(-1)),
        Just(json!(7)),
        Just(json!((1u64 << 31) - 1)),
        Just(json!(1u64 << 63)),
        Just(json!(1e300)),
        Just(json!(0.5)),
        Just(json!(null)),
        Just(json!("gelu")),
        Just(json!([])),
        Just(json!({})),
        Just(json!(true)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// One or two keys of a good folder's config.json changed: a model that runs, or an error. Never a
    /// panic, nor more memory than the file's own tensors need.
    #[test]
    fn crafted_configs_do_no_harm(
        family in 0..FAMILIES.len(),
        head in 0usize..16,
        changes in prop::collection::vec((any::<prop::sample::Index>(), hostile()), 1..3),
    ) {
        let family = &FAMILIES[family];
        let all = heads(family);
        let dir = tempfile::tempdir().unwrap();
        Model::new(family, &shape(), all[head % all.len()], 1, CPU).unwrap().save(dir.path()).unwrap();
        let path = dir.path().join("config.json");
        let mut config: Map<String, Value> =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for (at, value) in changes {
            let key = config.keys().nth(at.index(config.len())).unwrap().clone();
            config.insert(key, value);
        }
        fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
        if let Ok(model) = Model::load(dir.path(), CPU) {
            let _ = forward(&model, vec![ids(&model)], false);
        }
        // The folders have 20 to 40 KB.
        prop_assert!(pool_stats().peak < 4 << 20, "{:?}", pool_stats());
    }
}

/// Every gradient of a loss over the tokens' hidden states, and those states.
fn pass(model: &Model, graph: Graph<'_>, skip: bool) -> (Vec<f32>, Vec<(usize, Vec<f32>)>) {
    let (batch, time) = (3, 7);
    let lengths = [7, 1, 4];
    let place = |i: usize| (i / time, i % time);
    let tokens: Vec<usize> =
        (0..batch * time).filter(|&i| place(i).1 < lengths[place(i).0]).collect();
    let ids = (0..batch * time).map(|i| if tokens.contains(&i) { 2 + i as i32 } else { 0 });
    let mut input = model.input(ids.collect(), batch, time);
    let keys = (0..batch * time).map(|i| i32::from(tokens.contains(&i))).collect();
    input.mask.keys = Some(Ids::new(CPU, keys, [batch, time]));
    let mut pass = Pass::new(&graph, &input);
    if skip {
        pass = pass.skip_padding();
    }
    let hidden = model.hidden(&mut pass);
    assert_eq!(hidden.shape()[..2], [batch, time]);
    let rows = model.rows(&hidden, tokens.iter().map(|&t| t as i32).collect());
    let loss = ops::sum(&ops::square(&model.logits(&graph, &rows)));
    let mut grads = GradSet::new();
    graph.backward(&loss, &mut grads);
    (rows.value().to_vec(), grads.iter().map(|(i, g)| (i, g.to_vec())).collect())
}

#[test]
fn padding_that_is_skipped_changes_nothing_for_tokens() {
    for family in ["bert", "roberta", "electra"] {
        let family = families::by_name(family).unwrap();
        let model = Model::new(family, &shape(), Head::BARE, 1, CPU).unwrap();
        let (rows, grads) = pass(&model, Graph::training(&model.params), false);
        let (same_rows, same_grads) = pass(&model, Graph::training(&model.params), true);
        let close = |a: &[f32], b: &[f32]| {
            let top = a.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * top)
        };
        assert!(close(&rows, &same_rows), "{}", family.name);
        for ((i, a), (j, b)) in grads.iter().zip(&same_grads) {
            let name = &model.params.iter().nth(*i).unwrap().name;
            // The keys' bias has no gradient but rounding.
            let fits = i == j && (close(a, b) || name.ends_with("key.bias"));
            assert!(fits, "{} {name}", family.name);
        }
    }
}

#[test]
fn what_is_computed_again_has_the_same_bytes() {
    for family in FAMILIES {
        let model = Model::new(family, &shape(), heads(family)[0], 1, CPU).unwrap();
        let kept = pass(&model, Graph::training(&model.params), true);
        assert!(kept.1.len() > 5);
        assert!(kept == pass(&model, Graph::recomputing(&model.params), true), "{}", family.name);
    }
}
