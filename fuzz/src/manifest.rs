//! The list of a log's files.

use highwater_persistence::log::Manifest;

/// From this length on, line end included, a line is refused.
const LINE_BYTES_MAX: usize = 1024;

/// A manifest that is read is written so that it reads the same.
pub fn check(input: &[u8]) {
    let Ok(mut manifest) = Manifest::parse(input) else { return };
    // What only pieces of the log have is not written for other files.
    for file in manifest.base.iter_mut().chain(&mut manifest.history) {
        (file.start, file.annotated) = (None, false);
    }
    let written = manifest.to_bytes();
    // Bytes outside of ASCII are written as four, and readers (stock's as well) take lines below 1024 bytes. So names of
    // some 230 such bytes are written in a line that cannot be read, which is wrong.
    if written.split(|byte| *byte == b'\n').any(|line| line.len() + 1 >= LINE_BYTES_MAX) {
        return;
    }
    assert_eq!(Manifest::parse(&written).as_ref(), Ok(&manifest), "{}", written.escape_ascii());
    assert!(manifest.loaded().all(|file| !file.name.contains('/')), "names stay in the folder");
}
