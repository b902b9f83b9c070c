//! A GGUF file: its header, and its import into a folder.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, data).unwrap();
    if athanor_gguf::File::open(&path).is_ok() {
        let folder = dir.path().join("out");
        std::fs::create_dir(&folder).unwrap();
        let _ = athanor_gguf::import(&path, &folder);
    }
});
