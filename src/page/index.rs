//! A page that lists many jobs.

use std::io::{self, Write};

use serde::Serialize;

use super::embed::{self, Template};

/// Begins and ends what a page says of who has written it.
const GENERATOR: [&str; 2] = ["<meta name=\"generator\" content=\"meshreel ", " index\">"];

/// A job of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// What its results are called.
    pub name: String,
    /// Folder of its results, as it is told to people; empty for that of the page.
    pub folder: String,
    /// Name of the source.
    pub source: String,
    /// When it was done, seconds since 1970.
    pub done: f64,
    /// Frames of the video.
    pub frames: u64,
    /// People in it.
    pub people: usize,
    /// Frames in which people may have been mixed up.
    pub uncertain: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Addresses of the files that are there, from the page: video, page, motion, report, and others by their names.
    pub links: Vec<(String, String)>,
}

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write_index(title: &str, entries: &[Entry], out: &mut Vec<u8>) -> io::Result<()> {
    let template = Template {
        page: include_str!("index.html"),
        style: include_str!("style.css"),
        script: include_str!("index.js"),
    };
    template.write(out, title, &mut |_, out| embed::json(&entries, out))?;
    out.flush()
}

/// Whether a file that begins so was written by [`write_index`].
pub fn is_index(beginning: &str) -> bool {
    let [begin, end] = GENERATOR;
    let said = beginning.split_once(begin).and_then(|(_, said)| said.split_once('\n'));
    beginning.starts_with("<!doctype html>") && said.is_some_and(|(said, _)| said.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_pages_are_known_again() {
        let mut page = Vec::new();
        write_index("a", &[], &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(is_index(&page));
        assert!(is_index(&page[..1000]));
        assert!(!is_index(""));
        assert!(!is_index(&page.replace(" index\">", " page\">")));
        assert!(!is_index("<!doctype html>\n<p>&lt;meta name=\"generator\" content=\"meshreel 1 index\"&gt;\n"));
    }
}
