//! Ctrl-C at a prompt while messages stream in: it ends the stream, not the program.
//!
//! The terminal is asked to hand the key over as a byte; so no handler of signals is needed.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::cli::wire::Connection;

/// The byte of Ctrl-C.
const INTERRUPT: u8 = 3;

/// A terminal that hands over keys at once, Ctrl-C among them, and does not show them. It is as before when this is dropped.
pub(super) struct Keys {
    before: Termios,
}

impl Keys {
    /// # Errors
    /// Standard input is no terminal.
    pub(super) fn watch() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VINTR] = 0;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &modes)?;
        Ok(Self { before })
    }

    /// Waits until there is something to read. True: Ctrl-C came first. Other keys are swallowed.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn wait(&self, connection: &Connection) -> io::Result<bool> {
        if connection.has_buffered() {
            return Ok(false);
        }
        let stdin = io::stdin();
        loop {
            let (socket, keys) = (connection.as_fd(), stdin.as_fd());
            let mut polled = [
                PollFd::from_borrowed_fd(socket, PollFlags::IN),
                PollFd::from_borrowed_fd(keys, PollFlags::IN),
            ];
            match poll(&mut polled, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            if !polled[1].revents().is_empty() {
                let mut bytes = [0; 256];
                let count = rustix::io::read(&stdin, &mut bytes)?;
                if count == 0 || bytes[..count].contains(&INTERRUPT) {
                    return Ok(true);
                }
            }
            if !polled[0].revents().is_empty() {
                return Ok(false);
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
    }
}
