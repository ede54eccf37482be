//! Colours and signs: the terminal's own palette, so that light and dark ones both fit; fewer where it has fewer.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

use crate::job::JobState;
use crate::telemetry::Stage;
use crate::terminal;

/// How things look on one terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Colours may be used.
    pub colors: bool,
    /// More than ASCII may be used.
    pub unicode: bool,
}

impl Theme {
    /// What the environment says of the terminal.
    pub fn of_terminal() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { colors: set("NO_COLOR").is_none(), unicode: terminal::is_unicode() }
    }

    fn color(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    /// Names of columns, units: what is read once.
    pub fn faint(self) -> Style {
        if self.colors { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Titles.
    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Something is wrong.
    pub fn bad(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Something is to be noticed.
    pub fn warning(self) -> Style {
        self.color(Color::Yellow)
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.color(Color::Green)
    }

    /// Keys, and what is at work.
    pub fn accent(self) -> Style {
        self.color(Color::Cyan)
    }

    /// What is selected.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The frame of a pane.
    pub fn border(self, has_focus: bool) -> Style {
        if has_focus { self.accent() } else { self.faint() }
    }

    /// A job's state.
    pub fn state(self, state: JobState) -> Style {
        match state {
            JobState::Queued => Style::new(),
            JobState::Running => self.accent(),
            JobState::Paused => self.warning(),
            JobState::Done => self.good(),
            JobState::Failed => self.bad(),
            JobState::Cancelled => self.faint(),
        }
    }

    /// A stage in charts.
    pub fn stage(self, stage: Stage) -> Style {
        self.color(match stage {
            Stage::Decode => Color::Blue,
            Stage::Detect => Color::Magenta,
            Stage::Landmarks => Color::LightMagenta,
            Stage::Fit => Color::Yellow,
            Stage::RenderWait => Color::Red,
            Stage::Render => Color::Green,
            Stage::Blend => Color::LightCyan,
            Stage::Encode => Color::Cyan,
        })
    }

    /// Lines round panes.
    pub fn lines(self) -> border::Set<'static> {
        const ASCII: border::Set<'static> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        if self.unicode { border::PLAIN } else { ASCII }
    }

    /// A bar of `width` cells of which `share` (0..=1) is full.
    pub fn bar(self, share: f32, width: usize) -> String {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        if !self.unicode {
            let full = (share * width as f32).round() as usize;
            return "#".repeat(full) + &".".repeat(width - full);
        }
        let eighths = (share * width as f32 * 8.0).round() as usize;
        let mut bar = "█".repeat(eighths / 8);
        if !eighths.is_multiple_of(8) {
            bar.push(['▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8 - 1]);
        }
        let rest = width - eighths.div_ceil(8);
        bar + &"·".repeat(rest)
    }

    /// Values as heights, the greatest as the full one; the last `width` of them.
    pub fn spark(self, values: &[f32], width: usize) -> String {
        let values = &values[values.len().saturating_sub(width)..];
        let top = values.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
        let signs: &[char] = if self.unicode {
            &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        } else {
            &[' ', '.', ':', '-', '=', '+', '#']
        };
        let sign = |value: &f32| {
            let at = (value / top * (signs.len() - 1) as f32).ceil() as usize;
            signs[at.min(signs.len() - 1)]
        };
        values.iter().map(sign).collect()
    }

    /// One of two signs.
    pub fn sign(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_sparks_have_their_width() {
        for unicode in [false, true] {
            let theme = Theme { colors: true, unicode };
            for share in [-1.0, 0.0, 0.01, 0.5, 0.999, 1.0, 7.0, f32::NAN] {
                assert_eq!(theme.bar(share, 9).chars().count(), 9, "{share}");
            }
            assert_eq!(theme.spark(&[0.0, 1.0, 8.0], 2).chars().count(), 2);
            assert_eq!(theme.spark(&[0.0, 0.0], 5), "  ");
        }
        assert_eq!(Theme { colors: true, unicode: true }.spark(&[0.0, 4.0, 8.0], 3), " ▄█");
    }
}
