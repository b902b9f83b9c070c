//! `athanor forward`: one pass over given tensors, for parity with other implementations.

use std::{collections::BTreeMap, path::PathBuf};

use athanor_models::forward::forward;
use athanor_store::{ArrayData, ArrayDataRef, ArrayRef, Result, load_arrays, save_arrays};
use serde_json::json;

use crate::{
    context::Context,
    model_path::{self, Want},
    out,
};

/// Run a model once over given tensors, to compare it with other implementations
#[derive(clap::Args)]
#[command(after_help = "\
The head is the one that config.json's `architectures` names. IN holds int64 `input_ids` [batch, time]
([batch, choices, time] for multiple choice) and, where wanted, with Hugging Face's meaning:
  attention_mask, position_ids, token_type_ids    like input_ids (as the family has them)
  labels, next_sentence_label                     the head's; -100 is ignored
  start_positions, end_positions                  span heads, [batch]
  perm_mask [batch, time, time], target_mapping [batch, targets, time],
  mems.0 … [places, batch, hidden]                XLNet
OUT gets float32 `logits` (span: `start_logits`, `end_logits`; BERT's pretraining head also
`seq_relationship_logits`; a bare model `pooler_output` where it has a pooler), `hidden.0` to `hidden.L`,
XLNet's new `mems.0` …, `loss` if there are labels, and with --grad one `grad.NAME` for every parameter.

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
    context.set_threads();
    let dir = model_path::resolve(context, &args.model, Want::Any)?;
    let arrays = load_arrays(&args.input)?;
    let model = model_path::open(context, &dir)?;
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
