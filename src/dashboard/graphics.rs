//! Whether the terminal shows pictures, and in which way.
//!
//! By what it says of itself in the environment: asked with escape sequences, a terminal that does not answer costs seconds,
//! and whoever waits for the answer takes keys that were meant for the dashboard. Only kitty is asked, for its version: it does answer.

use std::io::Write;
use std::time::{Duration, Instant};

use ratatui::crossterm::terminal::window_size;
use ratatui_image::FontSize;
use ratatui_image::picker::{Picker, ProtocolType};
use rustix::event::{PollFd, PollFlags, poll};

/// The first kitty that knows Unicode placeholders, which pictures are put into cells with; before, they are boxes.
const FIRST_KITTY: [u32; 2] = [0, 28];
/// The first Konsole that shows iTerm2's pictures, in its way of writing 22.04.
const FIRST_KONSOLE: u32 = 220_400;
/// For kitty's answer, which may come over a network.
const PATIENCE: Duration = Duration::from_secs(1);

/// For the terminal of this process, in raw mode, of which nobody else reads yet.
pub fn picker() -> Picker {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let is_kitty = !set("KITTY_WINDOW_ID").is_empty();
    let kind = kind(&set("TERM"), &set("TERM_PROGRAM"), &set("LC_TERMINAL"), is_kitty, &set("KONSOLE_VERSION"));
    // A multiplexer in between passes on text only.
    let is_direct = set("TMUX").is_empty() && !set("TERM").starts_with("screen");
    let is_new_enough = |kind: &ProtocolType| {
        let is_kitty = *kind == ProtocolType::Kitty && !is_ghostty(&set("TERM"), &set("TERM_PROGRAM"));
        !is_kitty || kitty_version().is_some_and(|version| version >= FIRST_KITTY)
    };
    match (kind.filter(|_| is_direct).filter(is_new_enough), cell()) {
        (Some(kind), Some(cell)) => {
            #[allow(deprecated)] // the other way asks the terminal
            let mut picker = Picker::from_fontsize(cell);
            picker.set_protocol_type(kind);
            picker
        }
        _ => Picker::halfblocks(),
    }
}

/// Pixels of a cell, if the terminal says so.
fn cell() -> Option<FontSize> {
    let size = window_size().ok()?;
    let [width, height] = [size.width.checked_div(size.columns)?, size.height.checked_div(size.rows)?];
    (width > 0 && height > 0).then_some(FontSize { width, height })
}

fn kind(term: &str, program: &str, lc_terminal: &str, is_kitty: bool, konsole: &str) -> Option<ProtocolType> {
    if is_kitty || term.contains("kitty") || is_ghostty(term, program) {
        return Some(ProtocolType::Kitty);
    }
    let is_konsole = konsole.parse().is_ok_and(|version: u32| version >= FIRST_KONSOLE);
    if ["iTerm.app", "WezTerm", "mintty"].contains(&program) || lc_terminal == "iTerm2" || is_konsole {
        return Some(ProtocolType::Iterm2);
    }
    (["foot", "mlterm"].iter().any(|name| term.starts_with(name)) || term.contains("sixel"))
        .then_some(ProtocolType::Sixel)
}

fn is_ghostty(term: &str, program: &str) -> bool {
    term.contains("ghostty") || program == "ghostty"
}

/// Asks the terminal (XTVERSION) and reads what it answers.
fn kitty_version() -> Option<[u32; 2]> {
    let (mut out, input) = (std::io::stdout(), std::io::stdin());
    out.write_all(b"\x1b[>q").and_then(|()| out.flush()).ok()?;
    let end = Instant::now() + PATIENCE;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x1b\\") {
        let left = end.checked_duration_since(Instant::now())?.try_into().ok()?;
        let mut ready = [PollFd::new(&input, PollFlags::IN)];
        if poll(&mut ready, Some(&left)).ok()? == 0 {
            return None;
        }
        let mut byte = [0];
        if rustix::io::read(&input, &mut byte).ok()? == 0 {
            return None;
        }
        answer.extend(byte);
    }
    version_in(&String::from_utf8_lossy(&answer))
}

/// The version in `ESC P > | kitty(0.28.1) ESC \`.
fn version_in(answer: &str) -> Option<[u32; 2]> {
    let mut numbers = answer.split_once("kitty(")?.1.split(['.', ')']).map(|number| number.parse().ok());
    Some([numbers.next()??, numbers.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_known_by_their_names() {
        assert_eq!(kind("xterm-kitty", "", "", false, ""), Some(ProtocolType::Kitty));
        assert_eq!(kind("xterm-256color", "WezTerm", "", false, ""), Some(ProtocolType::Iterm2));
        assert_eq!(kind("xterm-256color", "", "iTerm2", false, ""), Some(ProtocolType::Iterm2));
        assert_eq!(kind("xterm-256color", "", "", false, "221203"), Some(ProtocolType::Iterm2));
        assert_eq!(kind("xterm-256color", "", "", false, "211200"), None);
        assert_eq!(kind("foot", "", "", false, ""), Some(ProtocolType::Sixel));
        assert_eq!(kind("xterm-256color", "", "", false, ""), None);
    }

    #[test]
    fn kitty_tells_its_version() {
        assert_eq!(version_in("\x1bP>|kitty(0.26.5)\x1b\\"), Some([0, 26]));
        assert!(version_in("\x1bP>|kitty(1.0.0)\x1b\\").is_some_and(|version| version >= FIRST_KITTY));
        assert_eq!(version_in("\x1bP>|XTerm(379)\x1b\\"), None);
    }
}
