//! Wikitext: each case of wikitext.txt gives its text.

use athanor_corpus::sources::wikitext::to_text;

#[test]
fn cases_give_their_text() {
    let lines = include_str!("wikitext.txt").lines();
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with("%%"));
    let unescaped = |line: &str| line.replace("\\n", "\n");
    let (mut count, mut wrong) = (0, Vec::new());
    while let (Some(source), Some(text)) = (lines.next(), lines.next()) {
        let text = text.strip_prefix("=> ").unwrap_or_else(|| panic!("no text below {source}"));
        let (found, wanted) = (to_text(&unescaped(source)), unescaped(text));
        count += 1;
        if found != wanted {
            wrong.push(format!("{source}\n  gives {found:?}\n  not   {wanted:?}"));
        }
    }
    assert!(count > 60, "only {count} cases were read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
