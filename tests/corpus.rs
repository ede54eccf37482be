//! Many odd video files through the whole program, checked with FFmpeg's tools and not with our own reader.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::path::Path;
use std::process::Command;

use common::{run, sample};

#[test]
fn odd_files_come_out_right() {
    // The script makes its files from the sample clip.
    sample();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/corpus.py");
    let output = run(Command::new("python3").arg(script).args(["--meshreel", env!("CARGO_BIN_EXE_meshreel")]));
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong: Vec<&str> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(output.status.success(), "{}\n{}", wrong.join("\n"), String::from_utf8_lossy(&output.stderr));
}
