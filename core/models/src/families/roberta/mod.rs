//! RoBERTa: Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach". BERT's network
//! with positions that begin behind the padding token's id, and heads of its own. Names as in Hugging
//! Face's `roberta`, also XLM-RoBERTa (Conneau et al. 2020).

use athanor_tensor::ops::Activation;
use serde_json::{Map, Value};

use super::{
    Family,
    encoder::{self, Defaults, Encoder, Positions},
};
use crate::{
    heads::{Activate, Layer, Out, Readout, Stack, Start, Variant, Width},
    sizes::Shape,
};

const TANH: Activate = Activate::Fixed(Activation::Tanh);
const POOLER: Layer = Layer::Pooler("pooler.dense", TANH);

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "roberta",
    model_types: &["roberta", "xlm-roberta"],
    class: |model_type| match model_type {
        "xlm-roberta" => "XLMRoberta",
        _ => "Roberta",
    },
    heads: &[
        Variant::new(
            "bare",
            &[Stack {
                output: "pooler_output",
                readout: Readout::First,
                layers: &[POOLER],
                out: None,
            }],
        ),
        Variant::new(
            "masked-lm",
            &[Stack {
                output: "logits",
                readout: Readout::Every,
                layers: &[
                    Layer::Dense("lm_head.dense", Activate::Fixed(Activation::Gelu)),
                    Layer::Norm("lm_head.layer_norm"),
                ],
                out: Some(Out {
                    weight: "lm_head.decoder.weight",
                    bias: Some(["lm_head.bias", "lm_head.decoder.bias"]),
                    width: Width::Vocabulary,
                    start: Start::Range,
                }),
            }],
        ),
        Variant::new(
            "sequence",
            &[Stack::new(
                Readout::First,
                &[Layer::Drop, Layer::Dense("classifier.dense", TANH), Layer::Drop],
                "classifier.out_proj.weight",
                "classifier.out_proj.bias",
                Width::Labels,
            )],
        ),
        Variant::new(
            "multiple-choice",
            &[Stack::new(
                Readout::First,
                &[POOLER, Layer::Drop],
                "classifier.weight",
                "classifier.bias",
                Width::Fixed(1),
            )],
        ),
    ],
    inputs: &["position_ids", "token_type_ids"],
    prefix: "roberta.",
    intermediate: |hidden| 4 * hidden,
    refuse: encoder::refuse,
    config,
    build: |fields, builder| Ok(Box::new(Encoder::build(fields, builder, &DEFAULTS)?)),
};

const DEFAULTS: Defaults = Defaults {
    vocabulary: 50265,
    padding: 1,
    positions: Positions::BehindPadding,
    ..encoder::BASE
};

fn config(shape: &Shape) -> Map<String, Value> {
    let mut config = encoder::config("roberta", shape);
    config.insert("max_position_embeddings".into(), (shape.context + 2).into());
    config.insert("type_vocab_size".into(), 1.into());
    config.insert("layer_norm_eps".into(), 1e-5.into());
    config.insert("pad_token_id".into(), 1.into());
    config
}
