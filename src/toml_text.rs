//! TOML that users write: what is wrong with it, and in which line.

use std::path::{Path, PathBuf};

/// Why a text was refused.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {message}", path.display())]
pub struct Mistake {
    /// The file that it is in.
    pub path: PathBuf,
    /// Line of the mistake, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Reads a text; `path` is for messages alone.
///
/// # Errors
/// Its first mistake.
pub fn parse<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, Mistake> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..at).unwrap_or(text);
        let line = before.lines().count().max(1) + usize::from(at > 0 && before.ends_with('\n'));
        Mistake { path: path.to_owned(), line, message: with_nearest_name(error.message()) }
    })
}

/// Turns the parser's "unknown field `a`, expected one of `b`, `c`" into a suggestion.
fn with_nearest_name(message: &str) -> String {
    let message = message.trim();
    let mut names = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let Some(wrong) = names.next().filter(|_| is_unknown) else {
        return message.to_owned();
    };
    let what = if message.starts_with("unknown field") { "setting" } else { "value" };
    let valid: Vec<&str> = names.collect();
    let nearest = valid.iter().max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)));
    match nearest {
        Some(name) => format!("unknown {what} `{wrong}`; did you mean `{name}`? (valid: {})", valid.join(", ")),
        None => format!("unknown {what} `{wrong}`"),
    }
}
