//! Which parameters learn, and how fast: the recipe's keys, one after the other, as groups of parameters.

use athanor_models::Model;
use athanor_store::{Error, Result};
use glob::Pattern;

use crate::{
    groups::{Group, Groups},
    section::{GroupSection, LearnsSection},
};

impl LearnsSection {
    /// The groups that a recipe makes of a model's parameters.
    ///
    /// # Errors
    /// Input, for a pattern that fits no parameter.
    pub fn groups(&self, model: &Model) -> Result<Groups> {
        let top = model.sizes().layers + 1;
        let groups = model.params.iter().enumerate().map(|(i, p)| {
            let depth = model.depth(i);
            let mut rate = if model.is_embedding(i) { self.embedding_rate } else { 1.0 };
            if self.layer_decay < 1.0 {
                rate *= self.layer_decay.powi((top - depth.min(top)) as i32);
            }
            let learns = depth >= self.freeze && rate > 0.0;
            Group { rate, decays: p.value.shape().len() >= 2, learns }
        });
        let mut all: Vec<Group> = groups.collect();
        self.groups.iter().try_for_each(|own| set(&mut all, own, model))?;
        Ok(Groups::of_each(all))
    }
}

/// What an entry of the recipe says of the parameters that it names.
fn set(all: &mut [Group], own: &GroupSection, model: &Model) -> Result<()> {
    let at = "train.learns.groups";
    let pattern = Pattern::new(&own.names).map_err(|e| Error::input(e.msg).at(at))?;
    let mut found = false;
    for (group, p) in all.iter_mut().zip(model.params.iter()) {
        if pattern.matches(&p.name) {
            found = true;
            (group.rate, group.learns) = (own.rate, own.learns && own.rate > 0.0);
        }
    }
    if found {
        return Ok(());
    }
    let names: Vec<&str> = model.params.iter().map(|p| p.name.as_str()).collect();
    let near = athanor_store::nearest(&own.names, names.iter().copied());
    let known = near.or(names.first().copied()).unwrap_or_default();
    Err(Error::input(format!("`{}` fits the name of no parameter", own.names))
        .at(at)
        .hint(format!("a name of this model is {known}; `athanor inspect MODEL` lists all")))
}

#[cfg(test)]
mod tests {
    use athanor_models::{Head, Pass, Shape, families};
    use athanor_tensor::{Device, GradSet, Graph, Ids, plan};

    use super::*;

    fn model(device: Device) -> Model {
        let shape = Shape {
            vocabulary: 30,
            context: 8,
            hidden: 16,
            layers: 3,
            heads: 2,
            kv_heads: 2,
            intermediate: 24,
            tied: false,
            ..Shape::default()
        };
        let family = families::by_name("llama").unwrap();
        Model::new(family, &shape, Head::CAUSAL_LM, 1, device).unwrap()
    }

    /// Gradients of one pass over a row.
    fn gradients(model: &Model) -> GradSet {
        let input = model.input(vec![1, 2, 3, 4], 1, 4);
        let graph = Graph::training(&model.params);
        let hidden = model.hidden(&mut Pass::new(&graph, &input));
        let rows = model.rows(&hidden, vec![0, 1, 2]);
        let targets = Ids::new(model.device(), vec![2, 3, 4], [3]);
        let (loss, _) = model.token_loss(&graph, &rows, &targets, &[1.0; 3]);
        let mut grads = GradSet::new();
        graph.backward(&loss, &mut grads);
        grads
    }

    #[test]
    fn what_is_frozen_costs_neither_gradients_nor_memory() {
        let mut before: Option<Vec<Option<Vec<f32>>>> = None;
        let mut peaks = Vec::new();
        for freeze in [0, 1, 3] {
            let section = LearnsSection { freeze, ..LearnsSection::default() };
            let mut model = model(Device::Cpu);
            section.groups(&model).unwrap().set_trainable(&mut model.params);
            let grads = gradients(&model);
            let mut all = vec![None; model.params.len()];
            grads.iter().for_each(|(i, g)| all[i] = Some(g.to_vec()));
            for (i, gradient) in all.iter().enumerate() {
                assert_eq!(gradient.is_some(), model.depth(i) >= freeze, "{freeze}: parameter {i}");
                if let (Some(whole), Some(own)) = (before.as_ref().map(|b| &b[i]), gradient) {
                    assert_eq!(whole.as_ref(), Some(own), "the same gradient as without freezing");
                }
            }
            before.get_or_insert(all);
            let mut planned = self::model(Device::Plan);
            section.groups(&planned).unwrap().set_trainable(&mut planned.params);
            peaks.push(plan(|| drop(gradients(&planned))).1.peak);
        }
        assert!(peaks[0] > peaks[1] && peaks[1] > peaks[2], "{peaks:?}");
    }

    #[test]
    fn groups_name_parameters() {
        let model = model(Device::Cpu);
        let group = |names: &str, rate: f64, learns: bool| GroupSection {
            names: names.into(),
            rate,
            learns,
        };
        // BitFit's kind: nothing but norms and the head.
        let groups =
            vec![group("*", 1.0, false), group("*norm*", 0.5, true), group("lm_head.*", 2.0, true)];
        let section = LearnsSection { groups, ..LearnsSection::default() };
        let groups = section.groups(&model).unwrap();
        for (i, p) in model.params.iter().enumerate() {
            let expected = match &p.name {
                name if name.contains("norm") => (0.5, true),
                name if name.starts_with("lm_head") => (2.0, true),
                _ => (1.0, false),
            };
            assert_eq!((groups.of(i).rate, groups.of(i).learns), expected, "{}", p.name);
        }
        let groups = vec![group("lm_haed.weight", 1.0, true)];
        let section = LearnsSection { groups, ..LearnsSection::default() };
        let told = section.groups(&model).err().unwrap().to_string();
        assert!(told.contains("fits the name of no parameter"), "{told}");
        assert!(told.contains("lm_head.weight"), "{told}");
    }
}
