use std::fs;

use super::*;

#[test]
fn the_normal_distribution() {
    for (x, want) in
        [(0.0, 0.5), (1.0, 0.841_344_7), (-1.959_964, 0.025), (3.0, 0.998_650_1), (-8.0, 0.0)]
    {
        assert!((normal_cdf(x) - want).abs() < 2e-7, "{x}");
    }
}

/// All texts of a source of lines.
fn read(lines: &str, keys: &str) -> Result<Vec<JudgedText>> {
    read_split(lines, keys, Shares::default())
}

fn read_split(lines: &str, keys: &str, shares: Shares) -> Result<Vec<JudgedText>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("data.jsonl"), lines).unwrap();
    let text = format!("[source]\ndialogue.path = \"data.jsonl\"\n{keys}");
    let path = dir.path().join("recipe.toml");
    fs::write(&path, text).unwrap();
    let recipe = Recipe::load(&path, &[])?;
    recipe.section::<PreferenceSection>("source")?.read(&recipe, shares)
}

#[test]
fn every_form_becomes_comparisons() {
    let request = "dialogue.user = '{{ q }}'\n";
    let compare = |all: &[JudgedText], a: usize, b: usize| {
        Comparison::new([a, b], [&all[a].judgement, &all[b].judgement])
    };

    let lines = r#"{"q": "问", "a": "x", "ratings": [1, 3]}
{"q": "q", "a": "y", "ratings": [4, 4, 4, 4]}"#;
    let all = read(lines, &format!("{request}dialogue.assistant = '{{{{ a }}}}'")).unwrap();
    assert_eq!((all[0].set.as_str(), all[1].set.as_str()), ("data.jsonl", "data.jsonl"));
    let c = compare(&all, 0, 1);
    assert_eq!((c.better, c.worse, c.gap), (1, 0, 2.0));
    // One rater of each: a gap of 2 over a variance of 2 + 0; the means: over 2 / 2 + 0.
    assert!((c.preference - normal_cdf(2.0f64.sqrt())).abs() < 1e-12, "{c:?}");
    assert!((c.confidence - normal_cdf(2.0)).abs() < 1e-12, "{c:?}");

    let lines = r#"{"q": "one", "chosen": "好", "rejected": "坏", "id": "p"}
{"q": "two", "chosen": "c", "rejected": "d"}"#;
    let all = read(lines, &format!("form = \"pairs\"\n{request}")).unwrap();
    let ids: Vec<&str> = all.iter().map(|j| j.id.as_str()).collect();
    assert_eq!(ids, ["p-0", "p-1", "data.jsonl-1-0", "data.jsonl-1-1"]);
    assert!(all[0].set == all[1].set && all[1].set != all[2].set && all[0].group == all[3].group);
    assert_eq!(all[1].answer(), "坏");
    let c = compare(&all, 1, 0);
    assert_eq!((c.better, c.worse, c.preference, c.confidence), (0, 1, 1.0, 1.0));

    let lines = r#"{"q": "one", "answers": ["a", ["b", "c"], "d"]}"#;
    let all = read(lines, &format!("form = \"rankings\"\n{request}")).unwrap();
    assert_eq!(compare(&all, 1, 2).preference, 0.5);
    let c = compare(&all, 3, 0);
    assert_eq!((c.better, c.worse, c.gap, c.preference), (0, 3, 2.0, 1.0));

    let lines = r#"{"q": "one", "a": "x", "liked": 1}
{"q": "one", "a": "y", "liked": 0}"#;
    let keys = format!(
        "form = \"thumbs\"\nthumbs.up = \"liked > 0\"\n{request}dialogue.assistant = '{{{{ a }}}}'"
    );
    let all = read(lines, &keys).unwrap();
    assert_eq!(all[0].judgement, Judgement::Thumb { up: true });
    assert_eq!(compare(&all, 0, 1).preference, 1.0);
}

#[test]
fn what_is_no_judgement_is_told_with_its_place() {
    let request = "dialogue.user = '{{ q }}'\n";
    for (lines, keys, parts) in [
        (r#"{"q": "a", "ratings": [1]}"#, "", ["data.jsonl:1", "a list of at least two numbers"]),
        (
            r#"{"q": "a", "chosen": "x", "rejected": "x "}"#,
            "form = \"pairs\"\n",
            ["data.jsonl:1", "the chosen answer is the rejected one"],
        ),
        (
            r#"{"q": "a", "answers": ["x", 3]}"#,
            "form = \"rankings\"\n",
            ["data.jsonl:1", "a list of texts was expected"],
        ),
        ("{\"q\": \"a\"}", "form = \"pears\"\n", ["recipe.toml:3", "did you mean \"pairs\"?"]),
        (
            "{\"q\": \"a\"}",
            "form = \"pairs\"\nratings = \"stars\"\n",
            ["recipe.toml:4", "has no meaning for form = \"pairs\""],
        ),
    ] {
        let told = read(lines, &format!("{keys}{request}")).unwrap_err().to_string();
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
}

#[test]
fn the_identity_alone_decides_what_a_text_is_for() {
    let shares = Shares { heldout: 200, validation: 300 };
    let request = "dialogue.user = '{{ q }}'\n";
    let rated: String = (0..60)
        .map(|i| format!("{{\"q\": \"q\", \"a\": \"answer {i}\", \"ratings\": [1, 2]}}\n"))
        .collect();
    let keys =
        format!("{request}dialogue.assistant = '{{{{ a }}}}'\ndialogue.identity = '{{{{ a }}}}'");
    let all = read_split(&rated, &keys, shares).unwrap();
    assert!(all.iter().all(|j| j.split == shares.split(j.answer())));
    // Without `identity` it is the whole conversation, for the validation part too.
    let keys = format!("{request}dialogue.assistant = '{{{{ a }}}}'");
    let all = read_split(&rated, &keys, shares).unwrap();
    assert!(all.iter().all(|j| j.split == shares.split(&format!("q\n{}", j.answer()))));
    for split in [Split::Train, Split::Validation, Split::Heldout] {
        assert!(all.iter().any(|j| j.split == split), "{split}");
    }
    let pairs: String = (0..60)
        .map(|i| format!("{{\"q\": \"{i}\", \"chosen\": \"a{i}\", \"rejected\": \"b{i}\"}}\n"))
        .collect();
    let all = read_split(&pairs, &format!("form = \"pairs\"\n{request}"), shares).unwrap();
    assert!(all.chunks(2).all(|pair| pair[0].split == pair[1].split));
}
