//! The stages in their order. A new one is one line here; its command, its section of the recipe
//! and its place in a run follow from that.

use athanor_store::{Key, Registry, StageKind, recipe::Shape};
use serde_json::{Map, Value};

/// All stages.
pub static STAGES: Registry<StageKind> = Registry::new(
    "stage",
    &[
        athanor_corpus::STAGE,
        athanor_pretrain::STAGE,
        athanor_finetune::STAGE,
        athanor_reward::STAGE,
        athanor_reinforce::STAGE,
    ],
);

/// A stage's section as one key, for the annotated recipe.
pub fn key(stage: &StageKind) -> Key {
    let keys = (stage.keys)();
    let default: Map<String, Value> =
        keys.iter().map(|k| (k.name.clone(), k.default.clone())).collect();
    Key::new(stage.name, &[stage.about], false, Shape::Section(keys), default.into())
}
