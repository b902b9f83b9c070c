//! RoBERTa: Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach". BERT's network
//! with positions that begin behind the padding token's id, and heads of its own. Names as in Hugging
//! Face's `roberta`, also XLM-RoBERTa (Conneau et al. 2020).

use super::{
    Family,
    encoder::{self, Defaults, Encoder, POOLED, POOLER, Positions},
    parts::*,
};

const TANH: Activate = Activate::Fixed(Activation::Tanh);

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "roberta",
    model_types: &["roberta", "xlm-roberta"],
    class: |model_type| match model_type {
        "xlm-roberta" => "XLMRoberta",
        _ => "Roberta",
    },
    heads: &[
        POOLED,
        Variant::new(
            "masked-lm",
            &[encoder::tokens(
                &[
                    Layer::Dense("lm_head.dense", Activate::Fixed(Activation::Gelu)),
                    Layer::Norm("lm_head.layer_norm"),
                ],
                "lm_head.decoder.weight",
                ["lm_head.bias", "lm_head.decoder.bias"],
            )],
        ),
        Variant::new(
            "sequence",
            &[encoder::labels(&[Layer::Drop, Layer::Dense("classifier.dense", TANH), Layer::Drop])],
        ),
        Variant::new(
            "multiple-choice",
            &[encoder::classifier(&[POOLER, Layer::Drop], Width::Fixed(1))],
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
