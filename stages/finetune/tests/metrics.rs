//! Our figures against those of scikit-learn, seqeval and scipy: tests/fixtures/make_metrics.py.

use std::path::Path;

use athanor_finetune::metrics::{Confusion, Entities, pearson, spearman};
use serde_json::Value;

fn fixture(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/metrics.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    all[name].as_array().unwrap().clone()
}

fn near(found: f64, case: &Value, what: &str) {
    let expected = case[what].as_f64().unwrap();
    assert!((found - expected).abs() < 1e-12, "{what}: {found}, expected {expected}");
}

#[test]
fn classes_are_scored_as_by_scikit_learn() {
    for case in fixture("classes") {
        let list = |name: &str| -> Vec<usize> {
            case[name].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
        };
        let classes = case["classes"].as_u64().unwrap() as usize;
        let confusion = Confusion::new(classes, list("right").into_iter().zip(list("predicted")));
        near(confusion.accuracy(), &case, "accuracy");
        near(confusion.macro_f1(), &case, "macro_f1");
        near(confusion.matthews(), &case, "matthews");
        for class in 0..classes {
            let (found, at) = (confusion.of(class), |name: &str| case[name][class].as_f64());
            let close = |a: f64, name: &str| (a - at(name).unwrap()).abs() < 1e-12;
            assert!(close(found.precision, "precision") && close(found.recall, "recall"));
            assert!(close(found.f1, "f1") && close(found.support as f64, "support"));
        }
    }
}

#[test]
fn entities_are_scored_as_by_seqeval() {
    for case in fixture("entities") {
        let mut entities = Entities::default();
        let sentences = |name: &str| case[name].as_array().unwrap().clone();
        for (right, predicted) in sentences("right").iter().zip(&sentences("predicted")) {
            let list = |v: &Value| -> Vec<String> {
                v.as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_owned()).collect()
            };
            let (right, predicted) = (list(right), list(predicted));
            let names = |v: &'static [String]| v.iter().map(String::as_str).collect::<Vec<_>>();
            entities.add(&names(right.leak()), &names(predicted.leak()));
        }
        let all = entities.all();
        near(all.precision(), &case, "precision");
        near(all.recall(), &case, "recall");
        near(all.f1(), &case, "f1");
        let kinds = case["kinds"].as_object().unwrap();
        let right = entities.kinds.iter().filter(|(_, f)| f.support > 0);
        assert_eq!(right.count(), kinds.values().filter(|k| k["support"] != 0).count());
        for (kind, expected) in kinds {
            let found = entities.kinds[kind];
            near(found.precision(), expected, "precision");
            near(found.recall(), expected, "recall");
            near(found.f1(), expected, "f1");
            near(found.support as f64, expected, "support");
        }
    }
}

#[test]
fn numbers_are_correlated_as_by_scipy() {
    for case in fixture("numbers") {
        let list = |name: &str| -> Vec<f64> {
            case[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        near(pearson(&list("x"), &list("y")), &case, "pearson");
        near(spearman(&list("x"), &list("y")), &case, "spearman");
    }
    assert_eq!(pearson(&[1.0, 1.0], &[0.0, 2.0]), 0.0);
    assert_eq!(spearman(&[], &[]), 0.0);
}
