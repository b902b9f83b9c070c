//! `athanor forward`: one pass over given tensors, for parity with other implementations. The
//! conventions are Hugging Face's for the architecture that config.json names.

use athanor_store::{Array, ArrayData, Error, Result};
use athanor_tensor::{GradSet, Graph, Ids, Tensor, Var};

use crate::{
    heads::{Call, Given, Readout},
    input::{Extra, Input, TwoStreams},
    model::Model,
    pass::Pass,
};

/// What every family takes.
const COMMON: [&str; 2] = ["input_ids", "attention_mask"];

/// Runs `model` on `input_ids` [batch, time] ([batch, choices, time] for multiple choice) and, where
/// given, `attention_mask`, `position_ids`, the family's own inputs and the head's labels. Gives the
/// head's outputs (`logits` in most), `hidden.0` to `hidden.L`, `loss` if there are labels, and with
/// `grad` one `grad.NAME` for every parameter.
///
/// # Errors
/// Input, naming the tensor.
pub fn forward(model: &Model, arrays: Vec<Array>, grad: bool) -> Result<Vec<Array>> {
    check_names(model, &arrays)?;
    let mut given = Given { arrays };
    let (input, ids, choices) = input(model, &mut given)?;
    if model.head_network().reads(Readout::LastToken)
        && model.token("pad_token_id").is_none()
        && input.sizes().0 > 1
    {
        return Err(Error::input("config.json names no pad_token_id, which several rows need"));
    }
    let graph = if grad { Graph::training(&model.params) } else { Graph::inference(&model.params) };
    let mut pass = Pass::new(&graph, &input);
    pass.hidden = Some(Vec::new());
    pass.memory = Some(Vec::new());
    let hidden = model.hidden(&mut pass);
    let states = pass.hidden.take().unwrap_or_default();
    let memory = pass.memory.take().unwrap_or_default();
    let mut call = Call {
        head: model.head_network(),
        config: &model.config,
        vocabulary: model.sizes().vocabulary,
        pad: model.token("pad_token_id"),
        graph: &graph,
        hidden,
        ids,
        mask: input.mask.keys.as_ref().map(|m| m.host().to_vec()),
        given,
        choices,
        outputs: Vec::new(),
        loss: None,
    };
    (model.head().kind().forward)(&mut call)?;
    let Call { outputs, loss, .. } = call;
    let mut out: Vec<Array> = outputs.iter().map(|(name, value)| array(name, value)).collect();
    out.extend(
        states
            .into_iter()
            .enumerate()
            .map(|(i, h)| array(&format!("hidden.{i}"), &Var::constant(h))),
    );
    for (i, m) in memory.iter().enumerate() {
        out.push(array(&format!("mems.{i}"), &Var::constant(swap(m))));
    }
    match loss {
        Some(loss) => {
            out.push(array("loss", &loss));
            if grad {
                gradients(model, graph, &loss, &mut out);
            }
        }
        None if grad => {
            let labels = model.head().kind().labels;
            return Err(Error::input(match labels {
                [] => format!("a {:?} head has no loss, so there are no gradients", model.head()),
                _ => format!("gradients need `{}`, which the input lacks", labels.join("` and `")),
            }));
        }
        None => {}
    }
    Ok(out)
}

/// Refuses tensors that this family and head do not take.
fn check_names(model: &Model, arrays: &[Array]) -> Result<()> {
    let mut known: Vec<&str> = COMMON.to_vec();
    known.extend(model.family().inputs);
    known.extend(model.head().kind().labels);
    let fits = |name: &str, known: &&str| match known.strip_suffix('.') {
        Some(stem) => name.strip_prefix(stem).is_some_and(|n| n.starts_with('.')),
        None => name == *known,
    };
    match arrays.iter().find(|a| !known.iter().any(|k| fits(&a.name, k))) {
        None => Ok(()),
        Some(other) => Err(Error::input("this architecture takes no such tensor")
            .at(format!("tensor {}", other.name))
            .hint(format!("known: {}", known.join(", ").replace("mems.", "mems.0, …")))),
    }
}

/// The input, its ids, and how many choices each example has.
fn input(model: &Model, given: &mut Given) -> Result<(Input, Vec<i32>, usize)> {
    let Some(shape) = given.arrays.iter().find(|a| a.name == "input_ids").map(|a| a.shape.clone())
    else {
        return Err(Error::input("tensor input_ids is missing"));
    };
    let (batch, choices, time) = match (&shape[..], model.head().kind().choices) {
        (&[batch, time], false) => (batch, 1, time),
        (&[batch, choices, time], true) => (batch.saturating_mul(choices), choices, time),
        (_, wants) => {
            let wanted = if wants { "[batch, choices, time]" } else { "[batch, time]" };
            return Err(Error::input(format!("shape {shape:?}, {wanted} was expected"))
                .at("tensor input_ids"));
        }
    };
    let (sizes, device) = (model.sizes(), model.device());
    if batch == 0 || time == 0 || time > sizes.context {
        return Err(Error::input(format!(
            "{batch} rows of {time} tokens; the model takes 1 to {}",
            sizes.context
        ))
        .at("tensor input_ids"));
    }
    let ids = given.like("input_ids", &shape, sizes.vocabulary)?.unwrap_or_default();
    let mut input = model.input(ids.clone(), batch, time);
    let rows = |values| Ids::new(device, values, [batch, time]);
    input.mask.keys = given.like("attention_mask", &shape, 2)?.map(rows);
    if let Some(positions) = given.like("position_ids", &shape, model.position_limit())? {
        input.positions = rows(positions);
    }
    input.types = given.like("token_type_ids", &shape, model.type_limit())?.map(rows);
    if model.family().has_two_streams() {
        let permutation = given.numbers("perm_mask", &[&[batch, time, time]])?;
        input.extra = Extra::TwoStreams(TwoStreams {
            permutation: permutation.map(|p| Tensor::from_slice(device, &p, [batch, time, time])),
            targets: targets(given, batch, time)?.map(|(t, n)| Ids::new(device, t, [batch, n])),
            memory: memory(model, given, batch)?,
        });
    }
    Ok((input, ids, choices))
}

/// target_mapping [batch, targets, time] as places: each row marks one place with 1, or none, and no two
/// the same.
fn targets(given: &mut Given, batch: usize, time: usize) -> Result<Option<(Vec<i32>, usize)>> {
    let name = "target_mapping";
    let shape = given.arrays.iter().find(|a| a.name == name).map(|a| a.shape.clone());
    let count = match shape.as_deref() {
        None => return Ok(None),
        Some(&[b, count, t]) if b == batch && t == time && count > 0 => count,
        Some(shape) => {
            return Err(Error::input(format!(
                "shape {shape:?}, [{batch}, targets, {time}] was expected"
            ))
            .at(format!("tensor {name}")));
        }
    };
    let values = given.numbers(name, &[&[batch, count, time]])?.unwrap_or_default();
    let mut places = Vec::with_capacity(batch * count);
    for (i, row) in values.chunks_exact(time).enumerate() {
        let marked: Vec<usize> = (0..time).filter(|&t| row[t] != 0.0).collect();
        let place = match marked[..] {
            [] => -1,
            [t] if row[t] == 1.0 => t as i32,
            _ => {
                return Err(Error::input(format!("row {i} is not one 1 among zeros"))
                    .at(format!("tensor {name}")));
            }
        };
        if place >= 0 && places[i / count * count..].contains(&place) {
            return Err(Error::input(format!("row {i} asks for place {place} a second time"))
                .at(format!("tensor {name}")));
        }
        places.push(place);
    }
    Ok(Some((places, count)))
}

/// mems.0, mems.1, … [places, batch, hidden], one for each layer, as [batch, places, hidden].
fn memory(model: &Model, given: &mut Given, batch: usize) -> Result<Vec<Tensor>> {
    let Some(first) = given.arrays.iter().find(|a| a.name.starts_with("mems.")) else {
        return Ok(Vec::new());
    };
    let (hidden, layers) = (model.sizes().hidden, model.sizes().layers);
    let count = first.shape.first().copied().unwrap_or(0);
    let mut all = Vec::new();
    for layer in 0..layers {
        let name = format!("mems.{layer}");
        let Some(values) = given.numbers(&name, &[&[count, batch, hidden]])? else {
            return Err(Error::input(format!("tensor {name} is missing"))
                .hint(format!("the model has {layers} layers: mems.0 to mems.{}", layers - 1)));
        };
        all.push(swap(&Tensor::from_slice(model.device(), &values, [count, batch, hidden])));
    }
    match given.arrays.iter().find(|a| a.name.starts_with("mems.")) {
        None => Ok(if count == 0 { Vec::new() } else { all }),
        Some(other) => Err(Error::input(format!("the model has {layers} layers"))
            .at(format!("tensor {}", other.name))),
    }
}

/// [a, b, width] as [b, a, width].
fn swap(x: &Tensor) -> Tensor {
    let (a, b, width) = (x.shape()[0], x.shape()[1], x.shape()[2]);
    let values = x.to_vec();
    let mut out = Vec::with_capacity(values.len());
    for j in 0..b {
        for i in 0..a {
            out.extend_from_slice(&values[(i * b + j) * width..][..width]);
        }
    }
    Tensor::from_slice(x.device(), &out, [b, a, width])
}

fn gradients(model: &Model, graph: Graph<'_>, loss: &Var, out: &mut Vec<Array>) {
    let mut sums = GradSet::new();
    graph.backward(loss, &mut sums);
    for (i, p) in model.params.iter().enumerate() {
        let found = sums.iter().find(|(j, _)| *j == i).map(|(_, g)| g.to_vec());
        let values = found.unwrap_or_else(|| vec![0.0; p.value.len()]);
        let (name, shape) = (format!("grad.{}", p.name), p.value.shape().to_vec());
        out.push(Array { name, shape, data: ArrayData::F32(values) });
    }
}

fn array(name: &str, value: &Var) -> Array {
    Array {
        name: name.into(),
        shape: value.shape().to_vec(),
        data: ArrayData::F32(value.value().to_vec()),
    }
}
