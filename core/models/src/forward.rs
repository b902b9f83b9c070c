//! `athanor forward`: one pass over given tensors, for parity with other implementations. The
//! conventions are Hugging Face's for the architecture that config.json names.

use athanor_store::{Array, ArrayData, Error, Result};
use athanor_tensor::{
    Device, GradSet, Graph, Ids, Var,
    ops::{self, Mask},
};

use crate::{
    heads::Head,
    model::Model,
    pass::{Input, Pass},
};

/// Labels with this value do not count.
const IGNORED: i64 = -100;

struct Given {
    arrays: Vec<Array>,
}

impl Given {
    fn integers(&mut self, name: &str) -> Result<Option<(Vec<usize>, Vec<i64>)>> {
        let Some(at) = self.arrays.iter().position(|a| a.name == name) else { return Ok(None) };
        let Array { shape, data, .. } = self.arrays.swap_remove(at);
        match data {
            ArrayData::I64(values) => Ok(Some((shape, values))),
            ArrayData::F32(_) => Err(Error::input("it holds floats, integers were expected")
                .at(format!("tensor {name}"))),
        }
    }

    /// Integers of the shape of input_ids, each in 0..limit.
    fn like(&mut self, name: &str, sizes: [usize; 2], limit: usize) -> Result<Option<Vec<i32>>> {
        let Some((shape, values)) = self.integers(name)? else { return Ok(None) };
        let at = |e: Error| e.at(format!("tensor {name}"));
        if shape != sizes {
            return Err(at(Error::input(format!("shape {shape:?}, but input_ids has {sizes:?}"))));
        }
        if let Some(bad) = values.iter().find(|&&v| v < 0 || v as usize >= limit) {
            return Err(at(Error::input(format!("value {bad}, 0 to {} was expected", limit - 1))));
        }
        Ok(Some(values.into_iter().map(|v| v as i32).collect()))
    }
}

/// Runs `model` on `input_ids` [batch, time] and, where given, `attention_mask`, `position_ids`,
/// `labels`. Gives `logits`, `hidden.0` to `hidden.L`, `loss` if there are labels, and with `grad`
/// one `grad.NAME` for every parameter.
///
/// # Errors
/// Input, naming the tensor.
pub fn forward(model: &Model, arrays: Vec<Array>, grad: bool) -> Result<Vec<Array>> {
    let mut given = Given { arrays };
    let (shape, _) = match given.arrays.iter().find(|a| a.name == "input_ids") {
        Some(a) => (a.shape.clone(), ()),
        None => return Err(Error::input("tensor input_ids is missing")),
    };
    let &[batch, time] = &shape[..] else {
        return Err(Error::input(format!("shape {shape:?}, [batch, time] was expected"))
            .at("tensor input_ids"));
    };
    let (sizes, device) = (model.sizes(), model.device());
    if batch == 0 || time == 0 || time > sizes.context {
        return Err(Error::input(format!(
            "{batch} rows of {time} tokens; the model takes 1 to {}",
            sizes.context
        ))
        .at("tensor input_ids"));
    }
    let ids = given.like("input_ids", [batch, time], sizes.vocabulary)?.unwrap_or_default();
    let mask = given.like("attention_mask", [batch, time], 2)?;
    let mut input = Input::causal(device, ids.clone(), batch, time);
    if let Some(positions) = given.like("position_ids", [batch, time], sizes.context)? {
        input.positions = Ids::new(device, positions, [batch, time]);
    }
    input.mask = Mask { keys: mask.map(|m| Ids::new(device, m, [batch, time])), ..Mask::causal() };
    let labels = labels(&mut given, model, [batch, time])?;
    if let Some(other) = given.arrays.first() {
        return Err(Error::input("this architecture takes no such tensor")
            .at(format!("tensor {}", other.name))
            .hint("known: input_ids, attention_mask, position_ids, labels"));
    }

    let graph = if grad { Graph::training(&model.params) } else { Graph::inference(&model.params) };
    let mut pass = Pass::new(&graph, &input);
    pass.hidden = Some(Vec::new());
    let hidden = model.hidden(&mut pass);
    let states = pass.hidden.take().unwrap_or_default();
    let (logits, loss) = match model.head() {
        Head::CausalLm => causal(model, &graph, &hidden, labels.as_ref(), [batch, time])?,
        Head::Sequence { .. } => sequence(model, &graph, &hidden, labels, &ids, [batch, time])?,
    };
    let mut out = vec![array("logits", &logits)];
    out.extend(
        states
            .into_iter()
            .enumerate()
            .map(|(i, h)| array(&format!("hidden.{i}"), &Var::constant(h))),
    );
    match loss {
        Some(loss) => {
            out.push(array("loss", &loss));
            if grad {
                let mut sums = GradSet::new();
                graph.backward(&loss, &mut sums);
                for (i, p) in model.params.iter().enumerate() {
                    let found = sums.iter().find(|(j, _)| *j == i).map(|(_, g)| g.to_vec());
                    let values = found.unwrap_or_else(|| vec![0.0; p.value.len()]);
                    let (name, shape) = (format!("grad.{}", p.name), p.value.shape().to_vec());
                    out.push(Array { name, shape, data: ArrayData::F32(values) });
                }
            }
        }
        None if grad => return Err(Error::input("gradients need `labels`, which the input lacks")),
        None => {}
    }
    Ok(out)
}

fn array(name: &str, value: &Var) -> Array {
    Array {
        name: name.into(),
        shape: value.shape().to_vec(),
        data: ArrayData::F32(value.value().to_vec()),
    }
}

enum Labels {
    Classes(Vec<i64>),
    Numbers(Vec<f32>),
}

fn labels(given: &mut Given, model: &Model, sizes: [usize; 2]) -> Result<Option<Labels>> {
    let Some(at) = given.arrays.iter().position(|a| a.name == "labels") else { return Ok(None) };
    let Array { shape, data, .. } = given.arrays.swap_remove(at);
    let count = shape.iter().product::<usize>();
    let (wanted, classes) = match model.head() {
        Head::CausalLm => (sizes[0] * sizes[1], model.sizes().vocabulary),
        Head::Sequence { labels } => (sizes[0], labels),
    };
    let wrong = |what: String| Err(Error::input(what).at("tensor labels"));
    if count != wanted {
        return wrong(format!("shape {shape:?} for input_ids of {sizes:?}"));
    }
    let number = model.head() == Head::SCALAR;
    match data {
        ArrayData::F32(v) if number => Ok(Some(Labels::Numbers(v))),
        ArrayData::I64(v) if number => {
            Ok(Some(Labels::Numbers(v.into_iter().map(|x| x as f32).collect())))
        }
        ArrayData::I64(v) => {
            match v.iter().find(|&&l| l != IGNORED && (l < 0 || l as usize >= classes)) {
                Some(bad) => {
                    wrong(format!("value {bad}, 0 to {} or {IGNORED} was expected", classes - 1))
                }
                None => Ok(Some(Labels::Classes(v))),
            }
        }
        ArrayData::F32(_) => wrong("it holds floats, integers were expected".into()),
    }
}

/// Labels shifted by one: the token at t is predicted from t - 1.
fn causal(
    model: &Model,
    graph: &Graph<'_>,
    hidden: &Var,
    labels: Option<&Labels>,
    [batch, time]: [usize; 2],
) -> Result<(Var, Option<Var>)> {
    let logits = model.logits(graph, hidden);
    let Some(Labels::Classes(labels)) = labels else { return Ok((logits, None)) };
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for b in 0..batch {
        for t in 1..time {
            let label = labels[b * time + t];
            if label != IGNORED {
                rows.push((b * time + t - 1) as i32);
                targets.push(label as i32);
            }
        }
    }
    if rows.is_empty() {
        return Err(
            Error::input("no label counts: all are -100 or first in their row").at("tensor labels")
        );
    }
    let picked = model.rows(hidden, rows);
    Ok((logits, Some(mean_loss(&picked, &model.output(graph), targets))))
}

fn mean_loss(rows: &Var, weights: &Var, targets: Vec<i32>) -> Var {
    let count = targets.len();
    let targets = Ids::new(Device::Cpu, targets, [count]);
    ops::linear_cross_entropy(rows, weights, &targets, &vec![1.0 / count as f32; count]).0
}

/// Scores from the last token that is not padding; mean square error for one label, else cross-entropy.
fn sequence(
    model: &Model,
    graph: &Graph<'_>,
    hidden: &Var,
    labels: Option<Labels>,
    ids: &[i32],
    [batch, time]: [usize; 2],
) -> Result<(Var, Option<Var>)> {
    let pad = model.token("pad_token_id").map(|p| p as i32);
    if pad.is_none() && batch > 1 {
        return Err(Error::input("config.json names no pad_token_id, which several rows need"));
    }
    let last = |b: usize| {
        let row = &ids[b * time..(b + 1) * time];
        // A row of nothing but padding is read at its first place, as in transformers.
        pad.map_or(time - 1, |pad| row.iter().rposition(|&i| i != pad).unwrap_or(0))
    };
    let picked = model.rows(hidden, (0..batch).map(|b| (b * time + last(b)) as i32).collect());
    let scores = model.scores(graph, &picked);
    let loss = match labels {
        None => None,
        Some(Labels::Numbers(v)) => {
            let target = athanor_tensor::Tensor::from_slice(model.device(), &v, [batch, 1]);
            Some(ops::mean(&ops::square(&ops::sub(&scores, &Var::constant(target)))))
        }
        Some(Labels::Classes(v)) => {
            let (rows, targets): (Vec<i32>, Vec<i32>) = v
                .iter()
                .enumerate()
                .filter(|(_, l)| **l != IGNORED)
                .map(|(b, l)| (b as i32, *l as i32))
                .unzip();
            if rows.is_empty() {
                return Err(Error::input("no label counts: all are -100").at("tensor labels"));
            }
            let kept = model.rows(&picked, rows);
            Some(mean_loss(&kept, &model.score_weight(graph), targets))
        }
    };
    Ok((scores, loss))
}
