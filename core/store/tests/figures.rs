//! Declared figures and objects: names are different, meanings are sentences.
#![allow(missing_docs)]

use athanor_store::figures::{
    self, CorpusSummary, Field, FinetuneSummary, MetricsRow, PretrainSummary, ReinforceSummary,
    RewardSummary, Shape,
};

#[test]
fn names_are_different_and_meanings_are_sentences() {
    let all: Vec<_> = figures::ALL.iter().flat_map(|(_, figures)| figures.iter()).collect();
    for (i, figure) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|f| f.name != figure.name), "{}", figure.name);
        assert!(figure.about.ends_with(['.', '?']), "{}", figure.about);
    }
}

#[test]
fn fields_of_objects_are_described() {
    fn check(fields: &[Field]) {
        for field in fields {
            assert!(field.about.ends_with(['.', ')']), "{}: {}", field.name, field.about);
            assert!(!field.about.contains('|'), "{}", field.name);
            check(&field.inner);
        }
    }
    for fields in [
        CorpusSummary::fields(),
        PretrainSummary::fields(),
        FinetuneSummary::fields(),
        RewardSummary::fields(),
        ReinforceSummary::fields(),
        MetricsRow::fields(),
    ] {
        check(&fields);
    }
}

/// Fields stand in the order of the declaration, a flattened map among them; null is written, an optional field not.
#[test]
fn a_summary_keeps_its_order() {
    let summary = PretrainSummary {
        heldout_loss: Some(f64::NAN),
        others: [("heldout_accuracy".to_owned(), 0.5.into())].into_iter().collect(),
        baseline: Some(serde_json::Map::new()),
        ..PretrainSummary::default()
    };
    let json = serde_json::to_value(&summary).unwrap();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names[..2], ["objective", "seconds"]);
    assert_eq!(names[10..], ["peak_memory_bytes", "heldout_accuracy", "baseline"]);
    assert!(json["heldout_loss"].is_null() && json.get("masking").is_none());
    let back: PretrainSummary = serde_json::from_value(json).unwrap();
    assert_eq!(back, PretrainSummary { heldout_loss: None, ..summary });
}
