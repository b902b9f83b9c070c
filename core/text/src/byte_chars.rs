//! Bytes as printable characters, as byte-level BPE writes them into tokenizer.json.

/// The bytes in the order of GPT-2's byte characters: printable ones first.
pub(crate) static BYTE_ORDER: [u8; 256] = {
    let mut order = [0u8; 256];
    let mut n = 0;
    let mut pass = 0;
    while pass < 2 {
        let mut b = 0usize;
        while b < 256 {
            let printable = matches!(b as u8, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            if printable == (pass == 0) {
                order[n] = b as u8;
                n += 1;
            }
            b += 1;
        }
        pass += 1;
    }
    order
};

/// GPT-2's printable character for each byte (`bytes_to_unicode` in its encoder.py).
pub(crate) fn byte_chars() -> [char; 256] {
    let mut chars = ['\0'; 256];
    for (i, &b) in BYTE_ORDER.iter().enumerate() {
        chars[b as usize] = if i < 188 {
            char::from(b)
        } else {
            char::from_u32(256 + (i as u32 - 188)).unwrap_or('\0')
        };
    }
    chars
}
