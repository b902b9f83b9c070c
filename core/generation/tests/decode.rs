//! Decoding with a cache equals whole forward passes; rows do not disturb each other.

use athanor_generation::{Beams, Finish, Sampling, beam_search, generate};
use athanor_models::{Head, Input, Model, Pass, Shape, families};
use athanor_tensor::{Device, Graph};

/// A family's model; `windowed` is Mistral's: llama with a sliding window.
fn model(name: &str) -> Model {
    let family = if name == "windowed" { "llama" } else { name };
    let shape = Shape {
        layers: 2,
        kv_heads: if family == "gpt2" { 4 } else { 2 },
        qk_norm: name == "llama",
        sliding_window: (family != "gpt2" && name != "llama").then_some(6),
        ..Shape::default()
    };
    let mut model =
        Model::new(families::by_name(family).unwrap(), &shape, Head::CAUSAL_LM, 5, Device::Cpu)
            .unwrap();
    // Larger weights make the distributions far from uniform.
    for p in model.params.iter_mut().filter(|p| p.value.shape().len() == 2) {
        athanor_tensor::ops::scale_in_place(&mut p.value, 8.0);
    }
    model
}

/// Log-probabilities of the tokens of `text` after the first `from`, by one whole forward pass.
fn whole(model: &Model, text: &[u32], from: usize) -> (Vec<f32>, Vec<u32>) {
    let ids = text.iter().map(|&t| t as i32).collect();
    let input = Input::causal(Device::Cpu, ids, 1, text.len());
    let graph = Graph::inference(&model.params);
    let hidden = model.hidden(&mut Pass::new(&graph, &input));
    let logits = model.logits(&graph, &hidden).value().to_vec();
    let rows = logits.chunks(model.sizes().vocabulary);
    let mut log_probs = Vec::new();
    let mut best = Vec::new();
    for (row, &next) in rows.zip(&text[1..]).skip(from - 1) {
        let top = row.iter().fold(f32::MIN, |m, v| m.max(*v));
        let lse = top + row.iter().map(|v| (v - top).exp()).sum::<f32>().ln();
        log_probs.push(row[next as usize] - lse);
        best.push((0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32);
    }
    (log_probs, best)
}

#[test]
fn cache_equals_whole_forward() {
    for family in ["gpt2", "llama", "windowed", "gemma3"] {
        let model = model(family);
        let prompts: Vec<Vec<u32>> =
            vec![vec![5, 9, 2], vec![7], (0..20).collect(), vec![1, 2, 3, 4, 5, 6, 7]];
        for temperature in [0.0, 1.0] {
            let sampling = Sampling { temperature, max_new_tokens: 25, ..Sampling::default() };
            let written = generate(&model, &prompts, &[11, 13], &sampling, 3).unwrap();
            for (prompt, out) in prompts.iter().zip(&written) {
                let text: Vec<u32> = prompt.iter().chain(&out.tokens).copied().collect();
                let (log_probs, best) = whole(&model, &text, prompt.len());
                for ((a, b), (t, best)) in
                    out.log_probs.iter().zip(&log_probs).zip(out.tokens.iter().zip(best))
                {
                    assert!((a - b).abs() < 2e-4, "{family}: {a} {b}");
                    assert!(
                        temperature > 0.0 || *t == best,
                        "{family}: greedy takes the likeliest"
                    );
                }
                let stopped = out.tokens.last().is_some_and(|t| [11, 13].contains(t));
                assert_eq!(out.finish == Finish::Stop, stopped);
                assert!(stopped || out.tokens.len() == 25);
                assert!(!out.tokens[..out.tokens.len() - 1].iter().any(|t| [11, 13].contains(t)));
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let model = model("llama");
    let sampling = Sampling { max_new_tokens: 12, ..Sampling::default() };
    let first = vec![4, 4, 8];
    let alone = generate(&model, std::slice::from_ref(&first), &[], &sampling, 9).unwrap();
    let among = generate(&model, &[first, vec![1; 30], vec![2]], &[], &sampling, 9).unwrap();
    assert_eq!(alone[0].tokens, among[0].tokens);
}

/// Steps with int8 weights are those of a whole pass with them, whatever the batch, and near those with f32.
#[test]
fn int8_weights_write_alike_in_any_batch() {
    for family in ["gpt2", "llama", "gemma3"] {
        let (exact, mut rounded) = (model(family), model(family));
        rounded.quantise().unwrap();
        let first = vec![4, 4, 8];
        let prompts: Vec<Vec<u32>> =
            (0..7).map(|i| vec![i, 3 * i, 9]).chain([first.clone()]).collect();
        let sampling = Sampling { max_new_tokens: 12, ..Sampling::default() };
        let many = generate(&rounded, &prompts, &[], &sampling, 9).unwrap();
        let greedy = Sampling { temperature: 0.0, ..sampling.clone() };
        let among = generate(&rounded, &prompts, &[], &greedy, 9).unwrap();
        let alone = generate(&rounded, std::slice::from_ref(&first), &[], &greedy, 9).unwrap();
        assert_eq!(alone[0].tokens, among[7].tokens, "{family}");
        assert_eq!(alone[0].log_probs, among[7].log_probs, "{family}");
        for (prompt, out) in prompts.iter().zip(&many) {
            let text: Vec<u32> = prompt.iter().chain(&out.tokens).copied().collect();
            let same = whole(&rounded, &text, prompt.len()).0;
            let near = whole(&exact, &text, prompt.len()).0;
            for ((got, same), near) in out.log_probs.iter().zip(same).zip(near) {
                // The cache rounds keys and values to bf16, and the model's weights are made large above.
                assert!((got - same).abs() < 0.25, "{family}: {got} {same}");
                assert!((got - near).abs() < 0.5, "{family}: {got} {near}");
            }
        }
    }
}

#[test]
fn int8_weights_take_less_memory_and_are_for_models_that_write() {
    let mut model = model("llama");
    model.quantise().unwrap();
    for (i, p) in model.params.iter().enumerate() {
        let stays = p.value.shape().len() < 2 || model.is_embedding(i);
        assert_eq!(p.value.has_values(), stays, "{}", p.name);
        assert_eq!(p.value.device(), Device::Cpu, "{}", p.name);
    }
    let shape = Shape { ..Shape::default() };
    let family = families::by_name("bert").unwrap();
    let mut reader = Model::new(family, &shape, Head::MASKED_LM, 5, Device::Cpu).unwrap();
    let error = reader.quantise().unwrap_err();
    assert!(
        error.exit_code() == 2 && error.to_string().contains("for models that write"),
        "{error}"
    );
}

#[test]
fn the_context_bounds_a_row_and_bad_prompts_are_refused() {
    let model = model("gpt2");
    let sampling = Sampling { max_new_tokens: 1000, ..Sampling::default() };
    let out = generate(&model, &[vec![1; 40]], &[], &sampling, 1).unwrap();
    assert_eq!(out[0].tokens.len(), 8);
    for bad in [vec![], vec![1; 48], vec![61]] {
        let error = generate(&model, &[bad], &[], &sampling, 1).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
}

/// tests/fixtures/make_generation.py has what transformers finds.
#[test]
fn beam_search_equals_transformers() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let data: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("generation.json")).unwrap())
            .unwrap();
    let ids = |v: &serde_json::Value| -> Vec<u32> {
        v.as_array().unwrap().iter().map(|t| t.as_u64().unwrap() as u32).collect()
    };
    for case in data["beams"].as_array().unwrap() {
        let name = case["model"].as_str().unwrap();
        let model = Model::load(&root.join("hf").join(name), Device::Cpu).unwrap();
        let settings = &case["settings"];
        let number = |key: &str| settings[key].as_f64().unwrap_or(1.0);
        let sampling = Sampling {
            max_new_tokens: number("max_new_tokens") as usize,
            repetition_penalty: number("repetition_penalty"),
            ..Sampling::default()
        };
        let beams =
            Beams { beams: number("num_beams") as usize, length_penalty: number("length_penalty") };
        let (prompt, stops) = (ids(&case["prompt"]), ids(&case["stops"]));
        let found = beam_search(&model, &prompt, &stops, &sampling, &beams, &|| false).unwrap();
        let want: Vec<Vec<u32>> = case["texts"].as_array().unwrap().iter().map(ids).collect();
        let got: Vec<Vec<u32>> = found.iter().map(|c| c.tokens.clone()).collect();
        assert_eq!(got, want, "{name} {settings}");
        // The log-probabilities are those of a whole forward pass.
        let text: Vec<u32> = prompt.iter().chain(&found[0].tokens).copied().collect();
        for (a, b) in found[0].log_probs.iter().zip(whole(&model, &text, prompt.len()).0) {
            assert!((a - b).abs() < 2e-4, "{name}: {a} {b}");
        }
    }
}
