use std::io::Write;

use super::*;

fn read(name: &str, columns: &[&str], text: &str) -> Result<Vec<(Record, String)>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
    let at = dir.path().display().to_string();
    (by_ending(&path)?.open)(&path, &columns)?
        .map(|r| r.map(|(record, place)| (record, place.replace(&at, "")[1..].to_owned())))
        .collect()
}

fn list(record: &Record, name: &str) -> String {
    let all = record.field(name).unwrap().as_array().unwrap();
    all.iter().map(|v| v.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn tables_have_named_columns() {
    let quoted = "\u{FEFF}sentence,label\n\"a \"\"b\"\"\nc\",1\nd,0\n";
    let rows = read("a.csv", &[], quoted).unwrap();
    assert_eq!(rows[0].0.text("sentence").unwrap(), "a \"b\"\nc");
    assert_eq!(rows[1].1, "a.csv:4");
    // GLUE's quotes are letters like others.
    let rows = read("a.tsv", &[], "sentence\tlabel\n\"a\t1\nb\"\t0\n").unwrap();
    assert_eq!(rows[0].0.text("sentence").unwrap(), "\"a");
    let rows = read("cola.tsv", &["source", "label", "mark", "text"], "gj04\t1\t\tOne.\n").unwrap();
    assert_eq!((rows.len(), rows[0].0.text("text").unwrap()), (1, "One."));
    let error = read("a.tsv", &[], "a\tb\n1\t2\n3\n").unwrap_err().to_string();
    assert!(error.contains("a.tsv:3: 1 columns, 2 were expected"), "{error}");
}

#[test]
fn conll_has_sentences() {
    let text = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n# NN B-NP O\n";
    let rows = read("eng.conll", &[], text).unwrap();
    assert_eq!((rows.len(), rows[0].1.as_str()), (2, "eng.conll:3"));
    assert_eq!(list(&rows[0].0, "words"), "EU rejects");
    assert_eq!(list(&rows[0].0, "labels"), "B-ORG O");
    assert_eq!(list(&rows[1].0, "words"), "#");
    let text = "# text = Dogs run\n1\tDogs\tdog\tNOUN\n2\trun\trun\tVERB\n";
    let columns = ["id", "word", "lemma", "label"];
    let rows = read("a.conllu", &columns, text).unwrap();
    assert_eq!(list(&rows[0].0, "words") + &list(&rows[0].0, "labels"), "Dogs runNOUN VERB");
    let error = read("a.conll", &[], "a O\nb O\nc\n").unwrap_err().to_string();
    assert!(error.contains("a.conll:3: 2 columns were expected, found 1 in \"c\""), "{error}");
    let error = read("a.conll", &[], "a\n").unwrap_err().to_string();
    assert!(error.contains("a.conll:1: a word and its label were expected"), "{error}");
    let error = read("a.conll", &["word", "tag"], "a O\n").err().unwrap().to_string();
    assert!(error.contains("must be `word` and `label`"), "{error}");
}

#[test]
fn brown_has_words_with_tags() {
    let text = "# ca01\nThe/at 1/2/cd-tl\n\n\n\tIt/pps ./.\n";
    let rows = read("a.tagged", &[], text).unwrap();
    assert_eq!(list(&rows[0].0, "words"), "The 1/2");
    assert_eq!(list(&rows[1].0, "labels"), "pps .");
    assert_eq!((rows[1].0.text("document").unwrap(), rows[1].1.as_str()), ("ca01", "a.tagged:5"));
    let error = read("a.tagged", &[], "The/at\ncat ./.\n").unwrap_err().to_string();
    assert!(error.contains("a.tagged:2: word/tag was expected, found \"cat\""), "{error}");
}

#[test]
fn the_name_tells_the_form() {
    assert_eq!(by_ending(Path::new("x/train.TSV.gz")).unwrap().name, "tsv");
    let error = by_ending(Path::new("x.txt")).err().unwrap().to_string();
    assert!(error.contains("`format`") && error.contains("conll ("), "{error}");
}
