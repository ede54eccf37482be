//! What the terminal can show, by what the environment says of it.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal, Write};

/// Terminals that can only write line after line, by their names in `TERM`.
const PLAIN: [&str; 4] = ["dumb", "unknown", "network", "dialup"];

/// Why nothing but lines can be shown on the terminal, if that is so.
pub fn why_plain() -> Option<String> {
    match std::env::var("TERM").ok().filter(|term| !term.is_empty()) {
        None => Some("TERM is not set".into()),
        Some(term) if PLAIN.contains(&term.as_str()) => Some(format!("TERM is \"{term}\"")),
        Some(_) => None,
    }
}

/// Whether it shows more than ASCII: whether the locale is one of UTF-8.
pub fn is_unicode() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// A text as ASCII: what is none is a question mark.
pub fn ascii(text: &str) -> Cow<'_, str> {
    match text.is_ascii() {
        true => text.into(),
        false => text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>().into(),
    }
}

/// A text for standard error as the terminal there can show it.
pub fn fit(text: &str) -> Cow<'_, str> {
    if io::stderr().is_terminal() && !is_unicode() { ascii(text) } else { text.into() }
}

/// Writes a line to standard error. Where nobody reads it, there is nothing to be done.
pub fn tell(line: fmt::Arguments<'_>) {
    // In one piece: other threads write lines, too.
    let _ = stderr().write_all(format!("{line}\n").as_bytes());
}

/// Standard output, as the terminal there can show it.
pub fn stdout() -> Fitted<io::Stdout> {
    let out = io::stdout();
    Fitted { is_ascii: out.is_terminal() && !is_unicode(), out }
}

/// Standard error, as the terminal there can show it.
pub fn stderr() -> Fitted<io::Stderr> {
    let out = io::stderr();
    Fitted { is_ascii: out.is_terminal() && !is_unicode(), out }
}

/// Writes whole texts, in ASCII where that is all that can be shown.
pub struct Fitted<W> {
    is_ascii: bool,
    out: W,
}

impl<W: Write> Write for Fitted<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if !self.is_ascii || text.is_ascii() {
            return self.out.write(text);
        }
        self.out.write_all(ascii(&String::from_utf8_lossy(text)).as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ascii_is_a_question_mark_where_nothing_else_can_be_shown() {
        let written = |is_ascii: bool| {
            let mut to = Fitted { is_ascii, out: Vec::new() };
            let name = "été 人.mp4";
            write!(to, "{name}: {} frames", 7).unwrap();
            String::from_utf8(to.out).unwrap()
        };
        assert_eq!(written(true), "?t? ?.mp4: 7 frames");
        assert_eq!(written(false), "été 人.mp4: 7 frames");
    }
}
