//! BERT: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language
//! Understanding". Names as in Hugging Face's `bert`.

use super::{
    Family,
    encoder::{self, Encoder, POOLED, POOLER},
    parts::*,
};

const TOKENS: Stack = encoder::tokens(
    &[
        Layer::Dense("cls.predictions.transform.dense", Activate::Key("hidden_act")),
        Layer::Norm("cls.predictions.transform.LayerNorm"),
    ],
    "cls.predictions.decoder.weight",
    ["cls.predictions.bias", "cls.predictions.decoder.bias"],
);

const NEXT: Stack = Stack::new(
    Readout::First,
    &[POOLER],
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
    Width::Fixed(2),
);

const fn classifier(width: Width) -> Stack {
    encoder::classifier(&[POOLER, Layer::Drop], width)
}

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "bert",
    model_types: &["bert"],
    class: |_| "Bert",
    heads: &[
        POOLED,
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
