//! Names of dropped files: results stay in their folder under names that file systems take, and terminals show them.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use meshreel::job::OutputNames;
use meshreel::text::printable;

fuzz_target!(|name: &[u8]| {
    if name.contains(&b'/') || name.contains(&0) || name.is_empty() || name == b"." || name == b".." || name.len() > 255 {
        return;
    }
    let (source, folder) = (Path::new("/in").join(OsStr::from_bytes(name)), Path::new("/out"));
    let first = OutputNames::free(&source, folder, "mp4", |_| false);
    let second = OutputNames::free(&source, folder, "mp4", |paths| *paths == first);
    assert_ne!(first, second);
    for path in first.all().into_iter().chain(second.all()) {
        assert_eq!(path.parent(), Some(folder));
        assert!(path.file_name().is_some_and(|name| name.len() <= 255));
        assert!(!printable(&path.to_string_lossy()).chars().any(char::is_control));
    }
});
