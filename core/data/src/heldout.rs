//! Which documents are held out: by their text alone, so that every stage holds out the same ones.

use crate::hash64;

/// Whether a text is held out, where `per_thousand` of a thousand are. White space around the text
/// does not count. In Python, but for the few characters that `str.strip` strips and Unicode does
/// not call white space:
///
/// ```python
/// h = int.from_bytes(hashlib.sha256(text.strip().encode()).digest()[:8], "little")
/// held_out = h % 1000 < per_thousand
/// ```
pub fn heldout(text: &str, per_thousand: u32) -> bool {
    hash64(text.trim().as_bytes()) % 1000 < u64::from(per_thousand)
}

#[cfg(test)]
mod tests {
    use super::heldout;

    #[test]
    fn about_as_many_as_asked_for_and_nested() {
        let texts: Vec<String> = (0..20_000).map(|i| format!("text {i}")).collect();
        let count = |n| texts.iter().filter(|t| heldout(t, n)).count();
        assert_eq!(count(0), 0);
        assert_eq!(count(1000), texts.len());
        assert!((900..1100).contains(&count(50)), "{}", count(50));
        assert!(texts.iter().all(|t| !heldout(t, 10) || heldout(t, 50)));
        assert_eq!(heldout(" 春 \n", 500), heldout("春", 500));
    }
}
