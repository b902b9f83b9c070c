//! A chat template: whatever it says, it ends, in bounded memory.
#![no_main]

use athanor_fuzz::bounded;
use athanor_text::{ChatTemplate, Message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(source) = std::str::from_utf8(data) else { return };
    bounded(data.len(), 256 << 20, || {
        let tokens = [("bos_token".to_owned(), "<s>".into())].into_iter().collect();
        let Ok(template) = ChatTemplate::compile(source, tokens) else { return };
        let chat = [Message::system("Be brief."), Message::user("春?"), Message::assistant("a b")];
        let _ = template.render(&chat, true);
    });
});
