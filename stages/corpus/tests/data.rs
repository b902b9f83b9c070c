//! The files in data/ are those that data/README.md describes.

use std::path::PathBuf;

#[test]
fn hashes_are_those_of_the_readme() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut checked = 0;
    let mut size = 0;
    for row in readme.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(|c| c.trim().trim_matches('`')).collect();
        let path = folder.join(cells[1]);
        assert_eq!(athanor_store::sha256_file(&path).unwrap(), cells[7], "{}", cells[1]);
        // The demo has no use for tags.
        let embedded = cells[1] != "brown_tagged.txt.gz";
        size += if embedded { path.metadata().unwrap().len() } else { 0 };
        checked += 1;
    }
    assert_eq!(checked, 5);
    assert!(size <= 5_000_000, "{size} bytes are embedded");
    let packed = std::fs::read_dir(&folder).unwrap().flatten();
    let packed = packed.filter(|e| e.path().extension().is_some_and(|e| e == "gz")).count();
    assert_eq!(packed, checked, "a file that the README does not describe");
}
