//! Paths that are typed: `~`, and as much added as the files there agree on.

use std::path::{Path, PathBuf};

/// The path that is meant: `~/` is the home folder.
pub fn expanded(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => text.into(),
    }
}

/// The text with as much added as all files agree on that begin so.
pub fn completed(text: &str) -> String {
    let path = expanded(text);
    let (folder, begin) = match text.ends_with('/') {
        true => (path.as_path(), String::new()),
        false => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")), name)
        }
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let is_folder = entry.path().is_dir();
            let fits = name.starts_with(&begin) && (!name.starts_with('.') || begin.starts_with('.'));
            fits.then(|| if is_folder { name + "/" } else { name })
        })
        .collect();
    names.sort();
    let Some(first) = names.first() else { return text.into() };
    let common = names.iter().fold(first.as_str(), |common, name| {
        let same = common.char_indices().zip(name.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        &common[..same.unwrap_or(common.len().min(name.len()))]
    });
    // A name that the text does not end with is one that the path was brought to ("a/." to "a").
    text.strip_suffix(&begin).map_or_else(|| text.into(), |folder| format!("{folder}{common}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_completed_as_far_as_they_agree() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["clip one.mp4", "clip two.mp4", "other.mov", ".clip"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        assert_eq!(completed(&at("cl")), at("clip "));
        assert_eq!(completed(&at("clip t")), at("clip two.mp4"));
        assert_eq!(completed(&at("su")), at("sub/"));
        assert_eq!(completed(&at("nothing")), at("nothing"));
        std::fs::create_dir(folder.path().join("日本")).unwrap();
        for text in ["日本/.", "日", "日本/..", "日本/"] {
            let before = at(text);
            assert!(completed(&before).starts_with(&before), "{text}");
        }
    }
}
