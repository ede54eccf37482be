//! The shape of the source: modules build on each other without circles, and no file grows too long.
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines that a file may have, its tests apart.
const LONGEST: usize = 600;

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(files.len() > 50);
    files.sort();
    files
}

/// The text before the tests of a file.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

/// Which top-level modules each one names in its code.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let name = |path: &Path| path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
    let files: Vec<_> =
        sources().into_iter().filter(|(path, _)| !["lib.rs", "main.rs"].contains(&path.to_str().unwrap())).collect();
    let modules: BTreeSet<String> = files.iter().map(|(path, _)| name(path)).collect();
    let mut uses: BTreeMap<String, BTreeSet<String>> =
        modules.iter().map(|module| (module.clone(), BTreeSet::new())).collect();
    for (path, text) in &files {
        let own = name(path);
        let code = without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for (at, _) in line.match_indices("crate::") {
                let used: String =
                    line[at + "crate::".len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if modules.contains(&used) && used != own {
                    uses.get_mut(&own).unwrap().insert(used);
                }
            }
        }
    }
    uses
}

#[test]
fn modules_build_on_each_other_without_circles() {
    let mut left = uses();
    // Whoever uses only what is known to be without circles is so, too.
    while let Some(module) =
        left.iter().find(|(_, used)| used.iter().all(|used| !left.contains_key(used))).map(|(m, _)| m.clone())
    {
        left.remove(&module);
    }
    // Those that only use what is in a circle are in none.
    while let Some(module) = left.keys().find(|m| !left.values().any(|used| used.contains(*m))).cloned() {
        left.remove(&module);
    }
    for used in left.clone().into_values().flatten() {
        if !left.contains_key(&used) {
            for all in left.values_mut() {
                all.remove(&used);
            }
        }
    }
    assert!(left.is_empty(), "modules that need each other: {left:#?}");
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let long: Vec<String> = sources()
        .iter()
        .map(|(path, text)| (path, without_tests(text).lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST} lines: {long:?}");
}
