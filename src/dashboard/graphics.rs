//! Whether the terminal shows pictures, and in which way.
//!
//! By what it says of itself in the environment: asked with escape sequences, a terminal that does not answer costs seconds,
//! and whoever waits for the answer takes keys that were meant for the dashboard.

use ratatui::crossterm::terminal::window_size;
use ratatui_image::FontSize;
use ratatui_image::picker::{Picker, ProtocolType};

/// For the terminal of this process.
pub fn picker() -> Picker {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    let kind = kind(&set("TERM"), &set("TERM_PROGRAM"), &set("LC_TERMINAL"), !set("KITTY_WINDOW_ID").is_empty());
    // A multiplexer in between passes on text only.
    let is_direct = set("TMUX").is_empty() && !set("TERM").starts_with("screen");
    match (kind.filter(|_| is_direct), cell()) {
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

fn kind(term: &str, program: &str, lc_terminal: &str, is_kitty: bool) -> Option<ProtocolType> {
    if is_kitty || term.contains("kitty") || term.contains("ghostty") || program == "ghostty" {
        return Some(ProtocolType::Kitty);
    }
    if ["iTerm.app", "WezTerm", "mintty"].contains(&program) || lc_terminal == "iTerm2" {
        return Some(ProtocolType::Iterm2);
    }
    (["foot", "mlterm"].iter().any(|name| term.starts_with(name)) || term.contains("sixel"))
        .then_some(ProtocolType::Sixel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_known_by_their_names() {
        assert_eq!(kind("xterm-kitty", "", "", false), Some(ProtocolType::Kitty));
        assert_eq!(kind("xterm-256color", "WezTerm", "", false), Some(ProtocolType::Iterm2));
        assert_eq!(kind("xterm-256color", "", "iTerm2", false), Some(ProtocolType::Iterm2));
        assert_eq!(kind("foot", "", "", false), Some(ProtocolType::Sixel));
        assert_eq!(kind("xterm-256color", "", "", false), None);
    }
}
