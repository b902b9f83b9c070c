//! BERT: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
//! Understanding". Names as in Hugging Face's `bert`.

use athanor_tensor::ops::Activation;

use super::{
    Family,
    encoder::{self, Encoder},
};
use crate::heads::{Activate, Layer, Out, Readout, Stack, Start, Variant, Width};

/// The first token's state through a dense layer of the trunk (appendix A.1 calls it C).
const POOLER: Layer = Layer::Pooler("pooler.dense", Activate::Fixed(Activation::Tanh));

const TOKENS: Stack = Stack {
    output: "logits",
    readout: Readout::Every,
    layers: &[
        Layer::Dense("cls.predictions.transform.dense", Activate::Key("hidden_act")),
        Layer::Norm("cls.predictions.transform.LayerNorm"),
    ],
    out: Some(Out {
        weight: "cls.predictions.decoder.weight",
        bias: Some(["cls.predictions.bias", "cls.predictions.decoder.bias"]),
        width: Width::Vocabulary,
        start: Start::Range,
    }),
};

const NEXT: Stack = Stack::new(
    Readout::First,
    &[POOLER],
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
    Width::Fixed(2),
);

const fn classifier(width: Width) -> Stack {
    let layers = &[POOLER, Layer::Drop];
    Stack::new(Readout::First, layers, "classifier.weight", "classifier.bias", width)
}

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "bert",
    model_types: &["bert"],
    class: |_| "Bert",
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
        Variant::new("masked-lm", &[TOKENS]),
        Variant::new("next-sentence", &[NEXT]),
        Variant::new("pretraining", &[TOKENS, NEXT.gives("seq_relationship_logits")]),
        Variant::new("sequence", &[classifier(Width::Labels)]),
        Variant::new("multiple-choice", &[classifier(Width::Fixed(1))]),
    ],
    inputs: &["position_ids", "token_type_ids"],
    prefix: "bert.",
    intermediate: |hidden| 4 * hidden,
    refuse: encoder::refuse,
    config: |shape| encoder::config("bert", shape),
    build: |fields, builder| Ok(Box::new(Encoder::build(fields, builder, &encoder::BASE)?)),
};
