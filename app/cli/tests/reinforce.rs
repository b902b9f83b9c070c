//! Reinforcement learning from the command line: each algorithm learns which of three arms pays best, by pulling them
//! or from comparisons.

mod small;

use std::fs;

use serde_json::Value;
use small::{Small, good};

/// A model that names one of three arms by chance, and what it learns when the second pays best.
const RECIPE: &str = r#"
[run]
name = "toy"

[corpus]
heldout_per_thousand = 100
steps = []
tokenizer.vocab_size = 300
[[corpus.sources]]
name = "arms"
path = "arms.jsonl"
text = "{{ messages[0].content }} {{ messages[1].content }}"

[pretrain.model]
family = "llama"
hidden_size = 16
layers = 1
heads = 2
context = 48
[pretrain.train]
steps = 30
batch_size = 4
schedule.warmup_steps = 2

[finetune]
[[finetune.data]]
dialogue.path = "arms.jsonl"
[finetune.train]
steps = 120
batch_size = 16
learning_rate = 4e-3
schedule.warmup_steps = 5

[reinforce]
environment = "bandit"
bandit.arms = [0.2, 1.0, 0.4]
answers = 32
max_new_tokens = 4
[reinforce.ppo]
epochs = 2
[reinforce.grpo]
epochs = 2
[reinforce.train]
steps = 20
batch_size = 32
learning_rate = 1e-2
evaluate.items = 64
optimizer.weight_decay = 0.0
schedule.name = "constant"
schedule.warmup_steps = 0
"#;

/// The same from pairs of answers.
const PAIRS: &str = r#"
[reinforce]
algorithm = "dpo"
model = "toy/finetune/model"
heldout_per_thousand = 200
max_new_tokens = 4
sample_prompts = ["Which arm: a, b, c?"]
[[reinforce.preferences]]
form = "pairs"
dialogue.path = "pairs.jsonl"
dialogue.user = "{{ q }}"
dialogue.identity = "{{ id }}"
[reinforce.train]
steps = 30
batch_size = 8
learning_rate = 3e-3
schedule = "constant"
"#;

/// A folder with a model that names an arm by chance: RUN toy.
fn folder() -> Small {
    let small = Small::new(1);
    let mut lines = String::new();
    for i in 0..240 {
        let arm = ["a", "b", "c"][i % 3];
        let line = serde_json::json!({ "messages": [
            { "role": "user", "content": "Which arm: a, b, c?" },
            { "role": "assistant", "content": arm },
        ], "id": i });
        lines += &format!("{line}\n");
    }
    fs::write(small.path("arms.jsonl"), lines).unwrap();
    fs::write(small.path("small.toml"), RECIPE).unwrap();
    for stage in ["corpus", "pretrain", "finetune"] {
        good(&small.command(stage, "toy", &[]).output().unwrap());
    }
    small
}

fn summary(small: &Small, run: &str) -> Value {
    let path = small.path(run).join("reinforce/summary.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_algorithm_learns_which_arm_pays() {
    let small = folder();
    let model = format!("reinforce.model={:?}", small.path("toy/finetune/model"));
    for algorithm in ["ppo", "grpo"] {
        for seed in 1..=5 {
            let out = format!("{algorithm}-{seed}");
            let (set, seed) =
                (format!("reinforce.algorithm=\"{algorithm}\""), format!("run.seed={seed}"));
            let more = ["--set", &set, "--set", &seed, "--set", &model];
            good(&small.command("reinforce", &out, &more).output().unwrap());
            let summary = summary(&small, &out);
            let figure = |name: &str| summary[name].as_f64().unwrap();
            let (before, after) = (figure("reward_before"), figure("reward_after"));
            // The arms pay 0.53 in the mean.
            assert!((0.3..0.75).contains(&before), "{out}: {before}");
            assert!(after > 0.9, "{out}: {before} to {after}");
            assert!(figure("logprob_gap_max") < 1e-4, "{out}: {summary}");
        }
    }

    // What the environment does not read is an error.
    let set = "reinforce.sample_prompts=[\"Which?\"]";
    let output = small.command("reinforce", "wrong", &["--set", set]).output().unwrap();
    let told = small::stderr(&output);
    let part = "`sample_prompts` in [reinforce]: has no meaning for environment = \"bandit\"";
    assert!(output.status.code() == Some(2) && told.contains(part), "{told}");
}

#[test]
fn comparisons_teach_which_arm_is_preferred() {
    let small = folder();
    let mut lines = String::new();
    for i in 0..120 {
        let (q, other) = ("Which arm: a, b, c?", ["a", "c"][i % 2]);
        let line =
            serde_json::json!({ "q": q, "chosen": "b", "rejected": other, "id": i.to_string() });
        lines += &format!("{line}\n");
    }
    fs::write(small.path("pairs.jsonl"), lines).unwrap();
    fs::write(small.path("small.toml"), PAIRS).unwrap();
    good(&small.command("reinforce", "dpo", &[]).output().unwrap());
    let summary = summary(&small, "dpo");
    let figure = |name: &str| summary[name].as_f64().unwrap();
    assert!((figure("heldout_loss_before") - 2f64.ln()).abs() < 1e-6, "{summary}");
    assert!(figure("heldout_loss") < 0.65 && figure("heldout_accuracy") > 0.95, "{summary}");
    let samples = fs::read_to_string(small.path("dpo/reinforce/samples.jsonl")).unwrap();
    assert!(samples.lines().last().unwrap().contains("\"text\":\"b\""), "{samples}");

    // What has no meaning for a method is no key of it.
    for (set, part) in [
        (
            "reinforce.algorithm=\"ppo\"",
            "`preferences` in [reinforce]: has no meaning for algorithm",
        ),
        ("reinforce.environment=\"bandit\"", "`environment` in [reinforce]: has no meaning for"),
    ] {
        let output = small.command("reinforce", "wrong", &["--set", set]).output().unwrap();
        let told = small::stderr(&output);
        assert!(output.status.code() == Some(2) && told.contains(part), "{told}");
    }
}
