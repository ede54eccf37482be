//! Who gives an order, for those who read the logs.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::text::printable;

/// A command or a dashboard, with its process and terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin(String);

impl Origin {
    /// This process, as the command of that name.
    pub fn command(name: &str) -> Self {
        Self::of(&format!("`meshreel {name}`"))
    }

    /// This process, as a dashboard.
    pub fn dashboard() -> Self {
        Self::of("the dashboard")
    }

    fn of(who: &str) -> Self {
        let process = std::process::id();
        Self(match terminal() {
            Some(terminal) => format!("{who}, process {process} on {terminal}"),
            None => format!("{who}, process {process}"),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Another process may have written it.
        f.write_str(&printable(&self.0))
    }
}

/// The name of this process's terminal, if it has one.
fn terminal() -> Option<String> {
    let name = |descriptor: u32| {
        let device = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
        let name = device.strip_prefix("/dev").ok()?;
        let is_terminal = name.starts_with("pts") || name.to_string_lossy().starts_with("tty");
        is_terminal.then(|| Path::new(name).display().to_string())
    };
    (0..3).find_map(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_an_order_is_told_and_cannot_steer_a_terminal() {
        let said = Origin::command("cancel").to_string();
        assert!(said.starts_with(&format!("`meshreel cancel`, process {}", std::process::id())), "{said}");
        assert!(Origin::dashboard().to_string().starts_with("the dashboard, process "));
        assert!(!Origin("a\u{1b}[2J".into()).to_string().contains('\u{1b}'));
    }
}
