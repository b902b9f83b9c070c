//! Which script a Chinese text is in: simplified or traditional.
//!
//! A character that GB 2312-80 (mainland China) has and Big5 (Taiwan) has not is one of the simplified script, and the other
//! way round: 说 and 說. Which of the two a text has more of decides. Both standards are in encoding_rs, so no table
//! stands here. Where nothing tells (a few characters that both scripts share) the text counts as simplified.

use std::sync::OnceLock;

use encoding_rs::{BIG5, Encoding, GBK};

/// The block of unified ideographs; rarer ones are in neither standard.
const FIRST: u32 = 0x4E00;
const LAST: u32 = 0x9FFF;
/// Ideographs of a text that are looked at.
const LOOKED_AT: usize = 2000;

/// Whether a Chinese text is in traditional script.
pub(crate) fn is_traditional(text: &str) -> bool {
    let sides = sides();
    let of = |c: char| sides.get((c as usize).wrapping_sub(FIRST as usize));
    text.chars().filter_map(of).take(LOOKED_AT).map(|&s| i32::from(s)).sum::<i32>() > 0
}

/// By ideograph: 1 traditional, -1 simplified, 0 both or neither.
fn sides() -> &'static [i8] {
    static SIDES: OnceLock<Vec<i8>> = OnceLock::new();
    SIDES.get_or_init(|| {
        (FIRST..=LAST)
            .filter_map(char::from_u32)
            .map(|c| {
                // The rows of hanzi in each standard; what GBK and the WHATWG's Big5 have beside is left out.
                let mainland =
                    has(GBK, c, |lead, trail| (0xB0..=0xF7).contains(&lead) && trail >= 0xA1);
                let taiwan = has(BIG5, c, |lead, _| (0xA4..=0xF9).contains(&lead));
                i8::from(taiwan) - i8::from(mainland)
            })
            .collect()
    })
}

fn has(encoding: &'static Encoding, c: char, fits: impl Fn(u8, u8) -> bool) -> bool {
    let mut buffer = [0; 4];
    let (bytes, _, unmappable) = encoding.encode(c.encode_utf8(&mut buffer));
    !unmappable && matches!(bytes[..], [lead, trail] if fits(lead, trail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts() {
        assert!(is_traditional("這個國家說漢語") && !is_traditional("这个国家说汉语"));
        assert!(!is_traditional("人山水火") && !is_traditional("plain words"));
        // A quotation does not turn a text.
        assert!(!is_traditional("这本书里引用了《說文》，我们觉得很难读懂"));
    }

    /// Poems in traditional script and reviews in simplified one.
    #[test]
    fn real_texts() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/zh.jsonl.gz");
        let (mut poems, mut reviews) = ((0, 0), (0, 0));
        for record in athanor_data::records::open(file).unwrap() {
            let record = record.unwrap();
            let text = record.text("text").unwrap();
            let counts =
                if record.text("kind").unwrap() == "poem" { &mut poems } else { &mut reviews };
            counts.0 += 1;
            counts.1 += u32::from(is_traditional(text));
        }
        assert!(poems.1 * 100 >= poems.0 * 98, "{poems:?}");
        assert!(reviews.1 * 100 <= reviews.0 * 2, "{reviews:?}");
    }
}
