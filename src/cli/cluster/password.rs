//! Asks for a password that is not to be seen.

use std::io::{IsTerminal, stdin};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::screen::Screen;

/// Asks; on a terminal what is typed is not shown, elsewhere nothing is asked and a line is read.
pub(super) fn ask(screen: &mut Screen<'_>, question: &str) -> Option<String> {
    if !stdin().is_terminal() {
        return screen.ask("");
    }
    let before = tcgetattr(stdin()).ok();
    if let Some(before) = &before {
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO;
        // Where it cannot be hidden it is asked for all the same.
        tcsetattr(stdin(), OptionalActions::Flush, &quiet).ok();
    }
    let password = screen.ask(question);
    if let Some(before) = &before {
        tcsetattr(stdin(), OptionalActions::Now, before).ok();
        screen.say("\n");
    }
    password
}
