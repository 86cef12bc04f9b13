//! The node's own stream behind some offset, from memory or from the files of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_persistence::log::{LogOffset, LogReadBack};

use super::world::OwnStream;
use crate::net::shared::Shared;
use crate::state::ClientId;

/// Bytes read from memory at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Places in the stream that jobs hold have names that no client has.
static HOLDERS: AtomicU64 = AtomicU64::new(u64::MAX);

/// A place in the stream. What is behind it is kept in memory where the log is off.
pub(super) struct StreamReader {
    shared: Arc<Shared>,
    holder: ClientId,
    /// The offset of the next byte.
    at: u64,
    log: Option<Box<LogReadBack>>,
    piece: Vec<u8>,
}

impl StreamReader {
    /// At `at`, which is where the stream ends.
    pub(super) fn new(shared: Arc<Shared>, at: u64) -> Self {
        let holder = ClientId(HOLDERS.fetch_sub(1, Ordering::Relaxed));
        shared.relay.hold(holder, at);
        Self { shared, holder, at, log: None, piece: Vec::new() }
    }

    fn read_files(&mut self) -> Result<usize, String> {
        let gone = || format!("the log behind offset {} is gone", self.at);
        let mut log = match self.log.take().filter(|log| log.offset().0 == self.at) {
            Some(log) => log,
            None => {
                let files = self.shared.committer.files().ok_or_else(gone)?;
                let opened =
                    files.read_back(LogOffset(self.at)).map_err(|error| error.to_string())?;
                Box::new(opened.ok_or_else(gone)?)
            }
        };
        let (written, _) = self.shared.committer.progress();
        self.piece.clear();
        let count =
            log.next(LogOffset(written), &mut self.piece).map_err(|error| error.to_string())?;
        self.log = Some(log);
        Ok(count)
    }
}

impl OwnStream for StreamReader {
    fn at(&self) -> u64 {
        self.at
    }

    fn open(&mut self) {
        // Opened now, so that no rewrite can take the files away.
        let files = self.shared.committer.files();
        self.log = files
            .and_then(|files| files.read_back(LogOffset(self.at)).ok().flatten().map(Box::new));
    }

    async fn next(&mut self) -> Result<&[u8], String> {
        self.piece.resize(PIECE_BYTES, 0);
        let count = match self.shared.relay.read(self.at, &mut self.piece) {
            Some(count) => {
                self.log = None;
                count
            }
            None => self.read_files()?,
        };
        self.at += count as u64;
        self.shared.relay.hold(self.holder, self.at);
        Ok(&self.piece[..count])
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.shared.relay.let_go(self.holder);
    }
}
