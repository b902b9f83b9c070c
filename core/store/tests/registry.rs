//! Registries: what is found by name, and what recipes get from them.
#![allow(missing_docs)]

use athanor_store::{
    Check, Choice, Entry, Kind, OwnKeys, Problem, Recipe, Registered, Registry, Result, describe,
    fingerprint_value, recipe::section_key, section,
};
use serde_json::json;

section! {
    /// Keys of a method.
    pub struct Clipped {
        /// How far a ratio may move.
        clip: f64 = 0.2,
        /// Lines in the log.
        #[watch]
        log: bool = false,
    }
}

impl Check for Clipped {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.clip >= 0.0, "clip", "must be 0 or more")
    }
}

section! {
    /// Keys of another.
    pub struct Grouped {
        /// Answers in a group.
        size: usize = 8,
    }
}

impl Check for Grouped {}

trait Method: Entry + Sync {}

struct Ppo;
struct Grpo;
struct Plain;

macro_rules! method {
    ($type:ident, $name:literal, $about:literal, $keys:expr) => {
        impl Method for $type {}
        impl Entry for $type {
            fn name(&self) -> &'static str {
                $name
            }
            fn about(&self) -> &'static str {
                $about
            }
            fn keys(&self) -> Option<OwnKeys> {
                $keys
            }
        }
    };
}
method!(Ppo, "ppo", "clipped ratios", Some(OwnKeys::of::<Clipped>()));
method!(Grpo, "grpo", "advantages within a group", Some(OwnKeys::of::<Grouped>()));
method!(Plain, "reinforce", "the score function alone", None);

static METHODS: Registry<&'static dyn Method> = Registry::new("method", &[&Ppo, &Grpo, &Plain]);

impl Registered for &'static dyn Method {
    fn registry() -> &'static Registry<Self> {
        &METHODS
    }
}

section! {
    /// A stage.
    pub struct Stage {
        /// How the policy learns.
        method: Choice<&'static dyn Method> = "ppo".into(),
        /// Steps.
        steps: u64 = 10,
        /// Methods to compare with.
        others: Vec<Choice<&'static dyn Method>> = Vec::new(),
        /// How the start is made.
        warm_up: Option<Choice<&'static dyn Method>> = None,
    }
}

impl Check for Stage {}

fn read(text: &str, sets: &[&str]) -> Result<Stage> {
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    Recipe::parse("r.toml", text, &sets)?.section("stage")
}

#[test]
fn an_unknown_name_is_told_with_the_nearest_and_all() {
    assert_eq!(METHODS.find("grpo").unwrap().about(), "advantages within a group");
    let error = METHODS.find("gpro").err().unwrap();
    assert_eq!(error.kind(), Kind::Input);
    assert_eq!(
        error.to_string(),
        "no method `gpro`; did you mean `grpo`?\n  help: known: ppo (clipped ratios), grpo \
         (advantages within a group), reinforce (the score function alone)"
    );
}

#[test]
fn a_choice_reads_its_name_and_every_entrys_own_keys() {
    let stage = read("", &[]).unwrap();
    assert_eq!(stage, Stage::default());
    assert_eq!(stage.method.own::<Clipped>(), Clipped::default());
    let stage = read(
        "[stage]\nmethod = 'grpo'\nothers = ['ppo', 'reinforce']\nwarm_up = 'ppo'\n\
         [stage.grpo]\nsize = 4\n",
        &["stage.ppo.clip=0.5", "stage.steps=3"],
    )
    .unwrap();
    assert_eq!((stage.method.name(), stage.steps), ("grpo", 3));
    assert_eq!(stage.method.entry().unwrap().name(), "grpo");
    assert_eq!(stage.method.own::<Grouped>().size, 4);
    assert_eq!(stage.method.own_of::<Clipped>("ppo").clip, 0.5);
    assert_eq!(stage.others[1].name(), "reinforce");
    assert_eq!(stage.warm_up.unwrap().name(), "ppo");
}

#[test]
fn mistakes_have_their_place() {
    let error = |text: &str, sets: &[&str]| read(text, sets).unwrap_err().to_string();
    assert_eq!(
        error("[stage]\nsteps = 1\nmethod = 'gpro'\n", &[]),
        "r.toml:3: `method` in [stage]: found \"gpro\", expected one of \"ppo\", \"grpo\", \
         \"reinforce\"; did you mean \"grpo\"?"
    );
    assert_eq!(
        error("[stage]\nmethod = 3\n", &[]),
        "r.toml:2: `method` in [stage]: found 3, expected one of \"ppo\", \"grpo\", \"reinforce\""
    );
    assert_eq!(
        error("[stage.ppo]\n\nclip = -1\n", &[]),
        "r.toml:3: `clip` in [stage.ppo]: must be 0 or more"
    );
    assert_eq!(
        error("", &["stage.grpo.siz=1"]),
        "--set stage.grpo.siz=1: unknown key `siz` in [stage.grpo]; did you mean `size`?\n  \
         help: its keys are size"
    );
    assert!(error("[stage]\nothers = ['ppo', 'x']", &[]).contains("found \"x\""));
    assert!(error("[stage.reinforce]\n", &[]).contains("unknown key `reinforce` in [stage]"));
    let names = Recipe::parse("r.toml", "[stage.ppo]\nclp = 1", &[]).unwrap();
    let error = names.check_names(&[("stage", <Stage as athanor_store::Section>::keys)]);
    assert!(error.unwrap_err().to_string().contains("did you mean `clip`?"));
}

#[test]
fn the_annotated_recipe_and_fingerprints_follow_from_the_registry() {
    let text = describe(&[section_key::<Stage>("stage", "A stage.")]);
    let doc = "# How the policy learns.\n#   ppo: clipped ratios\n#   grpo: advantages within a \
               group\n#   reinforce: the score function alone\nmethod = \"ppo\"\n";
    assert!(text.contains(doc), "{text}");
    let own = "# Keys of grpo: advantages within a group.\n[stage.grpo]\n# Answers in a group.\n\
               size = 8\n";
    assert!(text.contains(own), "{text}");
    let recipe = Recipe::parse("all.toml", &text, &[]).unwrap();
    assert_eq!(recipe.section::<Stage>("stage").unwrap(), Stage::default());

    let stage = Stage {
        method: Choice::from("grpo").with_own("grpo", &Grouped { size: 2 }),
        ..Stage::default()
    };
    let value = serde_json::to_value(&stage).unwrap();
    assert_eq!(value["method"], json!("grpo"));
    assert_eq!(value["grpo"], json!({ "size": 2 }));
    assert_eq!(value["ppo"], json!({ "clip": 0.2, "log": false }));
    assert_eq!(fingerprint_value(&stage)["ppo"], json!({ "clip": 0.2 }));
    assert_eq!(serde_json::from_value::<Stage>(value).unwrap(), stage);
    let wrong = json!({ "ppo": { "klip": 1 } });
    assert!(serde_json::from_value::<Stage>(wrong).unwrap_err().to_string().contains("klip"));
    let resolved = Recipe::resolved(&[("stage", serde_json::to_value(&stage).unwrap())]);
    assert_eq!(read(&resolved, &[]).unwrap(), stage);
}
