//! The node's own stream behind some offset, from memory or from the files of the log.

use highwater_persistence::log::{LogOffset, LogReadBack};

use crate::net::shared::Shared;
use crate::state::ClientId;

/// Bytes read from memory at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A place in the stream. What is behind it is kept in memory where the log is off.
pub(super) struct StreamReader {
    holder: ClientId,
    /// The offset of the next byte.
    pub(super) at: u64,
    log: Option<Box<LogReadBack>>,
    piece: Vec<u8>,
}

impl StreamReader {
    /// At `at`, which is where the stream ends.
    pub(super) fn new(shared: &Shared, at: u64, holder: ClientId) -> Self {
        shared.relay.hold(holder, at);
        // Opened now, so that no rewrite can take the files away.
        let log = shared
            .committer
            .files()
            .and_then(|files| files.read_back(LogOffset(at)).ok().flatten().map(Box::new));
        Self { holder, at, log, piece: Vec::new() }
    }

    /// The next bytes; none where the stream ends for now.
    ///
    /// # Errors
    /// They are nowhere to be had any more.
    pub(super) fn next(&mut self, shared: &Shared) -> Result<&[u8], String> {
        self.piece.resize(PIECE_BYTES, 0);
        let count = match shared.relay.read(self.at, &mut self.piece) {
            Some(count) => {
                self.log = None;
                count
            }
            None => self.read_back(shared)?,
        };
        self.at += count as u64;
        shared.relay.hold(self.holder, self.at);
        Ok(&self.piece[..count])
    }

    fn read_back(&mut self, shared: &Shared) -> Result<usize, String> {
        let gone = || format!("the log behind offset {} is gone", self.at);
        let mut log = match self.log.take().filter(|log| log.offset().0 == self.at) {
            Some(log) => log,
            None => {
                let files = shared.committer.files().ok_or_else(gone)?;
                let opened =
                    files.read_back(LogOffset(self.at)).map_err(|error| error.to_string())?;
                Box::new(opened.ok_or_else(gone)?)
            }
        };
        let (written, _) = shared.committer.progress();
        self.piece.clear();
        let count =
            log.next(LogOffset(written), &mut self.piece).map_err(|error| error.to_string())?;
        self.log = Some(log);
        Ok(count)
    }

    /// What is behind here need not be kept any more.
    pub(super) fn let_go(&self, shared: &Shared) {
        shared.relay.let_go(self.holder);
    }
}
