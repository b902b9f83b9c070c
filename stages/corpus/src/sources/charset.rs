//! Bytes of a page as text: the encoding that the server, a byte order mark or the page names, as the
//! WHATWG Encoding standard has it; otherwise UTF-8 if it is that, else the one that chardetng (the
//! detector of Firefox) finds likeliest.

use encoding_rs::{Encoding, UTF_8};

/// Bytes of a page that are searched for `<meta charset>`, as the HTML standard asks.
const PRESCAN_BYTES: usize = 1024;

/// Decodes a page. `named` is the label that the server sent.
pub(super) fn decode(bytes: &[u8], named: Option<&str>) -> String {
    let named = named.and_then(|n| Encoding::for_label(n.trim().as_bytes()));
    // `decode` lets a byte order mark win.
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding.decode(bytes).0.into_owned();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Valid and not plain ASCII: it is UTF-8, whatever else is declared. ISO-2022-JP is ASCII bytes.
        if !text.is_ascii() || !bytes.contains(&0x1B) {
            return text.to_string();
        }
    }
    let encoding = named.or_else(|| meta(bytes)).unwrap_or_else(|| {
        let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Allow);
        detector.feed(bytes, true);
        detector.guess(None, chardetng::Utf8Detection::Allow)
    });
    let encoding = if encoding == encoding_rs::REPLACEMENT { UTF_8 } else { encoding };
    encoding.decode(bytes).0.into_owned()
}

/// The label behind `charset=` in the page's beginning.
fn meta(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = &bytes[..bytes.len().min(PRESCAN_BYTES)].to_ascii_lowercase();
    let at = start.windows(8).position(|w| w == b"charset=")? + 8;
    let label: Vec<u8> = start[at..]
        .iter()
        .copied()
        .skip_while(|b| matches!(b, b'"' | b'\'' | b' '))
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'.'))
        .collect();
    let encoding = Encoding::for_label(&label)?;
    // A page that was read as ASCII so far is not UTF-16.
    let wide = [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&encoding);
    Some(if wide { UTF_8 } else { encoding })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let text = "汉字编码的历史很长，常用的有国标码和大五码。";
        let gbk = encoding_rs::GBK.encode(text).0.into_owned();
        assert_eq!(decode(&gbk, Some("gb2312")), text);
        assert_eq!(decode(&gbk, None), text, "detected");
        let page = [b"<meta charset='gbk'>".to_vec(), gbk].concat();
        assert!(decode(&page, None).ends_with(text));
        assert_eq!(decode("café".as_bytes(), Some("latin1")), "café", "UTF-8 whatever it says");
        assert_eq!(decode(b"caf\xE9 au lait", Some("iso-8859-1")), "café au lait");
    }
}
