//! Multiple choice: a model by chance learns a toy, questions with 2 and 3 choices side by side, and is measured and
//! asked like any fine-tuned model.
#![allow(missing_docs)]

use std::{fs, path::Path, sync::Arc};

use athanor_data::{LabelledSection, Record};
use athanor_finetune::{Fields, Predictor, STAGE, TASKS};
use athanor_models::{Head, Model, Shape, families};
use athanor_store::{Interrupt, Recipe, Run, Silent};
use athanor_tensor::{Device, splitmix64};
use athanor_text::{ALGORITHMS, SpecialTokens, Training};
use serde_json::{Map, Value, json};

const WORDS: [&str; 6] = ["rain", "stone", "bread", "river", "lamp", "cloud"];

/// A question whose right choice is the one with the word "gold".
fn question(n: u64) -> Value {
    let draw = |i: u64, below: u64| splitmix64(n * 97 + i) % below;
    let choices = 2 + n % 2;
    let right = draw(0, choices);
    let word = |i: u64| WORDS[draw(i, 6) as usize];
    let choice = |i: u64| match i == right {
        true => format!("{} gold {}", word(10 + i), word(20 + i)),
        false => format!("{} {} {}", word(10 + i), word(30 + i), word(20 + i)),
    };
    let endings: Vec<String> = (0..choices).map(choice).collect();
    json!({ "premise": format!("we look for {}", word(40)), "endings": endings, "answer": right })
}

fn model(folder: &Path, lines: &[String]) {
    let training = Training { vocab_size: 120, lowercase: true, specials: SpecialTokens::bert() };
    let kind = ALGORITHMS.find("wordpiece").unwrap();
    let tokenizer = kind.train(&mut lines.iter().cloned(), &training).unwrap();
    let shape = Shape {
        vocabulary: tokenizer.vocab_size(),
        context: 32,
        hidden: 32,
        layers: 1,
        heads: 2,
        kv_heads: 2,
        intermediate: 64,
        qk_norm: false,
        qkv_bias: false,
        sliding_window: None,
        tied: true,
        rope_theta: 10_000.0,
    };
    let family = families::by_name("bert").unwrap();
    fs::create_dir_all(folder).unwrap();
    Model::new(family, &shape, Head::PRETRAINING, 3, Device::Cpu).unwrap().save(folder).unwrap();
    tokenizer.save(folder).unwrap();
}

#[test]
fn a_toy_is_learned_measured_and_asked() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("multiple_choice");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let lines: Vec<String> = (0..300).map(|n| question(n).to_string()).collect();
    fs::write(folder.join("questions.jsonl"), lines.join("\n")).unwrap();
    model(&folder.join("start"), &lines);
    let recipe = |label: &str| {
        let text = format!(
            "[finetune]\ntask = \"multiple_choice\"\nmodel = {:?}\nheldout_per_thousand = 200\n\
             multiple_choice.choices = \"endings\"\n[finetune.train]\nsteps = 60\nbatch_size = 8\n\
             learning_rate = 5e-3\nschedule.warmup_steps = 5\n[[finetune.data]]\nexamples.path = {:?}\n\
             examples.text = \"premise\"\nexamples.label = {label:?}\n",
            folder.join("start"),
            folder.join("questions.jsonl"),
        );
        Recipe::parse("toy.toml", &text, &[]).unwrap()
    };
    let run = |label: &str, out: &str| {
        let (console, interrupt) = (Arc::new(Silent), Interrupt::new());
        let run = Run::open(&folder.join(out), recipe(label), 5, console, interrupt, false);
        (STAGE.run)(&run.unwrap())
    };
    run("answer", "run").unwrap();
    let summary = fs::read_to_string(folder.join("run/finetune/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let figure = &summary["tasks"][0];
    assert_eq!(figure["metric"], "accuracy");
    assert!(figure["value"].as_f64().unwrap() > 0.95, "{summary}");
    assert!(figure["baseline"].as_f64().unwrap() < 0.7, "{summary}");

    let predictor = Predictor::open(&folder.join("run/finetune/model"), Device::Cpu).unwrap();
    let task = TASKS.find("multiple_choice").unwrap();
    assert_eq!(predictor.task().name, task.name);
    let source = LabelledSection {
        path: "-".into(),
        text: "premise".into(),
        label: "answer".into(),
        ..LabelledSection::default()
    };
    let fields = Fields::new(task, source, &["choices=endings".into()]).unwrap();
    let files = [folder.join("questions.jsonl")];
    let found = predictor.evaluate(&fields, &files, &mut |_, _| Ok(())).unwrap();
    assert_eq!(found.counts, [("questions", 300)]);
    assert!(found.figures[0].1 > 0.95, "{}", found.figures[0].1);
    let asked =
        json!({ "premise": "we look for", "endings": ["rain rain rain", "lamp gold lamp"] });
    let record = Record(asked.as_object().cloned().unwrap_or_else(Map::new));
    let shown = predictor.predict(&fields, &[record]).unwrap();
    assert_eq!(shown[0].json["choice"], 1);

    let wrong = run("{{ answer + 5 }}", "wrong").unwrap_err().to_string();
    assert!(
        wrong.contains("questions.jsonl:1") && wrong.contains("none of the choices"),
        "{wrong}"
    );
}
