//! Adapters in models of every family: a fresh one changes nothing, it alone learns, and merging it into the weights
//! gives the same model without it.

mod common;

use std::sync::Arc;

use athanor_models::{Head, Model, Pass, Role, adapters::Lora, families, families::FAMILIES};
use athanor_tensor::{Device, GradSet, Graph, Rng, Var, ops};

const CPU: Device = Device::Cpu;
const TOKENS: [i32; 8] = [4, 9, 2, 7, 3, 11, 5, 6];

fn model(family: &'static families::Family) -> Model {
    Model::new(family, &common::shape(), Head::sequence(3), 1, CPU).unwrap()
}

fn lora(names: &[&str]) -> Arc<Lora> {
    let names = names.iter().map(|&n| n.to_owned()).collect();
    Arc::new(Lora { rank: 3, alpha: 6.0, names })
}

fn hidden(model: &Model, graph: &Graph<'_>) -> Var {
    let input = model.input(TOKENS.to_vec(), 2, 4);
    model.hidden(&mut Pass::new(graph, &input))
}

/// Hidden states and, of a loss over them, each parameter's gradient.
fn pass(model: &Model) -> (Vec<f32>, GradSet) {
    let graph = Graph::training(&model.params);
    let states = hidden(model, &graph);
    // A direction of its own for each state: the sum of squares has no gradient behind a norm.
    let weights: Vec<f32> = (0..states.value().len()).map(|i| ((i * 7) % 5) as f32).collect();
    let weights = athanor_tensor::Tensor::from_slice(CPU, &weights, *states.shape());
    let loss = ops::sum(&ops::mul(&states, &Var::constant(weights)));
    let mut grads = GradSet::new();
    graph.backward(&loss, &mut grads);
    (states.value().to_vec(), grads)
}

/// Gives the second matrix of each update values, as learning does.
fn learned(model: &mut Model) {
    for (i, p) in model.params.iter_mut().enumerate().filter(|(_, p)| p.name.contains("lora_B")) {
        let mut values = p.value.to_vec();
        Rng::new(i as u64).fill_normal(&mut values, 0.0, 0.3);
        p.value = athanor_tensor::Tensor::from_slice(CPU, &values, *p.value.shape());
    }
}

#[test]
fn every_family_takes_low_rank_updates() {
    for family in FAMILIES {
        let name = family.name;
        let mut model = model(family);
        let (plain, _) = pass(&model);
        let (count, before) = (model.params.len(), model.params.count());
        model.adapt(lora(&[]), 2).unwrap();
        let adapted = model.params.len() - count;
        assert!(adapted >= 2 * 2 * 4 && adapted.is_multiple_of(2), "{name}: {adapted}");
        let (fresh, grads) = pass(&model);
        assert_eq!(fresh, plain, "{name}: a fresh adapter");

        // B is 0, so A has a gradient of zeros; what is frozen has none.
        for (i, (p, known)) in model.parameters().enumerate() {
            let learns = known.role == Role::Adapter;
            assert_eq!(p.trainable, learns, "{name}: {}", p.name);
            assert_eq!(grads.iter().any(|(j, _)| j == i), learns, "{name}: {}", p.name);
            assert_eq!(known.block().is_some() && p.name.contains("lora_"), learns, "{name}");
        }
        learned(&mut model);
        let (changed, grads) = pass(&model);
        assert_ne!(changed, plain, "{name}");
        for (i, (p, known)) in model.parameters().enumerate() {
            let slope = grads.iter().find(|(j, _)| *j == i).map(|(_, g)| g.to_vec());
            let steep = slope.is_some_and(|g| g.iter().any(|v| *v != 0.0));
            // What is added to all scores of a query alike has no gradient.
            let any = known.role == Role::Adapter;
            assert_eq!(steep, any, "{name}: {}", p.name);
        }

        // A plan of the adapted model has the adapters, too.
        let planned = model.planned().unwrap();
        assert!(planned.params.iter().map(|p| &p.name).eq(model.params.iter().map(|p| &p.name)));
        assert!(model.adapt(lora(&[]), 2).is_err(), "{name}: adapted twice");
        let dir = tempfile::tempdir().unwrap();
        assert!(model.save(dir.path()).is_err(), "{name}: saved with adapters");

        model.merge_adapters().unwrap();
        assert_eq!(model.params.count(), before, "{name}");
        let (merged, grads) = pass(&model);
        let top = changed.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        let far = merged.iter().zip(&changed).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far <= 1e-6 * top, "{name}: merged is off by {far}");
        assert!(grads.iter().count() > 10, "{name}: all learn again");
        model.save(dir.path()).unwrap();
        let again = Model::load(dir.path(), CPU).unwrap();
        assert_eq!(pass(&again).0, merged, "{name}: saved and opened again");
    }
}

#[test]
fn names_choose_the_maps() {
    let llama = families::by_name("llama").unwrap();
    let mut model = model(llama);
    model.adapt(lora(&["q_proj", "mlp.down_proj"]), 2).unwrap();
    let added: Vec<_> =
        model.params.iter().filter(|p| p.name.contains("lora_")).map(|p| &p.name).collect();
    assert_eq!(added.len(), 8, "{added:?}");
    assert_eq!(added[0], "model.layers.0.self_attn.q_proj.lora_A.weight");
    // The head can learn beside the adapters.
    model.set_trainable(|p| p.role == Role::Adapter || p.role == Role::Output);
    let learns: Vec<_> = model.params.iter().filter(|p| p.trainable).map(|p| &p.name).collect();
    assert_eq!(learns.len(), 9, "{learns:?}");
}
