//! What is said to people: lines of their time, colours only on a terminal, and nothing waited for in silence.

use std::io::IsTerminal;

use crate::cli::say;
use crate::clock;
use crate::logging::seconds_east_of_utc;

/// A wait shorter than this is not worth a line.
const SILENCE_US: u64 = 2_000_000;

/// Colours, by their number in a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Grey = 90,
}

/// `text` in a colour, where somebody sees it.
pub(super) fn coloured(text: &str, colour: Colour) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{}m{text}\x1b[0m", colour as u8)
    } else {
        text.to_owned()
    }
}

/// Says that something happened just now.
pub(super) fn event(text: &str) {
    let unix_s = i64::try_from(clock::now().unix_s()).unwrap_or(0);
    let day_s = (unix_s + seconds_east_of_utc(unix_s)).rem_euclid(86_400);
    let time = format!("{:02}:{:02}:{:02}", day_s / 3600, day_s / 60 % 60, day_s % 60);
    say(&format!("{}  {text}", coloured(&time, Colour::Grey)));
}

/// How this program was called: what works in the next terminal, too.
pub(super) fn program() -> String {
    let name = std::env::args().next().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "highwater".to_owned())
}

/// Columns of the terminal; a usual number where there is none.
pub(super) fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| size.ws_col).ok();
    size.filter(|columns| *columns > 0).map_or(80, usize::from)
}

/// Says what is waited for, when that takes longer, and each time it is something else.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since_us: Option<u64>,
    said: String,
}

impl Patience {
    /// Something is not there yet.
    pub(super) fn waits_for(&mut self, what: &str) {
        let now = clock::mono_us();
        let since = *self.since_us.get_or_insert(now);
        if now - since > SILENCE_US && self.said != what {
            say(&format!("  waiting: {what}"));
            what.clone_into(&mut self.said);
            self.since_us = Some(now);
        }
    }
}
