//! The line editor: history, completion, hints in grey.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Helper};

use super::history::{History, LINES_MAX};
use super::{Shared, repeat_of};
use crate::cli::client::command::is_sensitive;
use crate::cli::client::docs::hint;

/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;

pub(super) struct Editor {
    lines: rustyline::Editor<Assistant, MemHistory>,
    history: History,
}

impl Editor {
    /// # Errors
    /// The terminal cannot be used.
    pub(super) fn new(shared: Rc<RefCell<Shared>>) -> rustyline::Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::Circular)
            .color_mode(ColorMode::Enabled)
            .max_history_size(LINES_MAX)?
            // Several lines that are pasted are several commands.
            .bracketed_paste(false)
            .build();
        let memory = MemHistory::with_config(&config);
        let mut lines = rustyline::Editor::with_history(config, memory)?;
        lines.set_helper(Some(Assistant { shared }));
        let history = History::new();
        for line in history.load() {
            lines.add_history_entry(line)?;
        }
        Ok(Self { lines, history })
    }

    /// Reads a line. `None`: there are no more, or the user is done.
    pub(super) fn read(&mut self, prompt: &str) -> Option<String> {
        if let Some(assistant) = self.lines.helper() {
            prompt.clone_into(&mut assistant.shared.borrow_mut().prompt);
        }
        match self.lines.readline(prompt) {
            Ok(line) => Some(line),
            // A key that is no text: an empty line asks again.
            Err(ReadlineError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                Some(String::new())
            }
            Err(_) => None,
        }
    }

    /// Keeps a line, unless it holds a password.
    pub(super) fn remember(&mut self, line: &str, words: &[Vec<u8>]) {
        let is_blank = line.trim().is_empty();
        let has_number = words.first().is_some_and(|word| repeat_of(word).is_some());
        let command = words.get(usize::from(has_number)..).unwrap_or_default();
        if is_blank || is_sensitive(command) {
            return;
        }
        // False: it is the line before once more.
        if self.lines.add_history_entry(line).unwrap_or(false) {
            self.history.add(line);
        }
    }
}

/// What the editor asks while the user types.
struct Assistant {
    shared: Rc<RefCell<Shared>>,
}

impl Helper for Assistant {}
impl Validator for Assistant {}

impl Completer for Assistant {
    type Candidate = String;

    /// Completes the name of a command, subcommands included, or the topic of `help`.
    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let shared = self.shared.borrow();
        let typed = &line[..position];
        let start = typed.len() - typed.trim_start().len();
        let word = typed.trim_start();
        let is_help = word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("help "));
        if !is_help {
            return Ok((start, if word.is_empty() { Vec::new() } else { shared.docs.names(word) }));
        }
        let topic = word[5..].trim_start();
        let start = position - topic.len();
        match topic.strip_prefix('@') {
            Some(group) => Ok((start + 1, shared.docs.groups(group))),
            None if topic.is_empty() => {
                let groups = shared.docs.groups("").into_iter().map(|group| format!("@{group}"));
                Ok((start, groups.chain(shared.docs.names("")).collect()))
            }
            None => Ok((start, shared.docs.names(topic))),
        }
    }
}

/// Shown behind the cursor; no key takes it over.
struct Grey(String);

impl Hint for Grey {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Grey;

    fn hint(&self, line: &str, position: usize, _context: &Context<'_>) -> Option<Grey> {
        let shared = self.shared.borrow();
        if !shared.preferences.hints || position < line.len() || line.trim().is_empty() {
            return None;
        }
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let has_number = repeat_of(words[0].as_bytes()).is_some();
        let text = hint(&shared.docs, &words[usize::from(has_number)..])?;
        let gap = if line.ends_with(' ') { "" } else { " " };
        // It stays on the line: one that wraps would push what is above away.
        let used = shared.prompt.len() + line.chars().count() + gap.len();
        let room = columns().saturating_sub(used + 1);
        let shown: String = text.chars().take(room).collect();
        (!shown.is_empty()).then(|| Grey(format!("{gap}{shown}")))
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }
}

fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}
