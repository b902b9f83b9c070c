use athanor_models::{Head, Model, Shape, families};
use athanor_tensor::{Device, GradSet, Graph, ops};

use super::*;
use crate::section::LearnsSection;

/// An optimiser's keys, and those of what learns.
type Keys = (Choice<OptimizerKind>, f64, LearnsSection);

fn keys(name: &str, weight_decay: f64, learns: LearnsSection) -> Keys {
    (name.into(), weight_decay, learns)
}

fn opened((choice, weight_decay, learns): &Keys, model: &Model) -> Optimizer {
    let groups = learns.groups(model).unwrap();
    Optimizer::new(choice, *weight_decay, &groups, model).unwrap()
}

fn model() -> Model {
    let shape = Shape {
        vocabulary: 11,
        context: 8,
        hidden: 8,
        heads: 2,
        kv_heads: 2,
        intermediate: 12,
        ..Shape::default()
    };
    Model::new(families::by_name("llama").unwrap(), &shape, Head::CAUSAL_LM, 1, Device::Cpu)
        .unwrap()
}

/// Gradient of half the squared distance of each parameter to 1, plus that distance.
fn pull(model: &Model) -> (GradSet, f32) {
    let graph = Graph::training(&model.params);
    let terms = (0..model.params.len()).map(|i| {
        let name = model.params.iter().nth(i).map(|p| p.name.clone()).unwrap();
        let p = graph.param(model.params.find(&name).unwrap());
        ops::sum(&ops::square(&ops::add_scalar(&p, -1.0)))
    });
    let loss = terms.reduce(|a, b| ops::add(&a, &b)).unwrap();
    let value = loss.value().item();
    let mut grads = GradSet::new();
    graph.backward(&loss, &mut grads);
    (grads, value)
}

#[test]
fn both_optimisers_descend_and_resume_to_the_same_bytes() {
    for name in OPTIMIZERS.names() {
        let section = keys(name, 0.01, LearnsSection::default());
        let mut model = model();
        let mut optimizer = opened(&section, &model);
        let (_, first) = pull(&model);
        let mut middle = None;
        for i in 0..40 {
            let (grads, _) = pull(&model);
            optimizer.update(&mut model, &grads, 0.02, 0.5);
            if i == 19 {
                let state: Vec<Array> = optimizer
                    .tensors(&model)
                    .map(|(name, t)| Array {
                        name,
                        shape: t.shape().to_vec(),
                        data: ArrayData::F32(t.to_vec()),
                    })
                    .collect();
                middle = Some((state, model.params.clone(), optimizer.updates()));
            }
        }
        let (_, last) = pull(&model);
        assert!(last < 0.9 * first, "{name}: {first} → {last}");
        let (state, params, updates) = middle.unwrap();
        let mut again = super::tests::model();
        again.params = params;
        let mut optimizer = opened(&section, &again);
        optimizer.restore(&again, state, updates).unwrap();
        for _ in 0..20 {
            let (grads, _) = pull(&again);
            optimizer.update(&mut again, &grads, 0.02, 0.5);
        }
        for (a, b) in model.params.iter().zip(again.params.iter()) {
            assert_eq!(a.value.to_vec(), b.value.to_vec(), "{name}: {}", a.name);
        }
    }
}

#[test]
fn norms_do_not_decay_and_muon_takes_hidden_matrices() {
    let section = keys("muon", 0.1, LearnsSection::default());
    let model = model();
    let optimizer = opened(&section, &model);
    for (slot, p) in optimizer.slots.iter().zip(model.params.iter()) {
        assert_eq!(slot.group.decays, !p.name.contains("norm"), "{}", p.name);
        let muon = slot.rule.state().len() == 1;
        assert_eq!(muon, p.name.contains("proj"), "{}", p.name);
    }
}

#[test]
fn a_foreign_checkpoint_is_refused() {
    let section = keys("adamw", 0.1, LearnsSection::default());
    let model = model();
    let error = opened(&section, &model).restore(&model, Vec::new(), 0).unwrap_err();
    assert!(error.to_string().contains("it is missing"), "{error}");
}

#[test]
fn embeddings_have_a_rate_of_their_own() {
    for (rate, moves) in [(0.0, false), (2.0, true)] {
        let learns = LearnsSection { embedding_rate: rate, ..LearnsSection::default() };
        let section = keys("adamw", 0.1, learns);
        let mut model = model();
        let before: Vec<Vec<f32>> = model.params.iter().map(|p| p.value.to_vec()).collect();
        let mut optimizer = opened(&section, &model);
        let (grads, _) = pull(&model);
        optimizer.update(&mut model, &grads, 0.01, 1.0);
        for (p, before) in model.params.iter().zip(before) {
            // Norms begin at 1, where `pull` leaves them.
            if p.name.contains("norm") {
                continue;
            }
            let changed = p.value.to_vec() != before;
            assert_eq!(changed, moves || !p.name.contains("embed"), "{} at {rate}", p.name);
        }
    }
}

#[test]
fn lower_layers_learn_slower_and_frozen_ones_not_at_all() {
    let model = model();
    let top = model.sizes().layers + 1;
    let depth = |name: &str| {
        let i = model.params.iter().position(|p| p.name.contains(name));
        model.depth(i.unwrap_or_else(|| panic!("no parameter {name}")))
    };
    assert_eq!([depth("embed_tokens"), depth("layers.0."), depth("model.norm")], [0, 1, top]);
    for freeze in 0..=2 {
        let section = keys(
            "adamw",
            0.0,
            LearnsSection { layer_decay: 0.5, freeze, ..LearnsSection::default() },
        );
        let mut moved = self::model();
        let mut optimizer = opened(&section, &moved);
        let (grads, _) = pull(&moved);
        optimizer.update(&mut moved, &grads, 0.01, 1.0);
        for (i, (before, after)) in model.params.iter().zip(moved.params.iter()).enumerate() {
            let (a, b) = (before.value.to_vec(), after.value.to_vec());
            let most = a.iter().zip(&b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            // Adam's first step is the learning rate.
            let rate = 0.01 * 0.5f32.powi((top - model.depth(i)) as i32);
            let expected = if model.depth(i) < freeze { 0.0 } else { rate };
            assert_eq!(optimizer.slots[i].group.learns, expected > 0.0, "{}", before.name);
            // Norms begin at 1, where `pull` leaves them.
            if !before.name.contains("norm") {
                assert!(
                    (most - expected).abs() < 0.02 * rate,
                    "{}: {most} {expected}",
                    before.name
                );
            }
        }
    }
}
