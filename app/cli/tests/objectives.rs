//! Each pretraining objective from the command line: trained on two threads, and on one thread, killed
//! and gone on; the bytes are the same, and the summary tells masks and baselines.

mod small;

use std::{fs, path::Path};

use serde_json::Value;
use small::{Small, good, same};

/// Name, tokenizer, family, and the recipe's lines under [pretrain].
const OBJECTIVES: [(&str, &str, &str, &str); 6] = [
    (
        "bert",
        "wordpiece",
        "bert",
        "objective = \"masked_lm\"\nmasked_lm.masking.copies = 2\nmasked_lm.masking.unit = \"word\"",
    ),
    (
        "albert",
        "wordpiece",
        "bert",
        "objective = \"masked_lm\"\nshort_rows.context = 16\nshort_rows.share = 0.9\nmasked_lm.pairs = \"sentence_order\"\nmasked_lm.masking.schedule = \"dynamic\"",
    ),
    (
        "roberta",
        "byte_bpe",
        "roberta",
        "objective = \"masked_lm\"\nmasked_lm.input = \"full_sentences\"\nmasked_lm.masking.schedule = \"dynamic\"\nshort_rows.context = 12\nshort_rows.share = 0.5",
    ),
    (
        "spanbert",
        "wordpiece",
        "bert",
        "objective = \"masked_lm\"\nmasked_lm.input = \"doc_sentences\"\nmasked_lm.masking.unit = \"span\"",
    ),
    ("electra", "wordpiece", "electra", "objective = \"replaced_token\""),
    ("xlnet", "unigram", "xlnet", "objective = \"permutation_lm\"\npermutation_lm.memory = 24"),
];

fn recipe(small: &Small, [name, tokenizer, family, keys]: [&str; 4]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/brown.jsonl.gz");
    let special = if family == "roberta" { "roberta" } else { "" };
    let text = format!(
        "[run]\nname = \"{name}\"\nseed = 5\n\
         [corpus]\nheldout_per_thousand = 200\ntokenizer.kind = \"{tokenizer}\"\n\
         tokenizer.special_tokens = \"{special}\"\ntokenizer.vocab_size = 400\n\
         [[corpus.sources]]\nname = \"brown\"\npath = {here:?}\nmax_bytes = 300000\n\
         [pretrain]\n{keys}\n\
         [pretrain.model]\nfamily = \"{family}\"\nhidden_size = 16\nlayers = 1\nheads = 2\ncontext = 32\n\
         [pretrain.train]\nsteps = 30\nbatch_size = 2\naccumulate = 2\noptimizer.name = \"muon\"\n\
         learning_rate = 4e-3\nschedule.warmup_steps = 5\ndropout = 0.1\nevaluate.every = 10\nevaluate.items = 8\n\
         checkpoint_seconds = 0.0\nkeep_checkpoints = 3\n"
    );
    fs::write(small.path("small.toml"), text).unwrap();
}

#[test]
fn the_same_bytes_on_one_thread_or_two_killed_and_resumed() {
    let small = Small::new(0);
    let mut killed = 0;
    for (name, tokenizer, family, keys) in OBJECTIVES {
        recipe(&small, [name, tokenizer, family, keys]);
        let (a, b) = (&format!("{name}-A"), &format!("{name}-B"));
        good(&small.command("corpus", a, &["--threads", "2"]).output().unwrap());
        good(&small.command("corpus", b, &["--threads", "1"]).output().unwrap());
        same(&small.path(a), &small.path(b), "corpus");
        good(&small.command("pretrain", a, &["--threads", "2"]).output().unwrap());
        let hit = small.kill("pretrain", b);
        let told = good(&small.command("pretrain", b, &["--threads", "1"]).output().unwrap());
        if hit {
            assert!(told.contains("going on from step"), "{name}: {told}");
            killed += 1;
        }
        same(&small.path(a), &small.path(b), "pretrain");

        let text = fs::read_to_string(small.path(a).join("pretrain/summary.json")).unwrap();
        let summary: Value = serde_json::from_str(&text).unwrap();
        let number = |path: &str| {
            summary
                .pointer(path)
                .and_then(Value::as_f64)
                .unwrap_or_else(|| panic!("{name}: no {path} in {text}"))
        };
        // Some rows are short, and whole words and spans stop before the budget: a little less than 15 %.
        let rate = number("/masking/rate");
        assert!((0.1..0.19).contains(&rate), "{name}: {rate}");
        assert!(number("/heldout_loss") > 0.0 && number("/baseline/bigram_loss") > 0.0);
        if name == "bert" {
            assert_eq!(number("/masking/whole_words"), 1.0);
        }
        if ["bert", "albert"].contains(&name) {
            assert!(
                number("/baseline/pairs_majority") >= 0.5
                    && number("/heldout_pairs_accuracy") > 0.0
            );
        }
        if name == "electra" {
            assert!(number("/baseline/majority") >= 0.5 && number("/heldout_accuracy") > 0.0);
            assert!(small.path(a).join("pretrain/generator/model.safetensors").exists());
        }
    }
    assert!(killed >= OBJECTIVES.len() / 2, "{killed} were killed in time");
}

/// Keys that do not go together are an error that names the key, before any work.
#[test]
fn keys_that_do_not_go_together_are_an_error() {
    let small = Small::new(0);
    for (tokenizer, family, keys, says) in [
        ("byte_bpe", "llama", "objective = \"masked_lm\"", "has no head of the kind"),
        ("unigram", "bert", "objective = \"maskedlm\"", "did you mean \"masked_lm\""),
        (
            "wordpiece",
            "bert",
            "masked_lm.masking.rate = 1.5",
            "`rate` in [pretrain.masked_lm.masking]",
        ),
        ("wordpiece", "bert", "masked_lm.masking.mask_share = 0.95", "together with mask_share"),
        (
            "wordpiece",
            "bert",
            "objective = \"masked_lm\"\nshort_rows.context = 32",
            "it must be 5 to 31",
        ),
        (
            "unigram",
            "xlnet",
            "objective = \"permutation_lm\"\nshort_rows.context = 8",
            "leave it out",
        ),
        ("wordpeice", "bert", "objective = \"masked_lm\"", "did you mean \"wordpiece\""),
    ] {
        recipe(&small, ["bad", tokenizer, family, keys]);
        let run = |stage| small.command(stage, "bad", &["--force"]).output().unwrap();
        let corpus = run("corpus");
        let output = if corpus.status.success() { run("pretrain") } else { corpus };
        let told = small::stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(says), "{told}");
    }
}
