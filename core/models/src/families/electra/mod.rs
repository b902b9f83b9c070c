//! ELECTRA: Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
//! Generators". BERT's network, with embeddings that may be narrower than its hidden states; the generator
//! is the family with the masked-LM head, the discriminator with the replaced-token head. Names as in
//! Hugging Face's `electra`.

use super::{
    Family,
    encoder::{self, Defaults, Encoder, Positions},
    parts::*,
};

const GELU: Activate = Activate::Fixed(Activation::Gelu);

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "electra",
    model_types: &["electra"],
    class: |_| "Electra",
    heads: &[
        Variant::new(
            "masked-lm",
            &[Stack::new(
                Readout::Every,
                &[
                    Layer::ToEmbedding("generator_predictions.dense", GELU),
                    Layer::Norm("generator_predictions.LayerNorm"),
                ],
                "generator_lm_head.weight",
                "generator_lm_head.bias",
                Width::Vocabulary,
            )],
        ),
        Variant::new(
            "replaced-token",
            &[Stack::new(
                Readout::Every,
                &[Layer::Dense("discriminator_predictions.dense", Activate::Key("hidden_act"))],
                "discriminator_predictions.dense_prediction.weight",
                "discriminator_predictions.dense_prediction.bias",
                Width::Fixed(1),
            )],
        ),
        Variant::new(
            "sequence",
            &[encoder::labels(&[Layer::Drop, Layer::Dense("classifier.dense", GELU), Layer::Drop])],
        ),
        Variant::new(
            "multiple-choice",
            &[encoder::classifier(
                &[
                    Layer::Dense("sequence_summary.summary", Activate::Key("summary_activation")),
                    Layer::Drop,
                ],
                Width::Fixed(1),
            )],
        ),
    ],
    inputs: &["position_ids", "token_type_ids"],
    prefix: "electra.",
    intermediate: |hidden| 4 * hidden,
    refuse: encoder::refuse,
    config,
    build,
};

const DEFAULTS: Defaults = Defaults {
    hidden: 256,
    heads: 4,
    inner: 1024,
    vocabulary: 30522,
    embedding: Some(128),
    padding: 0,
    positions: Positions::Zero,
};

fn build(c: Fields<'_>, b: &mut Builder) -> Result<Box<dyn Architecture>> {
    c.only("summary_use_proj", true)?;
    let kind = c.text("summary_type", "first")?;
    if kind != "first" {
        return Err(Error::input(format!(
            "`summary_type` is {kind:?}, only \"first\" is computed"
        )));
    }
    Ok(Box::new(Encoder::build(c, b, &DEFAULTS)?))
}

fn config(shape: &Shape) -> Map<String, Value> {
    let mut config = encoder::config("electra", shape);
    config.insert("embedding_size".into(), shape.hidden.into());
    config
}
