//! Reading of packets from a connection.
//!
//! What a connection may cost before anybody is known on it is bounded: its packets are short, its answers are taken away
//! before it is read on, and it ends when nobody is known on it in time.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep, timeout_at};

use super::super::driver::with_node;
use super::super::shared::Shared;
use super::link::Waiting;
use super::strangers::Stranger;
use crate::clock;
use crate::cluster::Input;
use crate::cluster::core::LinkId;
use crate::cluster::wire::{self, Decoded, WireError};

/// The least room that is read into.
const PIECE_BYTES: usize = 16 * 1024;

/// A buffer that is larger is given back as soon as most of it is free.
const KEPT_BYTES: usize = 256 * 1024;

/// The longest packet of somebody who is not known: gossip about more nodes than a cluster has.
const STRANGER_BYTES_MAX: usize = 256 * 1024;

/// A connection that the other side opened is not read while more bytes wait to be sent over it: all that goes there are
/// answers, so that whoever asks has to take them. One that this node opened is always read, however much it has to say:
/// the answers that come show that the other node lives.
const UNSENT_BYTES_MAX: usize = 1 << 20;

/// A stranger is not read while the driver of the bus, which may be waiting for the disk, has more to do.
const OUTPUTS_MAX: usize = 1000;

/// Between two looks at that.
const OUTPUTS_POLL: Duration = Duration::from_millis(10);

/// What is read from a connection.
pub(super) struct Reading<'a> {
    shared: &'a Arc<Shared>,
    link: LinkId,
    buffer: Vec<u8>,
    /// Length of the packet that the buffer begins with, as soon as that is known.
    length: Option<usize>,
    /// Nobody is known on it yet.
    stranger: Option<Stranger>,
    /// What waits to be sent over it, if that matters.
    unsent: Option<Arc<Waiting>>,
}

/// Why a connection is not read on.
#[derive(Debug)]
enum End {
    Wire(WireError),
    /// A stranger announces so long a packet.
    TooLong(usize),
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl<'a> Reading<'a> {
    /// From a connection that this node opened.
    pub(super) fn new(shared: &'a Arc<Shared>, link: LinkId) -> Self {
        Self { shared, link, buffer: Vec::new(), length: None, stranger: None, unsent: None }
    }

    /// From one that has come.
    pub(super) fn of_stranger(
        shared: &'a Arc<Shared>,
        link: LinkId,
        stranger: Stranger,
        unsent: Arc<Waiting>,
    ) -> Self {
        let new = Self::new(shared, link);
        Self { stranger: Some(stranger), unsent: Some(unsent), ..new }
    }

    /// Hands packets to the state machine until the connection ends or is not to be read on.
    pub(super) async fn run(&mut self, reader: &mut (impl AsyncRead + Unpin)) {
        loop {
            let read = match self.stranger.as_ref().map(Stranger::deadline) {
                None => self.read(reader).await,
                // Somebody who never lets the node wait is not noticed by a timer.
                Some(end) if end <= Instant::now() => Err(io::ErrorKind::TimedOut.into()),
                Some(end) => match timeout_at(end, self.read(reader)).await {
                    Ok(read) => read,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                },
            };
            match read {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return tracing::debug!("I/O error reading from node link: {error}"),
            }
            match self.take_packets() {
                Ok(used) => give_back(&mut self.buffer, used),
                Err(end) => return self.tell(&end),
            }
        }
    }

    async fn read(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        if let Some(unsent) = &self.unsent {
            unsent.at_most(UNSENT_BYTES_MAX).await;
        }
        while self.stranger.is_some() && self.has_much_to_do() {
            sleep(OUTPUTS_POLL).await;
        }
        make_room(&mut self.buffer, self.length);
        reader.read_buf(&mut self.buffer).await
    }

    fn has_much_to_do(&self) -> bool {
        let node = self.shared.node.lock();
        let wanted = node.state.cluster.as_ref().map_or(0, |one| one.bus.len());
        wanted + self.shared.bus.waiting.load(Ordering::Relaxed) > OUTPUTS_MAX
    }

    /// Hands whole packets at the front of the buffer to the state machine. Returns how many bytes they took.
    fn take_packets(&mut self) -> Result<usize, End> {
        let mut used = 0;
        loop {
            self.length = wire::frame_length(&self.buffer[used..])?;
            let Some(length) = self.length else { break };
            if self.stranger.is_some() && length > STRANGER_BYTES_MAX {
                return Err(End::TooLong(length));
            }
            let Some(bytes) = self.buffer[used..].get(..length) else { break };
            used += length;
            match wire::decode(bytes)? {
                Decoded::Packet(packet) => {
                    let is_known = with_node(self.shared, |node| {
                        let input = Input::Packet { link: self.link, packet: &packet };
                        node.step_cluster(clock::now(), input);
                        super::is_known(node, self.link)
                    });
                    if is_known {
                        self.stranger = None;
                    }
                }
                Decoded::Dropped { why, .. } if why.is_silent() => {}
                Decoded::Dropped { why, .. } => self.warn(&why),
            }
        }
        Ok(used)
    }

    fn tell(&self, end: &End) {
        match end {
            End::TooLong(length) => {
                tracing::debug!("a packet of {length} bytes is too long for somebody unknown");
            }
            End::Wire(error) => {
                self.warn(&format_args!("Bad message received from Cluster bus: {error}"));
            }
        }
    }

    /// A line about what has come. Strangers do not fill the log.
    fn warn(&self, line: &dyn fmt::Display) {
        match self.stranger {
            Some(_) => self.shared.bus.strangers.misbehaved.warn(line),
            None => tracing::warn!("{line}"),
        }
    }
}

/// Makes room for a part of the packet that is `length` bytes long: for as many bytes as have come already, so that a long
/// packet is not copied over and over, and its mere announcement takes no memory.
fn make_room(buffer: &mut Vec<u8>, length: Option<usize>) {
    let length = length.unwrap_or(wire::LIGHT_HEADER_BYTES);
    let missing = length.saturating_sub(buffer.len()).max(1);
    if buffer.capacity() - buffer.len() < missing.min(PIECE_BYTES) {
        buffer.reserve_exact(missing.min(buffer.len()).max(PIECE_BYTES));
    }
}

/// Removes the first `used` bytes, and gives memory back where few are left.
fn give_back(buffer: &mut Vec<u8>, used: usize) {
    buffer.drain(..used);
    if used > 0 && buffer.capacity() > KEPT_BYTES && buffer.len() <= buffer.capacity() / 4 {
        buffer.shrink_to(PIECE_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_packet_takes_no_more_memory_than_has_come() {
        let mut buffer = Vec::new();
        let length = 64 << 20;
        let (mut moves, mut place) = (0, buffer.as_ptr());
        while buffer.len() < length {
            let announced = (buffer.len() >= 16).then_some(length);
            make_room(&mut buffer, announced);
            let room = buffer.capacity() - buffer.len();
            assert!((1..=buffer.len().max(PIECE_BYTES)).contains(&room), "{}", buffer.len());
            assert!(buffer.capacity() <= length);
            if place != buffer.as_ptr() {
                (moves, place) = (moves + 1, buffer.as_ptr());
            }
            buffer.resize(buffer.len() + room.min(PIECE_BYTES), 0);
            give_back(&mut buffer, 0);
        }
        assert!(moves < 20, "copied {moves} times");
        give_back(&mut buffer, length);
        assert!(buffer.capacity() <= KEPT_BYTES);
    }

    #[test]
    fn the_start_of_the_next_packet_stays() {
        let mut buffer = vec![7; 1 << 20];
        buffer.extend([1, 2, 3]);
        give_back(&mut buffer, 1 << 20);
        assert_eq!(buffer, [1, 2, 3]);
        assert!(buffer.capacity() <= KEPT_BYTES);
    }
}
