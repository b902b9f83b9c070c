//! Recipes: what users see when they mistype, and what the macro makes.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use athanor_store::{
    Check, Kind, Problem, Recipe, Section, describe, fingerprint_value,
    recipe::{KeysOf, section_key},
    section,
};
use serde_json::{Value, json};

section! {
    /// How the model is trained.
    pub struct Train {
        /// Optimiser steps.
        steps: u64 = 1000,
        /// Peak learning rate.
        learning_rate: f64 = 3e-4,
        /// Gradient norm above which it is scaled down.
        clip: Option<f64> = Some(1.0),
        /// Stop after that many tokens.
        ///
        /// Whichever comes first, steps or tokens.
        tokens: Option<usize> = None,
        /// Seconds between checkpoints.
        #[watch]
        checkpoint_seconds: u64 = 60,
    }
}

impl Check for Train {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.learning_rate > 0.0, "learning_rate", "must be positive")
    }
}

section! {
    /// One source of text.
    pub struct Source {
        /// Its name in reports.
        name: String = "web".into(),
        /// A file of JSON lines.
        path: PathBuf = "data/web.jsonl".into(),
        /// Share in the mixture.
        weight: f64 = 1.0,
    }
}

impl Check for Source {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(!self.name.is_empty(), "name", "must not be empty")
    }
}

section! {
    /// The first stage.
    pub struct Pretrain {
        /// Which model: gpt or bert.
        family: String = "gpt".into(),
        /// Whether weights are shared.
        tied: bool = true,
        /// Layers' widths.
        widths: Vec<f64> = vec![1.0, 2.5],
        /// Names.
        names: Vec<String> = vec!["a\"b".into(), "中文".into()],
        /// Training.
        train: Train = Train { steps: 7, ..Train::default() },
        /// Texts.
        sources: Vec<Source> = Vec::new(),
    }
}

impl Check for Pretrain {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless_one_of("family", &self.family, &["gpt", "bert"])
    }
}

fn parse(text: &str, sets: &[&str]) -> athanor_store::Result<Recipe> {
    let sets: Vec<_> = sets.iter().map(|s| s.to_string()).collect();
    Recipe::parse("recipes/demo.toml", text, &sets)
}

fn read(text: &str, sets: &[&str]) -> athanor_store::Result<Pretrain> {
    parse(text, sets)?.section("pretrain")
}

/// The error's text, and that it is the user's.
#[track_caller]
fn error(text: &str, sets: &[&str]) -> String {
    let e = read(text, sets).expect_err("an error was expected");
    assert_eq!(e.kind(), Kind::Input);
    e.to_string()
}

const ALL: &[(&str, KeysOf)] = &[("pretrain", Pretrain::keys), ("train", Train::keys)];

#[test]
fn defaults_and_overrides() {
    assert_eq!(read("", &[]).unwrap(), Pretrain::default());
    let got = read(
        "[pretrain]\ntied = false\n[pretrain.train]\nlearning_rate = 1\n\
         [[pretrain.sources]]\nname = \"books\"\n[[pretrain.sources]]\n",
        &["pretrain.train.steps=12", "pretrain.family=bert", "pretrain.sources.1.name = 12"],
    )
    .unwrap();
    assert!(!got.tied);
    assert_eq!((got.train.steps, got.train.learning_rate), (12, 1.0));
    assert_eq!(got.family, "bert");
    assert_eq!(got.sources.len(), 2);
    assert_eq!(got.sources[0].name, "books");
    assert_eq!(got.sources[1].name, "12");
    // What a nested section does not give comes from the outer section's default.
    assert_eq!(read("[pretrain.train]\nclip = 2.5\n", &[]).unwrap().train.steps, 7);
}

#[test]
fn numbers_in_all_of_tomls_ways() {
    let train = |text: &str| parse(text, &[]).unwrap().section::<Train>("train").unwrap();
    assert_eq!(train("train.steps = 1_000_000").steps, 1_000_000);
    assert_eq!(train("train.steps = 0x1_0").steps, 16);
    assert_eq!(train("train = { learning_rate = 1_0.5e-1 }").learning_rate, 1.05);
    assert_eq!(train("train.steps = 9223372036854775807").steps, i64::MAX as u64);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(&deep, &[]).is_err());
    assert!(parse("", &[&format!("a{}=1", ".a".repeat(100_000))]).is_err());
}

#[test]
fn a_set_reaches_lists_and_typed_values() {
    let got = read(
        "",
        &[
            "pretrain.widths=[1, 2]",
            "pretrain.tied=false",
            "pretrain.train.learning_rate=1e-2",
            "pretrain.names=[\"x\"]",
            "pretrain.sources=[{name = \"n\", path = \"p\"}]",
        ],
    )
    .unwrap();
    assert_eq!(got.widths, [1.0, 2.0]);
    assert_eq!(got.names, ["x"]);
    assert_eq!(got.sources[0].path, Path::new("p"));
    assert_eq!(got.train.learning_rate, 0.01);
}

#[test]
fn unknown_keys() {
    assert_eq!(
        error("# a recipe\n[pretrain.train]\nsteps = 1\nlern_rate = 0.1\n", &[]),
        "recipes/demo.toml:4: unknown key `lern_rate` in [pretrain.train]; did you mean \
         `learning_rate`?\n  help: its keys are steps, learning_rate, clip, tokens, \
         checkpoint_seconds"
    );
    assert_eq!(
        error("[pretrain]\nzzz = 0.1\n", &[]),
        "recipes/demo.toml:2: unknown key `zzz` in [pretrain]\n  help: its keys are family, tied, \
         widths, names, train, sources"
    );
    assert_eq!(
        error("", &["pretrain.train.step=1"]),
        "--set pretrain.train.step=1: unknown key `step` in [pretrain.train]; did you mean \
         `steps`?\n  help: its keys are steps, learning_rate, clip, tokens, checkpoint_seconds"
    );
    assert!(error("[[pretrain.sources]]\n\n[[pretrain.sources]]\nnam = \"x\"\n", &[]).starts_with(
        "recipes/demo.toml:4: unknown key `nam` in [pretrain.sources]; did you mean `name`?"
    ));
}

#[test]
fn unknown_sections() {
    let names = |text| parse(text, &[]).unwrap().check_names(ALL).unwrap_err().to_string();
    assert_eq!(
        names("[train]\n[pretrian]\nx = 1\n"),
        "recipes/demo.toml:2: unknown section [pretrian]; did you mean [pretrain]?\n  help: the \
         sections are [pretrain], [train]"
    );
    assert_eq!(
        names("steps = 3\n"),
        "recipes/demo.toml:1: unknown key `steps` outside of any section\n  help: the sections are \
         [pretrain], [train]"
    );
    assert!(names("[[pretrain.sources]]\nwigth=1\n").contains("did you mean `weight`?"));
    assert!(names("[pretrain]\ntrain.stps=1\n").contains("unknown key `stps` in [pretrain.train]"));
    assert!(names("pretrain = 3\n").contains("[pretrain]: found 3, expected a table"));
    parse("[pretrain.train]\nsteps=1\n", &[]).unwrap().check_names(ALL).unwrap();
}

#[test]
fn wrong_types() {
    for (text, what) in [
        (
            "[pretrain.train]\n\nsteps = \"many\"",
            "3: `steps` in [pretrain.train]: found the text \"many\", expected a whole number, 0 or more",
        ),
        (
            "[pretrain.train]\nsteps = -1",
            "2: `steps` in [pretrain.train]: found -1, expected a whole number, 0 or more",
        ),
        (
            "[pretrain.train]\nsteps = 1.5",
            "2: `steps` in [pretrain.train]: found 1.5, expected a whole number, 0 or more",
        ),
        (
            "[pretrain.train]\nlearning_rate = nan",
            "2: `learning_rate` in [pretrain.train]: found NaN, expected a number",
        ),
        ("[pretrain]\ntied = 1", "2: `tied` in [pretrain]: found 1, expected true or false"),
        (
            "[pretrain]\nfamily = 1979-05-27",
            "2: `family` in [pretrain]: found the date 1979-05-27, expected a text in quotes",
        ),
        (
            "[pretrain]\nnames = [\"a\",\n 3]",
            "3: `names` in [pretrain]: found 3, expected a text in quotes",
        ),
        (
            "[pretrain]\nnames = \"a\"",
            "2: `names` in [pretrain]: found the text \"a\", expected a list of texts",
        ),
        ("[pretrain]\ntrain = 3", "2: [pretrain.train]: found 3, expected a table"),
        (
            "[pretrain.sources]\nname = \"x\"",
            "1: `sources` in [pretrain]: found a table, expected a list of tables",
        ),
    ] {
        assert_eq!(error(text, &[]), format!("recipes/demo.toml:{what}"));
    }
    assert_eq!(
        error("", &["pretrain.train.steps=many"]),
        "--set pretrain.train.steps=many: `steps` in [pretrain.train]: found the text \"many\", \
         expected a whole number, 0 or more"
    );
}

#[test]
fn failed_checks() {
    assert_eq!(
        error("[pretrain.train]\nsteps = 1\nlearning_rate = -1\n", &[]),
        "recipes/demo.toml:3: `learning_rate` in [pretrain.train]: must be positive"
    );
    assert_eq!(
        error("[pretrain]\n\nfamily = \"bart\"\n", &[]),
        "recipes/demo.toml:3: `family` in [pretrain]: found \"bart\", expected one of \"gpt\", \
         \"bert\"; did you mean \"bert\"?"
    );
    assert_eq!(
        error("[pretrain]\n[[pretrain.sources]]\n[[pretrain.sources]]\nname = \"\"\n", &[]),
        "recipes/demo.toml:4: `name` in [pretrain.sources.1]: must not be empty"
    );
    assert_eq!(
        error("[pretrain]\n", &["pretrain.train.learning_rate=-2"]),
        "--set pretrain.train.learning_rate=-2: `learning_rate` in [pretrain.train]: must be positive"
    );
}

#[test]
fn bad_toml_and_bad_sets() {
    let e = |text, sets: &[&str]| parse(text, sets).unwrap_err().to_string();
    assert!(e("[pretrain]\nx = \n", &[]).starts_with("recipes/demo.toml:2: not TOML: "));
    assert!(e("[a]\n[a]\n", &[]).starts_with("recipes/demo.toml:2: not TOML: "));
    assert!(e("x = 99999999999999999999", &[]).contains("recipes/demo.toml:1: the integer"));
    assert_eq!(
        e("", &["a.b"]),
        "--set a.b: `=` is missing\n  help: write it as --set section.key=value"
    );
    assert!(e("", &["a..b=1"]).starts_with("--set a..b=1: a part of the key is empty"));
    assert_eq!(e("a = 3", &["a.b=1"]), "--set a.b=1: `a` holds 3, not a table");
    assert_eq!(
        e("[[a]]\n", &["a.1.b=1"]),
        "--set a.1.b=1: `a` is a list of 1: 0 to its last, not `1`"
    );
}

#[test]
fn described_recipe_is_the_defaults() {
    let text = describe(&[
        section_key::<Pretrain>("pretrain", "The first stage."),
        section_key::<Train>("train", "Training alone."),
    ]);
    assert!(
        text.starts_with(
            "# The first stage.\n[pretrain]\n# Which model: gpt or bert.\nfamily = \"gpt\"\n"
        ),
        "{text}"
    );
    assert!(text.contains("# Stop after that many tokens.\n#\n# Whichever comes first, steps or tokens.\n# tokens = …  # a whole number, 0 or more; not set\n"), "{text}");
    assert!(
        text.contains("# [[pretrain.sources]]\n# # Its name in reports.\n# name = \"web\"\n"),
        "{text}"
    );
    assert!(text.contains("[pretrain.train]\n# Optimiser steps.\nsteps = 7\n"), "{text}");
    let recipe = parse(&text, &[]).unwrap();
    recipe.check_names(ALL).unwrap();
    assert_eq!(recipe.section::<Pretrain>("pretrain").unwrap(), Pretrain::default());
    assert_eq!(recipe.section::<Train>("train").unwrap(), Train::default());
}

#[test]
fn resolved_recipe_reads_back() {
    let section = read(
        "[pretrain]\nfamily = 'bert'\n[[pretrain.sources]]\nname='a\\b \"c\" 中'\n[[pretrain.sources]]\n",
        &["pretrain.train.learning_rate=1e-30", "pretrain.train.tokens=3"],
    )
    .unwrap();
    let train = Train { learning_rate: 2.0, ..Train::default() };
    let text = Recipe::resolved(&[
        ("pretrain", serde_json::to_value(&section).unwrap()),
        ("train", serde_json::to_value(&train).unwrap()),
    ]);
    let recipe = parse(&text, &[]).unwrap();
    recipe.check_names(ALL).unwrap();
    assert_eq!(recipe.section::<Pretrain>("pretrain").unwrap(), section, "{text}");
    assert_eq!(recipe.section::<Train>("train").unwrap(), train);
}

#[test]
fn watching_is_no_part_of_a_fingerprint() {
    let a = read("", &["pretrain.train.checkpoint_seconds=1"]).unwrap();
    assert_eq!(fingerprint_value(&a), fingerprint_value(&Pretrain::default()));
    assert_eq!(fingerprint_value(&a)["train"].get("checkpoint_seconds"), None);
    assert_eq!(fingerprint_value(&a)["train"]["steps"], json!(7));
    let keys = Train::keys();
    assert_eq!(
        keys.iter().filter(|k| k.watch).map(|k| &*k.name).collect::<Vec<_>>(),
        ["checkpoint_seconds"]
    );
    assert_eq!(keys[3].default, Value::Null);
    assert_eq!(
        keys[3].doc,
        "Stop after that many tokens.\n\nWhichever comes first, steps or tokens."
    );
}

#[test]
fn serde_round_trip_and_paths() {
    let a = Pretrain::default();
    let b: Pretrain = serde_json::from_value(serde_json::to_value(&a).unwrap()).unwrap();
    assert_eq!(a, b);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.toml");
    std::fs::write(&file, "\u{feff}[pretrain]\n").unwrap();
    let recipe = Recipe::load(&file, &[]).unwrap();
    assert_eq!(recipe.resolve(Path::new("x/y")), dir.path().join("x/y"));
    assert_eq!(recipe.resolve(Path::new("/x/y")), PathBuf::from("/x/y"));
    assert!(recipe.has("pretrain") && !recipe.has("pretrain.train") && !recipe.has("reward"));
    let missing = Recipe::load(&dir.path().join("no.toml"), &[]).unwrap_err();
    assert!(missing.to_string().contains("no.toml: there is no such recipe"));
}
