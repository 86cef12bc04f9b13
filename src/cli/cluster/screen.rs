//! What is said to the operator, and what is asked.

use std::io::{BufRead, Write};

use serde_json::Value;

/// Where words go: to people line by line, or to a machine as one JSON object at the end, with the lines on the other stream.
pub(in crate::cli) struct Screen<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    input: &'a mut dyn BufRead,
    has_colours: bool,
    is_verbose: bool,
    /// What the JSON object will hold, if one is asked for.
    facts: Option<serde_json::Map<String, Value>>,
    /// Errors that were said, for that object.
    errors: Vec<String>,
}

/// Why a command ended before its end. Where the text is empty, it was said already.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Stop {
    text: String,
}

impl Stop {
    /// Ends with this text, which is shown as an error.
    pub(super) fn with(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// Ends without a word: all was said.
    pub(super) fn said() -> Self {
        Self::default()
    }

    /// The text that is still to be said.
    pub(in crate::cli) fn text(&self) -> &str {
        &self.text
    }
}

/// How a command ended.
pub(in crate::cli) type Done<T = ()> = Result<T, Stop>;

const INFO: &str = "29;1m";
const WARNING: &str = "33;1m";
const ERROR: &str = "31;1m";
const SUCCESS: &str = "32;1m";

impl<'a> Screen<'a> {
    pub(in crate::cli) fn new(
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        input: &'a mut dyn BufRead,
    ) -> Self {
        Self {
            out,
            err,
            input,
            has_colours: false,
            is_verbose: false,
            facts: None,
            errors: Vec::new(),
        }
    }

    /// Colours lines of weight, and says more, where that is wanted.
    pub(super) fn adorn(&mut self, has_colours: bool, is_verbose: bool) {
        self.has_colours = has_colours;
        self.is_verbose = is_verbose;
    }

    /// From now on lines go to standard error, and [`Self::finish`] writes one JSON object.
    pub(super) fn for_machines(&mut self) {
        self.facts = Some(serde_json::Map::new());
    }

    pub(super) fn is_for_machines(&self) -> bool {
        self.facts.is_some()
    }

    pub(super) fn is_verbose(&self) -> bool {
        self.is_verbose
    }

    /// Puts a fact into the JSON object, if there is one.
    pub(super) fn fact(&mut self, name: &str, value: impl serde::Serialize) {
        if let Some(facts) = &mut self.facts {
            let value = serde_json::to_value(value).unwrap_or(Value::Null);
            facts.insert(name.to_owned(), value);
        }
    }

    /// Adds to a list in the JSON object, if there is one.
    pub(super) fn facts(&mut self, name: &str, values: Vec<Value>) {
        let Some(facts) = &mut self.facts else { return };
        let list = facts.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.extend(values);
        }
    }

    /// Notes in the JSON object, if there is one, that the command failed, and why, where a check has not done so.
    pub(super) fn fail(&mut self) {
        let Some(facts) = &mut self.facts else { return };
        if facts.get("ok") == Some(&Value::Bool(false)) {
            return;
        }
        if self.errors.is_empty() {
            self.errors.push("the command failed".to_owned());
        }
        facts.insert("ok".to_owned(), Value::Bool(false));
        let errors = std::mem::take(&mut self.errors);
        self.facts("errors", errors.into_iter().map(Value::String).collect());
    }

    /// Keeps an error for [`Self::fail`].
    fn keep(&mut self, text: &str) {
        let text = text.trim();
        if self.facts.is_some() && !text.is_empty() && !self.errors.iter().any(|has| has == text) {
            self.errors.push(text.to_owned());
        }
    }

    /// Writes the JSON object, if there is one.
    pub(super) fn finish(&mut self) {
        if let Some(facts) = self.facts.take() {
            let text = Value::Object(facts).to_string();
            // A reader that has gone away is no error.
            drop(writeln!(self.out, "{text}"));
            drop(self.out.flush());
        }
    }

    /// Writes `text` as it is.
    pub(super) fn say(&mut self, text: &str) {
        let to = if self.facts.is_some() { &mut self.err } else { &mut self.out };
        drop(to.write_all(text.as_bytes()));
        drop(to.flush());
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let to = if self.facts.is_some() { &mut self.err } else { &mut self.out };
        drop(to.write_all(bytes));
        drop(to.flush());
    }

    /// Writes `text` as it is to standard error.
    pub(super) fn complain(&mut self, text: &str) {
        if !text.starts_with("Warning:") {
            self.keep(text);
        }
        drop(self.err.write_all(text.as_bytes()));
    }

    /// Writes a step of the work.
    pub(super) fn info(&mut self, text: &str) {
        self.coloured(INFO, text);
    }

    pub(super) fn warn(&mut self, text: &str) {
        self.coloured(WARNING, text);
    }

    pub(super) fn error(&mut self, text: &str) {
        self.keep(text);
        self.coloured(ERROR, text);
    }

    pub(super) fn success(&mut self, text: &str) {
        self.coloured(SUCCESS, text);
    }

    fn coloured(&mut self, colour: &str, text: &str) {
        if self.has_colours {
            self.say(&format!("\x1b[{colour}{text}\x1b[0m"));
        } else {
            self.say(text);
        }
    }

    /// Asks for a line. `None`: the input has ended.
    pub(super) fn ask(&mut self, question: &str) -> Option<String> {
        self.say(question);
        let mut line = String::new();
        let read = self.input.read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Asks whether to go on: yes is whatever begins with `yes`.
    pub(super) fn confirms(&mut self, question: &str) -> bool {
        let reply = self.ask(&format!("{question} (type 'yes' to accept): "));
        reply.is_some_and(|line| is_yes(&line))
    }
}

/// Whether a reply to a question is a yes.
pub(super) fn is_yes(line: &str) -> bool {
    line.starts_with("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(has_colours: bool, as_json: bool, say: impl Fn(&mut Screen<'_>)) -> [String; 2] {
        let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), &b"yes, please\nno\n"[..]);
        let mut screen = Screen::new(&mut out, &mut err, &mut input);
        screen.adorn(has_colours, false);
        if as_json {
            screen.for_machines();
        }
        say(&mut screen);
        screen.finish();
        [out, err].map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn colours_enclose_the_line_feed() {
        let say = |screen: &mut Screen<'_>| screen.info(">>> x\n");
        assert_eq!(shown(false, false, say), [">>> x\n", ""]);
        assert_eq!(shown(true, false, say), ["\x1b[29;1m>>> x\n\x1b[0m", ""]);
    }

    #[test]
    fn machines_get_one_object_and_no_lines() {
        let say = |screen: &mut Screen<'_>| {
            screen.success("[OK]\n");
            screen.fact("masters", 3);
        };
        assert_eq!(shown(false, true, say), ["{\"masters\":3}\n", "[OK]\n"]);
    }

    #[test]
    fn machines_are_told_of_a_failure_once() {
        let say = |screen: &mut Screen<'_>| {
            screen.fact("errors", Vec::<String>::new());
            screen.fact("ok", true);
            screen.error("*** no\n");
            screen.error("*** no\n");
            screen.fail();
            screen.fail();
        };
        let [out, _] = shown(false, true, say);
        assert_eq!(out, "{\"errors\":[\"*** no\"],\"ok\":false}\n");
        let [out, err] = shown(false, false, |screen: &mut Screen<'_>| {
            screen.say("x");
            screen.fail();
        });
        assert_eq!([out, err], ["x", ""]);
    }

    #[test]
    fn yes_is_what_begins_with_it_and_the_end_is_no() {
        shown(false, false, |screen| {
            assert!(screen.confirms("Go?"));
            assert!(!screen.confirms("Go?"));
            assert!(!screen.confirms("Go?"));
        });
    }
}
