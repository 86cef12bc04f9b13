//! The prompt, and commands from a standard input that is no terminal: line by line, with a few words that are for the
//! client itself.

mod editor;
mod history;
mod preferences;

use std::cell::RefCell;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;
use std::rc::Rc;

use super::command::is_word;
use super::docs::{Docs, help};
use super::options::Options;
use super::output::Format;
use super::screen::{complain, print};
use super::session::Session;
use crate::cli::wire::Address;
use crate::clock;
use crate::resp::inline::split_words;

use preferences::Preferences;

/// A command that took longer says so.
const SLOW_US: u64 = 500_000;

/// What the prompt and its editor share.
#[derive(Debug, Default)]
struct Shared {
    docs: Docs,
    preferences: Preferences,
    prompt: String,
}

struct Repl<'a> {
    options: &'a Options,
    session: Session<'a>,
    shared: Rc<RefCell<Shared>>,
    /// How many connections there had been when the server was asked for its documentation.
    asked: Option<u64>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Line,
    Quit,
}

/// Runs commands until there are no more.
pub(super) fn run(options: &Options) -> ExitCode {
    let is_terminal = std::io::stdin().is_terminal();
    let mut session = Session::new(options, true);
    session.stop_with_key(is_terminal);
    // What failed is tried again with each command.
    session.connect().ok();
    let mut repl = Repl { options, session, shared: Rc::default(), asked: None };
    if is_terminal { repl.at_terminal() } else { repl.without_terminal() }
}

/// Prints what `help` says about `topic`, from a server if one can be reached.
pub(super) fn print_help(options: &Options, topic: &[Vec<u8>]) {
    if topic.is_empty() {
        print(HELP.as_bytes());
        return;
    }
    let mut session = Session::new(options, true);
    let docs = session.connect().ok().and_then(|()| session.docs());
    let docs = docs.unwrap_or_else(Docs::own);
    print(help(&docs, &texts(topic)).as_bytes());
}

const HELP: &str = "\
highwater cli: runs what you type on the server.

      help COMMAND     what a command does, and its arguments
      help @GROUP      all commands of a group; the tab key after @ shows the groups
      connect HOST PORT
      5 COMMAND        runs a command five times
      clear            clears the screen
      quit

Arguments appear in grey as you type. \":set nohints\" switches that off, \":set hints\" on again; such lines in
~/.redisclirc are read at the start.
";

impl Repl<'_> {
    fn at_terminal(&mut self) -> ExitCode {
        self.shared.borrow_mut().preferences.read_file();
        let Ok(mut editor) = editor::Editor::new(Rc::clone(&self.shared)) else {
            return self.without_terminal();
        };
        loop {
            self.learn();
            let prompt = self.session.prompt();
            let Some(line) = editor.read(&prompt) else { return ExitCode::SUCCESS };
            let words = split_words(line.as_bytes());
            editor.remember(&line, words.as_deref().unwrap_or_default());
            if self.take(words) == Next::Quit {
                return ExitCode::SUCCESS;
            }
        }
    }

    fn without_terminal(&mut self) -> ExitCode {
        for line in std::io::stdin().lock().split(b'\n') {
            let Ok(line) = line else { return ExitCode::FAILURE };
            if self.take(split_words(&line)) == Next::Quit {
                break;
            }
        }
        ExitCode::SUCCESS
    }

    /// Learns the commands of the server, once per connection; those of this version where it cannot say.
    fn learn(&mut self) {
        let connections = self.session.connections();
        if self.asked == Some(connections) {
            return;
        }
        self.asked = Some(connections);
        if let Some(docs) = self.session.docs() {
            self.shared.borrow_mut().docs = docs;
        } else if self.shared.borrow().docs.names("").is_empty() {
            self.shared.borrow_mut().docs = Docs::own();
        }
    }

    /// Takes a line of words; none if its quotes do not match.
    fn take(&mut self, words: Option<Vec<Vec<u8>>>) -> Next {
        let Some(words) = words else {
            print(b"Invalid argument(s)\n");
            return Next::Line;
        };
        let Some(first) = words.first() else { return Next::Line };
        let (repeat, command) = match repeat_of(first).filter(|_| words.len() > 1) {
            Some(repeat) if repeat > 0 => (repeat, &words[1..]),
            Some(_) => {
                print(b"Invalid redis-cli repeat command option value.\n");
                return Next::Line;
            }
            None => (1, &words[..]),
        };
        if is_word(command, 0, "quit") || is_word(command, 0, "exit") {
            return Next::Quit;
        }
        if command[0].starts_with(b":") {
            let said = self.shared.borrow_mut().preferences.set(&texts(command));
            said.unwrap_or_else(|text| print(format!("{text}\n").as_bytes()));
        } else if is_word(command, 0, "help") || is_word(command, 0, "?") {
            self.help(&command[1..]);
        } else if is_word(command, 0, "clear") && command.len() == 1 {
            print(b"\x1b[H\x1b[2J");
        } else if is_word(command, 0, "connect") && command.len() == 3 {
            self.connect(&command[1], &command[2]);
        } else {
            self.run(command, repeat);
        }
        Next::Line
    }

    fn help(&mut self, topic: &[Vec<u8>]) {
        self.learn();
        if topic.is_empty() {
            print(HELP.as_bytes());
        } else {
            print(help(&self.shared.borrow().docs, &texts(topic)).as_bytes());
        }
    }

    fn connect(&mut self, host: &[u8], port: &[u8]) {
        let host = String::from_utf8_lossy(host).into_owned();
        match String::from_utf8_lossy(port).parse() {
            // What failed has been said, and the prompt shows it.
            Ok(port) => self.session.go_to(Address::Tcp(host, port)).unwrap_or(()),
            Err(_) => complain("Invalid server port."),
        }
    }

    fn run(&mut self, command: &[Vec<u8>], repeat: i64) {
        let begun = clock::mono_us();
        let done = self.session.run(command, repeat);
        let elapsed = clock::mono_us() - begun;
        if done.is_ok() && elapsed >= SLOW_US && self.options.format == Format::Standard {
            let hundredths = (elapsed + 5_000) / 10_000;
            print(format!("({}.{:02}s)\n", hundredths / 100, hundredths % 100).as_bytes());
        }
    }
}

/// The number that a line begins with, if its first word is one.
fn repeat_of(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large is one that cannot be taken.
    is_number.then(|| text.parse().unwrap_or(0))
}

fn texts(words: &[Vec<u8>]) -> Vec<String> {
    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_word_may_say_how_often() {
        for (word, expected) in [
            ("5", Some(5)),
            ("-1", Some(-1)),
            ("0", Some(0)),
            ("99999999999999999999", Some(0)),
            ("5x", None),
            ("get", None),
            ("-", None),
        ] {
            assert_eq!(repeat_of(word.as_bytes()), expected, "{word}");
        }
    }
}
