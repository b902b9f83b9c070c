//! One pass of `athanor forward` through a head: the labels given, the outputs and the loss.

use athanor_store::{Array, ArrayData, Error, Result};
use athanor_tensor::{Graph, Ids, Var, ops};
use serde_json::{Map, Value};

use super::{HeadNetwork, Readout, losses::Classes};

/// Labels with this value do not count.
const IGNORED: i64 = -100;

/// The tensors of the input that were not read yet.
pub(crate) struct Given {
    pub arrays: Vec<Array>,
}

fn at(name: &str) -> impl Fn(Error) -> Error + '_ {
    move |e| e.at(format!("tensor {name}"))
}

impl Given {
    fn take(&mut self, name: &str) -> Option<(Vec<usize>, ArrayData)> {
        let at = self.arrays.iter().position(|a| a.name == name)?;
        let Array { shape, data, .. } = self.arrays.swap_remove(at);
        Some((shape, data))
    }

    fn integers(&mut self, name: &str) -> Result<Option<(Vec<usize>, Vec<i64>)>> {
        match self.take(name) {
            None => Ok(None),
            Some((shape, ArrayData::I64(values))) => Ok(Some((shape, values))),
            Some((_, ArrayData::F32(_))) => {
                Err(at(name)(Error::input("it holds floats, integers were expected")))
            }
        }
    }

    pub fn is_float(&self, name: &str) -> bool {
        self.arrays.iter().any(|a| a.name == name && matches!(a.data, ArrayData::F32(_)))
    }

    /// Integers of the shape of input_ids, each in 0..limit.
    pub fn like(&mut self, name: &str, sizes: &[usize], limit: usize) -> Result<Option<Vec<i32>>> {
        let Some((shape, values)) = self.integers(name)? else { return Ok(None) };
        if shape != sizes {
            return Err(at(name)(Error::input(format!(
                "shape {shape:?}, but input_ids has {sizes:?}"
            ))));
        }
        if let Some(bad) = values.iter().find(|&&v| v < 0 || v as usize >= limit) {
            let what = match limit {
                0 => format!("value {bad}, but the model has none of these"),
                _ => format!("value {bad}, 0 to {} was expected", limit - 1),
            };
            return Err(at(name)(Error::input(what)));
        }
        Ok(Some(values.into_iter().map(|v| v as i32).collect()))
    }

    /// Class labels of a shape; `None` where a label is -100.
    pub fn classes(
        &mut self,
        name: &str,
        wanted: &[usize],
        classes: usize,
    ) -> Result<Option<Vec<Option<usize>>>> {
        let Some((shape, values)) = self.integers(name)? else { return Ok(None) };
        let fits = shape == wanted || wanted.len() == 1 && shape == [wanted[0], 1];
        if !fits {
            return Err(at(name)(Error::input(format!(
                "shape {shape:?}, {wanted:?} was expected"
            ))));
        }
        let class = |&v: &i64| match v {
            IGNORED => Ok(None),
            v if v >= 0 && (v as usize) < classes => Ok(Some(v as usize)),
            v => Err(at(name)(Error::input(format!(
                "value {v}, 0 to {} or {IGNORED} was expected",
                classes.saturating_sub(1)
            )))),
        };
        values.iter().map(class).collect::<Result<_>>().map(Some)
    }

    /// Places [batch] in rows of `time`; `None` at or beyond the end. transformers clamps what is
    /// below 0 to 0.
    pub fn positions(
        &mut self,
        name: &str,
        batch: usize,
        time: usize,
    ) -> Result<Option<Vec<Option<usize>>>> {
        let Some((shape, values)) = self.integers(name)? else { return Ok(None) };
        if shape != [batch] && shape != [batch, 1] {
            return Err(at(name)(Error::input(format!("shape {shape:?}, [{batch}] was expected"))));
        }
        let places: Vec<Option<usize>> = values
            .into_iter()
            .map(|v| usize::try_from(v.max(0)).ok().filter(|&v| v < time))
            .collect();
        if places.iter().flatten().count() == 0 {
            return Err(at(name)(Error::input("every position lies beyond its row")));
        }
        Ok(Some(places))
    }

    /// Numbers of one of some shapes.
    pub fn numbers(&mut self, name: &str, shapes: &[&[usize]]) -> Result<Option<Vec<f32>>> {
        let Some((shape, data)) = self.take(name) else { return Ok(None) };
        if !shapes.contains(&&shape[..]) {
            let wanted: Vec<String> = shapes.iter().map(|s| format!("{s:?}")).collect();
            return Err(at(name)(Error::input(format!(
                "shape {shape:?}, {} was expected",
                wanted.join(" or ")
            ))));
        }
        Ok(Some(match data {
            ArrayData::F32(v) => v,
            ArrayData::I64(v) => v.into_iter().map(|x| x as f32).collect(),
        }))
    }
}

/// Classes of the labels that count.
///
/// # Errors
/// Input, if none does.
fn counted(labels: Vec<Option<usize>>, name: &str) -> Result<Classes> {
    let found = Classes::of(labels);
    match found.is_empty() {
        true => Err(at(name)(Error::input("no label counts: all are -100"))),
        false => Ok(found),
    }
}

/// One pass: what a head's `forward` reads and writes.
pub(crate) struct Call<'a> {
    pub head: &'a HeadNetwork,
    pub config: &'a Map<String, Value>,
    pub vocabulary: usize,
    /// The token that pads.
    pub pad: Option<u32>,
    pub graph: &'a Graph<'a>,
    /// [rows, places, width].
    pub hidden: Var,
    pub ids: Vec<i32>,
    /// attention_mask, if there is one.
    pub mask: Option<Vec<i32>>,
    pub given: Given,
    /// How many choices input_ids [batch, choices, time] have; 1 in other heads.
    pub choices: usize,
    pub outputs: Vec<(String, Var)>,
    pub loss: Option<Var>,
}

impl Call<'_> {
    /// Rows and places of the hidden states.
    pub fn places(&self) -> [usize; 2] {
        [self.hidden.shape()[0], self.hidden.shape()[1]]
    }

    /// Gives the output of stack `i`, and returns its features [n, width].
    pub fn scores(&mut self, i: usize) -> Var {
        let [rows, places] = self.places();
        let (stack, graph) = (&self.head.stacks()[i], self.graph);
        let picked = self.head.pick(i, &self.hidden, &self.ids, self.pad);
        let features = stack.features(graph, &picked, &mut |x| x);
        let mut scores = stack.project(graph, &features);
        if stack.spec.readout == Readout::Every {
            let width = scores.shape()[1];
            scores = ops::reshape(&scores, [rows, places, width]);
        }
        self.give(stack.spec.output, scores);
        features
    }

    pub fn give(&mut self, name: &str, value: Var) {
        self.outputs.push((name.to_owned(), value));
    }

    /// An output that was given.
    ///
    /// # Panics
    /// If there is none: a head asks for its own.
    pub fn output(&self, name: &str) -> Var {
        match self.outputs.iter().find(|(n, _)| n == name) {
            Some((_, value)) => value.clone(),
            None => panic!("no output {name} was given"),
        }
    }

    /// Takes an output back.
    pub fn withdraw(&mut self, name: &str) -> Var {
        let value = self.output(name);
        self.outputs.retain(|(n, _)| n != name);
        value
    }

    /// Mean cross-entropy of the rows that count over the features of stack `i`.
    pub fn cross_entropy(&self, i: usize, features: &Var, targets: Classes) -> Var {
        let Classes { rows, classes } = targets;
        let count = rows.len();
        let picked = super::rows(features, rows);
        let classes = Ids::new(self.hidden.value().device(), classes, [count]);
        self.head.loss(self.graph, i, &picked, (&classes, &mean(count))).0
    }

    /// The same of the labels that count.
    pub fn mean_cross_entropy(
        &self,
        i: usize,
        features: &Var,
        labels: Vec<Option<usize>>,
        name: &str,
    ) -> Result<Var> {
        Ok(self.cross_entropy(i, features, counted(labels, name)?))
    }
}

/// Weights of `count` examples for the mean of their losses.
pub(super) fn mean(count: usize) -> Vec<f32> {
    vec![1.0 / count as f32; count]
}
