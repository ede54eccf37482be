//! How things get into a page: text that is only text, files as base64, and the rule that nothing is fetched.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::checksum;
use crate::text::printable;

/// What begins and ends the name of a part of a template.
const MARKS: [&str; 2] = ["{{", "}}"];
/// Bytes that are made base64 at a time; three become four letters.
const CHUNK: usize = 3 << 14;

/// The texts that a page is made of.
pub struct Template {
    /// HTML with the names of its parts in double braces: `title`, `generator`, `policy`, `style`, `script` and those of [`Part`].
    pub page: &'static str,
    /// CSS.
    pub style: &'static str,
    /// JavaScript.
    pub script: &'static str,
}

/// What differs from page to page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// JSON.
    Data,
    /// A glb in base64.
    Motion,
    /// A video in base64.
    Video,
}

/// Writes a part of a page.
pub type WritePart<'a, W> = &'a mut dyn FnMut(Part, &mut W) -> io::Result<()>;

/// Who has written a page: what it is known by again.
pub fn generator(kind: &str) -> String {
    format!("meshreel {} {kind}", env!("CARGO_PKG_VERSION"))
}

impl Template {
    /// Writes the page.
    pub fn write<W: Write>(&self, out: &mut W, title: &str, write: WritePart<'_, W>) -> io::Result<()> {
        let mut rest = self.page;
        while let Some((before, after)) = rest.split_once(MARKS[0]) {
            out.write_all(before.as_bytes())?;
            let (name, after) = after.split_once(MARKS[1]).unwrap_or((after, ""));
            match name {
                "title" => out.write_all(escaped(title).as_bytes())?,
                "page" => out.write_all(generator("page").as_bytes())?,
                "index" => out.write_all(generator("index").as_bytes())?,
                "policy" => out.write_all(self.policy().as_bytes())?,
                "style" => out.write_all(self.style.as_bytes())?,
                "script" => out.write_all(self.script.as_bytes())?,
                "data" => write(Part::Data, out)?,
                "motion" => write(Part::Motion, out)?,
                "video" => write(Part::Video, out)?,
                other => return Err(io::Error::other(format!("the page has no part \"{other}\""))),
            }
            rest = after;
        }
        out.write_all(rest.as_bytes())
    }

    /// What a browser may do: run this script and use this style, show what is in the page, and nothing else.
    fn policy(&self) -> String {
        let hash = |text: &str| STANDARD.encode(checksum::of(text.as_bytes()));
        format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; media-src blob:; img-src data:; base-uri 'none'; form-action 'none'",
            hash(self.script),
            hash(self.style)
        )
    }
}

/// Text as HTML has it, in an element or between quotation marks.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// JSON in a script element, which nothing in it can end.
pub fn json<W: Write>(value: &impl Serialize, out: &mut W) -> io::Result<()> {
    let text = serde_json::to_string(value)?;
    out.write_all(text.replace('<', "\\u003c").as_bytes())
}

/// A file in base64.
pub fn base64_of<W: Write>(path: &Path, out: &mut W) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::with_capacity(CHUNK);
    loop {
        bytes.clear();
        // Whole chunks: only the last may be filled up in base64.
        let read = Read::take(&mut file, CHUNK as u64).read_to_end(&mut bytes)?;
        out.write_all(STANDARD.encode(&bytes).as_bytes())?;
        if read < CHUNK {
            return Ok(());
        }
    }
}

/// Numbers in base64, little-endian.
pub fn base64_numbers<const N: usize>(numbers: impl Iterator<Item = [u8; N]>) -> String {
    STANDARD.encode(numbers.flatten().collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_file_is_taken_for_the_page() {
        let template = Template { page: "<title>{{title}}</title>{{data}}|{{policy}}", style: "", script: "" };
        let mut out = Vec::new();
        let name = "</script><b onload='x'>\"&{{data}}\u{1b}[2J";
        template.write(&mut out, name, &mut |_, out: &mut Vec<u8>| json(&[name], out)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (title, rest) = text.split_once("</title>").unwrap();
        assert_eq!(title, "<title>&lt;/script&gt;&lt;b onload=&#39;x&#39;&gt;&quot;&amp;{{data}}\u{fffd}[2J");
        let (data, policy) = rest.split_once('|').unwrap();
        assert!(!data.contains('<'), "{data}");
        assert_eq!(serde_json::from_str::<[String; 1]>(data).unwrap(), [name]);
        // The sum of nothing.
        assert!(policy.contains("script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"), "{policy}");
    }

    #[test]
    fn files_become_one_run_of_base64() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 2] {
            let bytes: Vec<u8> = (0..length).map(|i| i as u8).collect();
            std::fs::write(file.path(), &bytes).unwrap();
            let mut out = Vec::new();
            base64_of(file.path(), &mut out).unwrap();
            assert_eq!(out, STANDARD.encode(&bytes).into_bytes(), "{length}");
        }
    }
}
