//! Everything for a replica: a snapshot, and the offset behind which the stream goes on.
//!
//! With the log on the base file is sent as it is, and the log behind it: no walk, no memory. With the log off a walk is,
//! through a file or straight to the socket. Files are read by a thread of their own, a few pieces ahead of the socket.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use highwater_persistence::log::{LogOffset, LogReadBack};
use highwater_persistence::snapshot::SnapshotWriter;
use highwater_persistence::storage::ReadFile;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::feed::{Ended, Feeding};
use super::shared::Shared;
use super::walks;
use crate::clock::mono_us;
use crate::replication::replicas::Stage;
use crate::replication::resync::Source;
use crate::state::output::Feed;
use crate::state::persistence::Beside;

/// Bytes read and sent at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces read ahead of the socket.
const PIECES_AHEAD: usize = 8;

/// A part of what a replica gets, in order.
enum Part {
    /// Reads the stream behind the snapshot from files that are open already.
    Log(Box<LogReadBack>),
    /// The offset of the snapshot is known.
    Begun { offset: u64 },
    /// It follows, of that size.
    Size(u64),
    /// It follows, and ends with these bytes.
    Mark([u8; 40]),
    /// Bytes to send.
    Bytes(Vec<u8>),
    /// That was all.
    End,
}

type Parts = Sender<Result<Part, String>>;

/// The oldest offset that the files of the log reach back to.
pub(super) fn disk_reach(shared: &Shared) -> Option<u64> {
    Some(shared.committer.files()?.first_offset()?.0)
}

/// Sends a snapshot and returns the offset behind which the stream goes on, and what reads it from there where the
/// snapshot is a file of the log: a rewrite that finishes meanwhile removes the names of the files behind it.
pub(super) async fn send(feeding: &Feeding<'_>) -> Result<(u64, Option<Box<LogReadBack>>), Ended> {
    let (sender, mut parts) = mpsc::channel(PIECES_AHEAD);
    let (shared, feed) = (Arc::clone(feeding.shared), feeding.feed.clone());
    super::spawn_thread("full-sync", move || {
        if let Err(error) = produce(&shared, &feed, &sender) {
            // Nobody is left to hear of it when this fails.
            drop(sender.blocking_send(Err(error)));
        }
    });
    let started_us = mono_us();
    let (mut offset, mut sent, mut is_marked, mut log) = (0, 0, false, None);
    loop {
        let part = match next(&mut parts, feeding).await? {
            Some(part) => part,
            // Making the snapshot takes long: an empty line says that the node is alive.
            None if sent == 0 && !is_marked => {
                feeding.send(b"\n").await?;
                continue;
            }
            None => continue,
        };
        match part {
            Part::Log(reader) => log = Some(reader),
            Part::Begun { offset: at } => {
                offset = at;
                feeding.answer_full(offset).await?;
            }
            Part::Size(size) => {
                feeding.sends_snapshot(Some(size));
                feeding.send(format!("${size}\r\n").as_bytes()).await?;
            }
            Part::Mark(mark) => {
                is_marked = true;
                feeding.sends_snapshot(None);
                feeding.send(&[b"$EOF:", &mark[..], b"\r\n"].concat()).await?;
            }
            Part::Bytes(bytes) => {
                feeding.send(&bytes).await?;
                sent += bytes.len() as u64;
                feeding.snapshot_goes_on(sent);
            }
            Part::End => break,
        }
    }
    let seconds = (mono_us() - started_us) as f64 / 1e6;
    feeding.note(format!(
        "Snapshot of {sent} bytes sent to replica {} in {seconds:.1} s",
        feeding.name()
    ));
    if feeding.feed.announced.snapshot_only {
        return Err("it wanted a snapshot only".to_owned());
    }
    while is_marked && !feeding.has_acked() {
        // The replica must not see a byte behind the mark before it has read the mark.
        tokio::time::sleep(Duration::from_millis(5)).await;
        if feeding.connection.is_closing() {
            return Err("the connection is gone".to_owned());
        }
    }
    Ok((offset, log))
}

/// The next part; nothing when it takes more than a second.
async fn next(
    parts: &mut Receiver<Result<Part, String>>,
    feeding: &Feeding<'_>,
) -> Result<Option<Part>, Ended> {
    let part = tokio::select! {
        part = parts.recv() => part,
        () = tokio::time::sleep(Duration::from_secs(1)) => return Ok(None),
        () = feeding.connection.gone() => return Err("the connection is gone".to_owned()),
    };
    part.ok_or_else(|| "nothing more can be read".to_owned())?.map(Some)
}

/// Hands a part to the socket's task.
fn give(parts: &Parts, part: Part) -> io::Result<()> {
    parts.blocking_send(Ok(part)).map_err(|_| io::Error::other("the replica is gone"))
}

fn produce(shared: &Arc<Shared>, feed: &Feed, parts: &Parts) -> Result<(), String> {
    if feed.announced.without_keys {
        let (offset, beside) = {
            let state = &shared.node.lock().state;
            (state.stream.end, state.beside())
        };
        return from_nothing(offset, &beside, parts).map_err(|error| error.to_string());
    }
    // Who wants a snapshot and nothing behind it wants it as of now. SYNC comes from tools that keep the snapshot alone.
    let wants_all = feed.announced.snapshot_only || feed.asked.is_none();
    if let Some(files) = shared.committer.files()
        && shared.committer.is_on()
        && !wants_all
        && let Some(source) = files.sync_source().map_err(|error| error.to_string())?
    {
        let offset = source.offset.0;
        let sent = give(parts, Part::Log(Box::new(source.log)));
        let sent = sent.and_then(|()| match source.base {
            Some((base, size)) => from_file(&*base, size, offset, parts),
            None => from_nothing(offset, &Beside::default(), parts),
        });
        return sent.map_err(|error| error.to_string());
    }
    let diskless = shared.node.lock().state.config.repl_diskless_sync;
    let sent = if diskless && feed.announced.takes_eof {
        from_walk(shared, feed, parts)
    } else {
        let begun = |offset| give(parts, Part::Begun { offset });
        walks::snapshot_to_file(shared, feed.client, begun)
            .and_then(|(file, size)| file_parts(&*file, size, parts))
    };
    sent.map_err(|error| error.to_string())
}

fn from_file(base: &dyn ReadFile, size: u64, offset: u64, parts: &Parts) -> io::Result<()> {
    give(parts, Part::Begun { offset })?;
    file_parts(base, size, parts)
}

fn file_parts(file: &dyn ReadFile, size: u64, parts: &Parts) -> io::Result<()> {
    give(parts, Part::Size(size))?;
    let mut at = 0;
    while at < size {
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(size - at).unwrap_or(PIECE_BYTES))];
        let count = file.read_at(at, &mut piece)?;
        if count == 0 {
            return Err(io::Error::other(format!("the file ends at byte {at} of {size}")));
        }
        piece.truncate(count);
        at += count as u64;
        give(parts, Part::Bytes(piece))?;
    }
    give(parts, Part::End)
}

/// A snapshot without keys: a log without a base starts from that.
fn from_nothing(offset: u64, beside: &Beside, parts: &Parts) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(&mut bytes, &walks::plain_options());
    walks::write_beside(&mut writer, beside).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)?;
    give(parts, Part::Begun { offset })?;
    give(parts, Part::Size(bytes.len() as u64))?;
    give(parts, Part::Bytes(bytes))?;
    give(parts, Part::End)
}

fn from_walk(shared: &Arc<Shared>, feed: &Feed, parts: &Parts) -> io::Result<()> {
    let mark = crate::random::hex_id();
    let begun = |offset| {
        give(parts, Part::Begun { offset })?;
        give(parts, Part::Mark(mark))
    };
    let mut socket = Socket { parts, piece: Vec::with_capacity(PIECE_BYTES) };
    walks::snapshot_to_socket(shared, feed.client, begun, &mut socket)?;
    socket.write_all(&mark)?;
    socket.flush()?;
    give(parts, Part::End)
}

/// What is written here goes to the socket's task in pieces.
struct Socket<'a> {
    parts: &'a Parts,
    piece: Vec<u8>,
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        give(self.parts, Part::Bytes(piece))
    }
}

/// Sends what the files hold behind `from`, up to what memory holds. Returns the offset reached. `log` reads them where
/// they were opened before.
pub(super) async fn stream_from_disk(
    feeding: &Feeding<'_>,
    from: u64,
    log: Option<Box<LogReadBack>>,
) -> Result<u64, Ended> {
    let (sender, mut parts) = mpsc::channel(PIECES_AHEAD);
    let shared = Arc::clone(feeding.shared);
    super::spawn_thread("read-back", move || {
        if let Err(error) = read_back(&shared, from, log, &sender) {
            drop(sender.blocking_send(Err(error)));
        }
    });
    let mut at = from;
    loop {
        match next(&mut parts, feeding).await? {
            Some(Part::Bytes(bytes)) => {
                feeding.send(&bytes).await?;
                at += bytes.len() as u64;
                feeding.count(bytes.len() as u64, Source::Disk);
            }
            Some(Part::End) => break,
            _ => {}
        }
    }
    let bytes = at - from;
    feeding.note(format!(
        "{bytes} bytes of the stream read back from the log's files for replica {}",
        feeding.name()
    ));
    Ok(at)
}

/// Why a replica cannot be served behind `from`.
pub(super) fn too_far_behind(from: u64) -> Ended {
    format!("it is too far behind: offset {from} is neither in memory nor in files of the log")
}

fn read_back(
    shared: &Shared,
    from: u64,
    log: Option<Box<LogReadBack>>,
    parts: &Parts,
) -> Result<(), String> {
    let gone = || too_far_behind(from);
    let mut reader = match log.filter(|log| log.offset().0 == from) {
        Some(log) => log,
        None => {
            let files = shared.committer.files().ok_or_else(gone)?;
            let opened = files.read_back(LogOffset(from)).map_err(|error| error.to_string())?;
            Box::new(opened.ok_or_else(gone)?)
        }
    };
    loop {
        let offset = reader.offset().0;
        if shared.relay.first().is_some_and(|first| first <= offset) {
            return give(parts, Part::End).map_err(|error| error.to_string());
        }
        let (written, _) = shared.committer.progress();
        let mut bytes = Vec::with_capacity(PIECE_BYTES);
        let count =
            reader.next(LogOffset(written), &mut bytes).map_err(|error| error.to_string())?;
        if count == 0 && offset >= written {
            // Everything written is sent; memory begins here or earlier unless the relay was started anew.
            return give(parts, Part::End).map_err(|error| error.to_string());
        }
        give(parts, Part::Bytes(bytes)).map_err(|error| error.to_string())?;
    }
}

impl Feeding<'_> {
    /// The reply to a replica that gets everything. SYNC has none.
    async fn answer_full(&self, offset: u64) -> Result<(), Ended> {
        let id = {
            let mut node = self.shared.node.lock();
            if let Some(replica) = node.state.replication.replicas.get_mut(self.feed.client.0) {
                (replica.acked, replica.has_acked) = (0, false);
            }
            node.state.stream.id.clone()
        };
        self.note(format!(
            "Full resync of replica {}: it gets a snapshot at offset {offset}",
            self.name()
        ));
        match self.feed.asked {
            Some(_) => self.send(format!("+FULLRESYNC {id} {offset}\r\n").as_bytes()).await,
            None => Ok(()),
        }
    }

    /// The snapshot is on its way.
    fn sends_snapshot(&self, size: Option<u64>) {
        self.stage(Stage::ReceivesSnapshot);
        let mut node = self.shared.node.lock();
        if let Some(replica) = node.state.replication.replicas.get_mut(self.feed.client.0) {
            replica.sync = Some((size, 0));
        }
    }

    /// So much of it has been sent.
    fn snapshot_goes_on(&self, sent: u64) {
        /// Bytes between two notes of it.
        const STEP: u64 = 1 << 20;
        if sent / STEP == (sent.saturating_sub(PIECE_BYTES as u64)) / STEP {
            return;
        }
        let mut node = self.shared.node.lock();
        if let Some(replica) = node.state.replication.replicas.get_mut(self.feed.client.0)
            && let Some((_, done)) = &mut replica.sync
        {
            *done = sent;
        }
    }
}
