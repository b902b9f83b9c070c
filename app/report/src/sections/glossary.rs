//! Every figure of the report in one line.

use super::{Section, view};

pub const SECTION: Section = Section {
    id: "glossary",
    title: "Glossary",
    template: include_str!("../../templates/glossary.html"),
    view: |_| Some(view! { words => WORDS }),
    key: None,
};

const WORDS: &[(&str, &str)] = &[
    (
        "loss",
        "mean negative log-probability of the right token, in nats (natural logarithm); lower is better.",
    ),
    ("held-out", "measured on documents that no stage trains on, chosen by a hash of their text."),
    (
        "bits per byte",
        "loss in bits, summed over the text and divided by its bytes in UTF-8: comparable between tokenizers; lower is better.",
    ),
    (
        "bytes per token",
        "how much text one token stands for, on average; higher means shorter sequences.",
    ),
    (
        "gradient norm",
        "Euclidean norm of all gradients together, before clipping; spikes announce trouble.",
    ),
    ("learning rate", "the size of the optimiser's step, after warm-up and decay."),
    (
        "held-out accuracy",
        "share of held-out pairs in which the reward model scores the text that people preferred higher; 50 % is chance.",
    ),
    (
        "TF-IDF baseline",
        "logistic regression on word frequencies, trained on the same pairs: what can be known without a language model.",
    ),
    ("calibration", "of the pairs that the model calls 80 % sure, are 80 % right?"),
    (
        "ECE",
        "expected calibration error: mean distance between predicted and observed, weighted by pairs (Guo et al. 2017); 0 is perfect.",
    ),
    ("reward", "mean score of what the policy writes."),
    (
        "KL",
        "Kullback-Leibler divergence of the policy from the reference model over a whole text, in nats: how far it has moved.",
    ),
    (
        "reward against KL",
        "how much reward each nat of distance bought; a curve that goes right without going up is being over-optimised.",
    ),
    (
        "entropy",
        "mean entropy of the next-token distribution, in nats; a fall to 0 means that the policy always writes the same.",
    ),
    (
        "clip fraction",
        "share of tokens whose probability ratio left PPO's trust interval (Schulman et al. 2017, eq. 7).",
    ),
    (
        "explained variance",
        "1 − Var(return − value) / Var(return): 1 is a perfect value function, 0 is no better than the mean.",
    ),
    (
        "distinct-2",
        "different pairs of neighbouring tokens divided by all of them; a fall means repetition (Li et al. 2016).",
    ),
    (
        "log-probability gap",
        "difference between a token's log-probability when it was written and when training computes it again; should be near 0.",
    ),
    (
        "fingerprint",
        "hash of a stage's settings and of what it was made from; a stage with the same fingerprint is not done again.",
    ),
];
