//! The text of one line.

use std::fmt::{self, Debug, Write};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::local_time::LocalTime;

/// Stock's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
}

impl Level {
    pub(super) fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR | tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Notice,
            tracing::Level::DEBUG => Self::Verbose,
            tracing::Level::TRACE => Self::Debug,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Debug => '.',
            Self::Verbose => '-',
            Self::Notice => '*',
            Self::Warning => '#',
        }
    }
}

/// What stands before the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) pid: u32,
    pub(super) role: char,
    pub(super) time: LocalTime,
    pub(super) level: Level,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {} {}", self.pid, self.role, self.time, self.level.letter())
    }
}

/// The message of `event`, with its other fields behind it as ` name=value`, on one line.
pub(super) fn message(event: &Event<'_>) -> String {
    let mut text = Text::default();
    event.record(&mut text);
    let Text { mut message, fields } = text;
    message.push_str(&fields);
    message
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn add(&mut self, field: &Field, value: &dyn fmt::Display) {
        let is_message = field.name() == "message";
        let out = if is_message { &mut self.message } else { &mut self.fields };
        let mut out = OneLine(out);
        let written = if is_message {
            write!(out, "{value}")
        } else {
            write!(out, " {}={value}", field.name())
        };
        written.expect("writing to a string does not fail");
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, &format_args!("{value:?}"));
    }
}

/// Keeps text on one line: nobody forges a second line through a key's name or a peer's answer.
struct OneLine<'a>(&'a mut String);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push('\t'),
                c if c.is_control() => self.0.extend(c.escape_default()),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_has_the_form_of_stock() {
        let time = LocalTime { day: 2, month: 1, year: 2026, hour: 3, minute: 4, second: 5, ms: 6 };
        let header = Header { pid: 42, role: 'M', time, level: Level::Notice };
        assert_eq!(header.to_string(), "42:M 02 Jan 2026 03:04:05.006 *");
    }

    #[test]
    fn control_characters_are_escaped() {
        let mut text = String::new();
        write!(OneLine(&mut text), "a\r\nb\u{1b}[c").unwrap();
        assert_eq!(text, "a\\r\\nb\\u{1b}[c");
    }
}
