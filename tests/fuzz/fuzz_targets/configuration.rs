//! A configuration, or a folder's own `meshreel.toml`: a sentence about what is wrong, never a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use meshreel::config::{Config, Preset};

fuzz_target!(|text: &str| {
    for error in [Config::parse(text, Path::new("a.toml")).err(), Preset::parse(text, Path::new("a.toml")).err()] {
        if let Some(error) = error {
            assert!(error.to_string().starts_with("a.toml:"));
        }
    }
});
