//! The table of figures in docs/contracts.md is the declarations'. `ATHANOR_WRITE_DOCS=1 cargo test -p athanor-store
//! --test figures` writes it anew.
#![allow(missing_docs)]

use std::{fs, path::Path};

use athanor_store::figures;

const BEGIN: &str = "<!-- figures: core/store/src/figures.rs -->\n";
const END: &str = "<!-- end of figures -->\n";

#[test]
fn the_contracts_list_the_figures() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contracts.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (found, after) = rest.split_once(END).expect("the table's end");
    let table = figures::table();
    if std::env::var_os("ATHANOR_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, table, "ATHANOR_WRITE_DOCS=1 writes the table anew");
}

#[test]
fn names_are_different_and_meanings_are_sentences() {
    for (i, figure) in figures::ALL.iter().enumerate() {
        assert!(figures::ALL[..i].iter().all(|f| f.name != figure.name), "{}", figure.name);
        assert!(figure.about.ends_with(['.', '?']), "{}", figure.about);
    }
}
