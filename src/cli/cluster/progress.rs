//! How far a move is: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

/// A bar over slots that move one by one.
pub(super) struct Progress {
    bar: ProgressBar,
    keys: u64,
}

impl Progress {
    /// A bar, where there is a terminal.
    pub(super) fn of_slots(count: usize) -> Option<Self> {
        if !std::io::stdout().is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = bar(count as u64, "{wide_bar} {pos}/{len} slots, {per_sec}, {eta} left {msg}");
        Some(Self { bar, keys: 0 })
    }

    /// One more slot, with so many keys.
    pub(super) fn slot(&mut self, keys: u64) {
        self.keys += keys;
        self.bar.inc(1);
        self.bar.set_message(format!("({} keys)", self.keys));
    }

    /// The line that takes the bar's place.
    pub(super) fn summary(&self) -> String {
        format!("Moved {} slots with {} keys\n", self.bar.position(), self.keys)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar of this form.
pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

/// Columns of the terminal; a usual number where there is none.
pub(super) fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| size.ws_col).ok();
    size.filter(|columns| *columns > 0).map_or(80, usize::from)
}

/// A line with a bar between two texts, where there is room for one; never wider than the terminal.
pub(super) fn line(before: &str, percent: u64, behind: &str, columns: usize) -> String {
    const LEAST: usize = 8;
    const MOST: usize = 40;
    let columns = columns.saturating_sub(1);
    let texts = before.chars().count() + behind.chars().count() + 2;
    let room = columns.saturating_sub(texts).min(MOST);
    if room < LEAST {
        return cut(&format!("{before} {behind}"), columns);
    }
    let full = usize::try_from(percent.min(100)).unwrap_or(0) * room / 100;
    format!("{before} {}{} {behind}", "\u{2588}".repeat(full), "\u{2591}".repeat(room - full))
}

/// `text`, no longer than `columns`.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let start: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{start}\u{2026}")
}

/// What a node says of a move it carries out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) keys_total: u64,
    pub(super) keys_sent: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_per_second: u64,
    /// Unknown where there is none.
    pub(super) left: Option<Duration>,
    /// How long clients waited at the end.
    pub(super) pause: Option<Duration>,
}

impl Figures {
    /// The share that is done. What has no keys is done at the end.
    pub(super) fn percent(&self) -> u64 {
        let sent = self.keys_sent.min(self.keys_total);
        (sent * 100).checked_div(self.keys_total).unwrap_or(0)
    }

    /// How far it is.
    pub(super) fn on_the_way(&self) -> String {
        let mut text = format!(
            "{}% ({} of {} keys, {}, {}/s",
            self.percent(),
            self.keys_sent,
            self.keys_total,
            HumanBytes(self.bytes_sent),
            HumanBytes(self.bytes_per_second)
        );
        if let Some(left) = self.left {
            text += &format!(", {} s left", left.as_secs_f64().ceil());
        }
        text + ")"
    }

    /// What it was.
    pub(super) fn at_the_end(&self) -> String {
        let mut text = format!("{} keys, {}", self.keys_sent, HumanBytes(self.bytes_sent));
        if let Some(pause) = self.pause {
            text += &format!(", writes waited {:.1} ms", pause.as_secs_f64() * 1000.0);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_the_terminal() {
        assert_eq!(
            line("a", 50, "b", 13),
            "a \u{2588}\u{2588}\u{2588}\u{2588}\u{2591}\u{2591}\u{2591}\u{2591} b"
        );
        assert_eq!(line("a", 50, "b", 12), "a b");
        assert_eq!(line("abc", 50, "def", 7), "abc d\u{2026}");
        for columns in 1..120 {
            let text = line("4096 slots to 127.0.0.1:7006", 33, "33% (1 of 3 keys)", columns);
            assert!(text.chars().count() < columns.max(2), "{text}");
        }
    }

    #[test]
    fn figures_are_told() {
        let mut figures = Figures {
            keys_total: 1000,
            keys_sent: 250,
            bytes_sent: 2048,
            bytes_per_second: 1024,
            left: None,
            pause: None,
        };
        assert_eq!(figures.on_the_way(), "25% (250 of 1000 keys, 2.00 KiB, 1.00 KiB/s)");
        figures.left = Some(Duration::from_millis(2100));
        assert_eq!(figures.on_the_way(), "25% (250 of 1000 keys, 2.00 KiB, 1.00 KiB/s, 3 s left)");
        figures.pause = Some(Duration::from_micros(1500));
        assert_eq!(figures.at_the_end(), "250 keys, 2.00 KiB, writes waited 1.5 ms");
        assert_eq!(Figures::default().percent(), 0);
    }
}
