//! A run folder with plausible figures, for tests and for looking at the page.

use std::{fmt::Write as _, fs, path::Path};

use athanor_store::{
    Figure,
    figures::{
        BITS_PER_BYTE, CLIP_FRACTION, CalibrationRow, CorpusSummary, ENTROPY, EVAL,
        EXPLAINED_VARIANCE, FinetuneSummary, GRAD_NORM, GapRow, KL, LEARNING_RATE, LOSS,
        MetricsRow, POLICY_LOSS, PretrainSummary, REWARD, ReinforceSummary, RewardSummary, SPEED,
        TRAIN, TaskFigure, Training, VALUE_LOSS,
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What an attacker would write.
pub const ATTACK: &str =
    "<script>alert(1)</script><img src=\"https://evil.example/x.png\" onerror=alert(2)>";

fn noise(i: u64) -> f64 {
    let mut z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
}

fn put(dir: &Path, name: &str, value: &impl Serialize) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(name), json!(value).to_string()).unwrap();
}

fn put_lines(dir: &Path, name: &str, rows: &[impl Serialize]) {
    let mut text = String::new();
    rows.iter().for_each(|row| writeln!(text, "{}", json!(row)).unwrap());
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(name), text).unwrap();
}

fn done(dir: &Path, seconds: f64) {
    let files =
        json!({ "summary.json": "3f".repeat(32), "model/model.safetensors": "a7".repeat(32) });
    let fingerprint =
        json!({ "seed": 1234, "section": {}, "inputs": { "corpus": "0c".repeat(32) } });
    put(
        dir,
        "done.json",
        &json!({ "fingerprint": fingerprint, "seconds": seconds, "files": files }),
    );
}

fn row<const N: usize>(
    kind: &str,
    step: u64,
    seconds: f64,
    figures: [(&Figure, f64); N],
) -> MetricsRow {
    MetricsRow {
        kind: kind.into(),
        step: Some(step),
        seconds: Some(seconds),
        figures: figures.iter().map(|(figure, x)| (figure.name.to_owned(), json!(x))).collect(),
    }
}

/// What every stage that trains says of its work.
fn work(seconds: f64, parameters: u64, tokens: u64) -> Training {
    Training { seconds: Some(seconds), parameters: Some(parameters), tokens: Some(tokens) }
}

/// Fields of another version.
fn others(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn training(steps: u64, from: f64, to: f64, seconds: f64) -> Vec<MetricsRow> {
    let mut rows = Vec::new();
    for step in 1..=steps {
        let share = step as f64 / steps as f64;
        let loss = to + (from - to) * (-7.0 * share).exp() + 0.18 * noise(step);
        let warm = (step as f64 / 60.0).min(1.0);
        let lr = 6e-4 * warm * (0.1 + 0.9 * 0.5 * (1.0 + (std::f64::consts::PI * share).cos()));
        let norm = if step == steps / 3 {
            41.0
        } else {
            0.7 + 3.0 * (-20.0 * share).exp() + 0.3 * noise(step + 7).abs()
        };
        let loss = if step == steps / 2 { f64::NAN } else { loss };
        let speed = 21_400.0 + 900.0 * noise(step + 99);
        let figures = [(&LOSS, loss), (&LEARNING_RATE, lr), (&GRAD_NORM, norm), (&SPEED, speed)];
        rows.push(row(TRAIN, step, seconds * share, figures));
        if step % (steps / 12) == 0 {
            let heldout = to + 0.06 + (from - to) * (-7.0 * share).exp();
            let figures = [(&LOSS, heldout), (&BITS_PER_BYTE, heldout / 2.77)];
            rows.push(row(EVAL, step, seconds * share, figures));
        }
    }
    rows
}

const PROMPTS: [&str; 3] =
    ["The old lighthouse", "春天的早晨，", "Q: What is the capital of France?\nA:"];

fn samples(stage: &str, step: u64, texts: [&str; 3], rewards: Option<[f64; 3]>) -> Vec<Value> {
    let rows = PROMPTS.iter().zip(texts).enumerate().map(|(i, (prompt, text))| {
        let mut row = json!({"step":step,"stage":stage,"prompt":prompt,"text":text});
        if let Some(rewards) = rewards {
            row["reward"] = json!(rewards[i]);
        }
        row
    });
    rows.collect()
}

fn corpus(run: &Path) {
    let dir = run.join("corpus");
    let step = |name: &str,
                n: [u64; 2],
                b: [u64; 2],
                dropped: Value,
                changed: u64,
                examples: Value| {
        json!({"name":name,"parameters":{"threshold":0.8},"documents_in":n[0],"documents_out":n[1],"bytes_in":b[0],
            "bytes_out":b[1],"dropped":dropped,"changed":changed,"examples":examples})
    };
    let account = json!({
        "sources":[
            {"name":"web","path":"data/web.jsonl.gz","licence":"CC0-1.0","documents":41_200,"bytes":182_400_000u64,"kept_documents":29_831,"kept_bytes":121_300_000u64,"heldout_documents":301,"tokens":29_400_000u64},
            {"name":"维基百科","path":"data/zhwiki.jsonl.gz","licence":"CC BY-SA 4.0","documents":12_010,"bytes":61_020_000u64,"kept_documents":11_702,"kept_bytes":59_800_000u64,"heldout_documents":118,"tokens":16_120_000u64},
            {"name":"books","path":"data/books.jsonl.gz","licence":"public domain","documents":212,"bytes":88_100_000u64,"kept_documents":209,"kept_bytes":87_700_000u64,"heldout_documents":2,"tokens":20_950_000u64}],
        "steps":[
            step("normalise",[53_422,53_422],[331_520_000,329_700_000],json!({}),18_211,json!([])),
            step("language",[53_422,50_100],[329_700_000,316_000_000],json!({"not English or Chinese":3_002,"undecided":320}),0,
                json!([{"reason":"not English or Chinese","source":"web","id":"web:1841","text":"Dies ist ein deutscher Text über Leuchttürme."}])),
            step("quality",[50_100,45_480],[316_000_000,291_200_000],json!({"too many symbols":2_100,"too short":1_903,"repeated lines":617}),0,
                json!([{"reason":"too many symbols","source":"web","id":"web:77","text":ATTACK},{"reason":"too short","source":"web","id":"web:80","text":"点击这里"}])),
            step("deduplicate",[45_480,41_742],[291_200_000,268_800_000],json!({"near duplicate":3_738}),0,
                json!([{"reason":"near duplicate","source":"books","id":"books:12","text":"It was the best of times, it was the worst of times, it was the age of wisdom…"}]))],
        "lengths":{"edges":[0,32,64,128,256,512,1024,2048,4096,8192],"counts":[812,2_204,5_811,9_920,10_402,6_890,3_410,1_502,560,231]},
        "tokens":{"train":65_800_000u64,"heldout":672_000},"bytes_per_token":4.04,"vocab_size":16_384});
    put(&dir, "account.json", &account);
    put(
        &dir,
        "summary.json",
        &CorpusSummary {
            seconds: Some(81.4),
            tokens: Some(66_472_000),
            others: others(json!({ "tokenizer": { "merges": 16_127 } })),
            ..CorpusSummary::default()
        },
    );
    done(&dir, 81.4);
}

fn reward(run: &Path) {
    let dir = run.join("reward");
    put_lines(&dir, "metrics.jsonl", &training(240, 0.72, 0.55, 95.0));
    let gap = |from: f64, to: Option<f64>, pairs: u64, a: f64, t: f64| GapRow {
        from: Some(from),
        to,
        pairs: Some(pairs),
        accuracy: Some(a),
        tfidf: Some(t),
    };
    let by_gap = vec![
        gap(0.0, Some(0.5), 410, 0.571, 0.541),
        gap(0.5, Some(1.0), 388, 0.674, 0.602),
        gap(1.0, Some(2.0), 301, 0.781, 0.668),
        gap(2.0, None, 133, 0.895, 0.752),
    ];
    let point = |(p, o, n): (f64, f64, u64)| CalibrationRow {
        predicted: Some(p),
        observed: Some(o),
        pairs: Some(n),
    };
    let calibration = [
        (0.53, 0.52, 380),
        (0.61, 0.58, 320),
        (0.70, 0.67, 260),
        (0.80, 0.81, 170),
        (0.91, 0.86, 102),
    ];
    put(
        &dir,
        "summary.json",
        &RewardSummary {
            training: work(96.2, 12_700_000, 1_900_000),
            texts_train: Some(11_080),
            pairs_heldout: Some(1_232),
            heldout_accuracy: Some(0.703),
            tfidf_accuracy: Some(0.622),
            by_gap,
            calibration: calibration.map(point).to_vec(),
            ece: Some(0.0312),
            others: others(json!({ "length_bias": 0.11 })),
            ..RewardSummary::default()
        },
    );
    done(&dir, 96.2);
}

fn reinforce(run: &Path) {
    let dir = run.join("reinforce");
    let rows = (0..60).map(|i: u64| {
        let x = i as f64 / 60.0;
        let n = |k: u64| noise(i * 31 + k);
        let figures = [
            (&REWARD, -0.21 + 1.3 * (1.0 - (-3.0 * x).exp()) + 0.12 * n(1)),
            (&KL, 0.02 + 6.4 * x.powf(1.3) + 0.3 * n(2).abs()),
            (&ENTROPY, 3.1 - 1.2 * x + 0.1 * n(3)),
            (&CLIP_FRACTION, 0.04 + 0.09 * x + 0.03 * n(4).abs()),
            (&VALUE_LOSS, 0.4 * (-4.0 * x).exp() + 0.05),
            (&POLICY_LOSS, -0.02 + 0.01 * n(5)),
            (&EXPLAINED_VARIANCE, 0.8 * (1.0 - (-5.0 * x).exp()) + 0.05 * n(6)),
        ];
        row(TRAIN, i, 7.0 * i as f64, figures)
    });
    let rows: Vec<MetricsRow> = rows.collect();
    put_lines(&dir, "metrics.jsonl", &rows);
    let mut all = samples("reinforce", 0, TUNED, Some([-0.31, 0.02, -0.18]));
    all.extend(samples("reinforce", 60, [
        "The old lighthouse stood above a quiet harbour, and every evening its keeper lit the lamp with care.",
        "春天的早晨，阳光落在窗前，院子里的桃花一夜之间都开了，空气里有泥土的清香。", "The capital of France is Paris."],
        Some([1.12, 0.94, 1.31])));
    put_lines(&dir, "samples.jsonl", &all);
    put(
        &dir,
        "summary.json",
        &ReinforceSummary {
            training: work(421.0, 12_600_000, 2_950_000),
            reward_before: Some(-0.214),
            reward_std_before: Some(0.61),
            reward_after: Some(1.052),
            reward_std_after: Some(0.44),
            kl: Some(6.31),
            distinct2_before: Some(0.871),
            distinct2_after: Some(0.803),
            logprob_gap_max: Some(3.1e-5),
            logprob_gap_mean: Some(1.2e-6),
            ..ReinforceSummary::default()
        },
    );
    done(&dir, 421.0);
}

const TUNED: [&str; 3] = [
    "The old lighthouse is a lighthouse on the coast. It is very old. It is very old and it is a lighthouse.",
    "春天的早晨，天气很好，人们去公园散步。",
    "A: Paris is the capital city of the country of France",
];

/// Writes the whole run.
pub fn write(run: &Path) {
    fs::create_dir_all(run).unwrap();
    let recipe = "# made by athanor\nname = \"furnace, small\"\nseed = 1234\n\n[corpus]\nvocab_size = 16384\n\n[pretrain]\nsteps = 1200\nfamily = \"gpt\"\n\n[finetune]\nsteps = 400\n\n[reward]\n[reinforce]\nalgorithm = \"ppo\" # a < b\n";
    fs::write(run.join("recipe.toml"), recipe).unwrap();
    put(
        run,
        "manifest.json",
        &json!({"athanor":"0.1.0","os":"linux","arch":"x86_64","cpu":"Intel Xeon Platinum 8480+","cores":2,
        "seed":1234,"started":1_773_500_940,"stages":{"pretrain":{"hash":"9b".repeat(32),"seconds":612.5}}}),
    );
    corpus(run);
    let dir = run.join("pretrain");
    put_lines(&dir, "metrics.jsonl", &training(1200, 9.7, 3.21, 612.5));
    let early = ["the the of , lighthouse ands", "的，，是了 的 �", ATTACK];
    let mut all = samples("pretrain", 100, early, None);
    let late = [
        "The old lighthouse was built in 1852, and was the first of the two lighthouses of the county to be built in the town of St.",
        "春天的早晨，他在山上看见一座寺庙。据《明史》记载，该寺建于洪武年间。",
        "Q: What is the capital of France?\nA: Q: What is the capital of the United States?",
    ];
    all.extend(samples("pretrain", 1200, late, None));
    put_lines(&dir, "samples.jsonl", &all);
    put(
        &dir,
        "summary.json",
        &PretrainSummary {
            training: work(612.5, 12_600_000, 13_107_200),
            heldout_loss: Some(3.274),
            heldout_bits_per_byte: Some(1.182),
            baseline: Some(others(json!({ "unigram_loss": 7.412, "bigram_loss": 5.203 }))),
            others: others(json!({ "family": "gpt", "note": ATTACK })),
            ..PretrainSummary::default()
        },
    );
    fs::create_dir_all(dir.join("checkpoints/step-00001200")).unwrap();
    done(&dir, 612.5);
    let dir = run.join("finetune");
    put_lines(&dir, "metrics.jsonl", &training(400, 3.9, 2.41, 210.0));
    put_lines(&dir, "samples.jsonl", &samples("finetune", 400, TUNED, None));
    let task = |name: &str, metric: &str, value: f64, n: u64| TaskFigure {
        name: name.into(),
        metric: metric.into(),
        value: Some(value),
        n,
        ..TaskFigure::default()
    };
    put(
        &dir,
        "summary.json",
        &FinetuneSummary {
            training: work(210.3, 12_600_000, 3_276_800),
            heldout_loss: Some(2.466),
            tasks: vec![
                task("情感分类", "accuracy", 0.874, 1_200),
                task("sts-b", "Spearman", 0.712, 1_500),
                task("ner", "F1", 0.803, 640),
            ],
            ..FinetuneSummary::default()
        },
    );
    done(&dir, 210.3);
    reward(run);
    reinforce(run);
}
