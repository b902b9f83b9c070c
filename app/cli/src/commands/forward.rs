//! `athanor forward`: one pass over given tensors, for parity with other implementations.

use std::{collections::BTreeMap, path::PathBuf};

use athanor_models::{Model, forward::forward};
use athanor_store::{ArrayData, ArrayDataRef, ArrayRef, Result, load_arrays, save_arrays};
use athanor_tensor::Device;
use serde_json::json;

use crate::{
    context::Context,
    model_path::{self, Want},
    out,
};

/// Run a model once over given tensors, to compare it with other implementations
#[derive(clap::Args)]
#[command(after_help = "\
IN holds int64 `input_ids` [batch, time] and, where wanted, `attention_mask`, `position_ids` and
`labels` (-100 is ignored), with Hugging Face's meaning. OUT gets float32 `logits`, `hidden.0` to
`hidden.L`, `loss` if there are labels, and with --grad one `grad.NAME` for every parameter.

Example:
  athanor forward models/gpt2 --input in.safetensors --output out.safetensors --grad")]
pub struct Args {
    /// A model folder, a stage's or a run's
    model: PathBuf,
    /// The tensors that go in
    #[arg(long, value_name = "IN.safetensors")]
    input: PathBuf,
    /// Where the tensors that come out are written
    #[arg(long, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Gradients of the loss as well
    #[arg(long)]
    grad: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    context.set_threads(0);
    let dir = model_path::resolve(context, &args.model, Want::Any)?;
    let arrays = load_arrays(&args.input)?;
    let model = Model::load(&dir, Device::Cpu)?;
    let result = forward(&model, arrays, args.grad).map_err(|e| e.at(args.input.display()))?;
    let refs: Vec<ArrayRef<'_>> = result
        .iter()
        .map(|a| ArrayRef {
            name: &a.name,
            shape: &a.shape,
            data: match &a.data {
                ArrayData::F32(v) => ArrayDataRef::F32(v),
                ArrayData::I64(v) => ArrayDataRef::I64(v),
            },
        })
        .collect();
    save_arrays(&args.output, &refs, &BTreeMap::new())?;
    if context.json {
        let names: Vec<&str> = result.iter().map(|a| a.name.as_str()).collect();
        return out::json(&json!({ "output": args.output, "tensors": names }));
    }
    if !context.quiet {
        out::note(&format!("wrote {} tensors to {}", result.len(), args.output.display()));
    }
    Ok(())
}
