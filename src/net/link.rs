//! The link of a replica: carries out what the node decides, and hands it the stream.
//!
//! One task for the process. It follows the primary that the node has, and starts over when that changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::driver::{carry_out, collect, with_node};
use super::receive::Receiving;
use super::shared::Shared;
use crate::clock::{self, SystemClock};
use crate::logging::{self, Role};
use crate::replication::link::{Action, Size};
use crate::replication::units::Units;

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(100);

/// Between two acknowledgements that nobody asked for.
const ACK_INTERVAL: Duration = Duration::from_secs(1);

/// Between two looks at whether what was applied is in the log.
const ACK_POLL: Duration = Duration::from_millis(1);

/// Bytes that the log may be behind the stream.
const UNLOGGED_BYTES_MAX: u64 = 64 << 20;

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a connection came to its end.
type Lost = String;

/// Follows the node's primary, whoever that is. Never ends.
pub(super) async fn link_task(shared: Arc<Shared>) {
    loop {
        let generation = generation(&shared);
        logging::set_role(if generation.is_some() { Role::Replica } else { Role::Primary });
        match generation {
            // Dropped at one of its awaits when the node gets another primary.
            Some(number) => tokio::select! {
                () = follow(&shared, number) => {}
                () = changed(&shared, generation) => {}
            },
            None => changed(&shared, generation).await,
        }
    }
}

/// Which of its primaries the node has; none: it is a primary.
fn generation(shared: &Shared) -> Option<u64> {
    let replication = &shared.node.lock().state.replication;
    replication.primary.as_ref().map(|_| replication.generation)
}

/// Waits until the node has another primary than that of `former`. Being told is not enough: at a start the news of the
/// first primary comes when the link to it is already being opened.
async fn changed(shared: &Shared, former: Option<u64>) {
    loop {
        let told = shared.link_changed.notified();
        if generation(shared) != former {
            return;
        }
        told.await;
    }
}

/// Connects again and again, until the node has another primary.
async fn follow(shared: &Arc<Shared>, generation: u64) {
    loop {
        let tick = || with_node(shared, |node| node.tick_link(generation, clock::now()));
        let Some(actions) = tick() else { return };
        if actions.contains(&Action::Connect) {
            let why = match connect(shared).await {
                Ok(socket) => match (Session { shared, generation, socket }).run().await {
                    Ok(never) => match never {},
                    Err(why) => why,
                },
                Err(why) => why,
            };
            let text = format!("The link to the MASTER is lost: {why}");
            if !with_node(shared, |node| node.link_is_lost(generation, &why, clock::now())) {
                return;
            }
            tracing::warn!("{text}");
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn connect(shared: &Shared) -> Result<TcpStream, Lost> {
    let (address, timeout_s, source) = {
        let state = &shared.node.lock().state;
        let primary = state.replication.primary.as_ref().ok_or("there is no MASTER")?;
        let config = &state.config;
        let timeout_s = u64::from(config.repl_timeout);
        (primary.address.clone(), timeout_s, config.bind_source_addr.clone())
    };
    tracing::info!("Connecting to MASTER {}:{}", address.host, address.port);
    let connecting = super::socket::open(&address.host, address.port, &source);
    let connected = tokio::time::timeout(Duration::from_secs(timeout_s), connecting).await;
    let socket = connected
        .map_err(|_| "Timeout connecting to the MASTER".to_owned())?
        .map_err(|error| format!("Error condition on socket for SYNC: {error}"))?;
    socket.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(socket)
}

/// An open connection to the primary.
struct Session<'a> {
    shared: &'a Arc<Shared>,
    generation: u64,
    socket: TcpStream,
}

impl Session<'_> {
    /// Never ends well.
    async fn run(mut self) -> Result<std::convert::Infallible, Lost> {
        let mut actions = self.ask(|node, generation| {
            let connected = node.with_link(generation, clock::now(), |link, facts, out| {
                link.connected(facts, out);
            });
            Some(connected?.1)
        })?;
        let mut full = None;
        let mut unread: Vec<u8> = Vec::new();
        loop {
            for action in actions {
                match action {
                    Action::Connect => {}
                    Action::Send(bytes) => self.send(&bytes).await?,
                    Action::Full { id, offset } => {
                        tracing::info!("Full resync from master: {id}:{offset}");
                        with_node(self.shared, |node| node.state.failover_succeeded());
                        full = Some((id, offset));
                    }
                    Action::Receive(size) => {
                        let (id, offset) = full.take().ok_or("no full sync was announced")?;
                        unread = self.receive(size, (id, offset), unread).await?;
                        return self.stream(unread).await;
                    }
                    Action::Continue { id } => {
                        with_node(self.shared, |node| node.goes_on(id));
                        // Kept also where nobody follows yet: the node may be promoted.
                        self.shared.committer.start_relay(self.shared);
                        return self.stream(unread).await;
                    }
                    Action::Close(why) => return Err(why),
                }
            }
            actions = self.lines(&mut unread).await?;
        }
    }

    /// Asks the node something; an error when it has another primary meanwhile.
    fn ask<T>(
        &self,
        run: impl FnOnce(&mut crate::node::Node, u64) -> Option<T>,
    ) -> Result<T, Lost> {
        with_node(self.shared, |node| run(node, self.generation))
            .ok_or_else(|| "the node has another MASTER".to_owned())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        self.socket.write_all(bytes).await.map_err(|error| error.to_string())
    }

    /// Reads more lines of the handshake, or looks at the time; what the node makes of them.
    async fn lines(&mut self, unread: &mut Vec<u8>) -> Result<Vec<Action>, Lost> {
        let mut piece = [0; 4096];
        let came = tokio::select! {
            read = self.socket.read(&mut piece) => Some(read.map_err(|error| error.to_string())?),
            () = tokio::time::sleep(TICK) => None,
        };
        let Some(count) = came else {
            return self.ask(|node, generation| node.tick_link(generation, clock::now()));
        };
        if count == 0 {
            return Err("the MASTER has closed the connection".to_owned());
        }
        unread.extend_from_slice(&piece[..count]);
        let (used, actions) = self.ask(|node, generation| {
            node.with_link(generation, clock::now(), |link, facts, out| {
                link.receive(unread, facts, out)
            })
        })?;
        unread.drain(..used);
        Ok(actions)
    }

    /// Receives a snapshot, of which `unread` is the beginning, and loads it. Returns what has come of the stream.
    async fn receive(
        &mut self,
        size: Size,
        (id, offset): (String, u64),
        unread: Vec<u8>,
    ) -> Result<Vec<u8>, Lost> {
        let mut receiving = Receiving::begin(self.shared, self.generation, size, (id, offset))?;
        let mut rest = receiving.take(unread).await?;
        let mut piece = vec![0; PIECE_BYTES];
        while !receiving.is_whole() {
            let count = tokio::select! {
                read = self.socket.read(&mut piece) => read.map_err(|error| error.to_string())?,
                () = tokio::time::sleep(ACK_INTERVAL) => {
                    let due = self.ask(|node, generation| node.tick_link(generation, clock::now()))?;
                    if let Some(Action::Close(why)) = due.into_iter().next() {
                        return Err(why);
                    }
                    continue;
                }
            };
            if count == 0 {
                return Err(
                    "the MASTER has closed the connection in the middle of the snapshot".to_owned()
                );
            }
            rest = receiving.take(piece[..count].to_vec()).await?;
        }
        // Before the load begins: should the link be lost meanwhile, it is not taken for one that loads.
        self.ask(|node, generation| {
            node.with_link(generation, clock::now(), |link, facts, _| link.received(facts.now_ms))
        })?;
        let mut loaded = receiving.load();
        loop {
            tokio::select! {
                result = &mut loaded => {
                    result.map_err(|_| "the snapshot was not loaded".to_owned())??;
                    break;
                }
                // The primary is told that the node is alive.
                () = tokio::time::sleep(ACK_INTERVAL) => self.send(b"\n").await?,
            }
        }
        self.ask(|node, generation| {
            node.with_link(generation, clock::now(), |link, facts, _| link.loaded(facts.now_ms))
        })?;
        self.acknowledge().await?;
        Ok(rest)
    }

    /// Follows the stream, of which `unread` is the beginning.
    async fn stream(&mut self, unread: Vec<u8>) -> Result<std::convert::Infallible, Lost> {
        let mut units = Units::default();
        let mut asked = self.apply(&mut units, &unread)?;
        self.acknowledge().await?;
        let mut acked = tokio::time::Instant::now();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let pause = if asked.is_some() { ACK_POLL } else { TICK };
            let may_read = self.may_read();
            if may_read && !units.whole().is_empty() {
                asked = asked.max(self.apply(&mut units, &[])?);
            }
            tokio::select! {
                read = self.socket.read(&mut piece), if may_read => {
                    let count = read.map_err(|error| error.to_string())?;
                    if count == 0 {
                        return Err("the MASTER has closed the connection".to_owned());
                    }
                    asked = asked.max(self.apply(&mut units, &piece[..count])?);
                }
                () = tokio::time::sleep(pause) => {
                    let due = self.ask(|node, generation| node.tick_link(generation, clock::now()))?;
                    if let Some(Action::Close(why)) = due.into_iter().next() {
                        return Err(why);
                    }
                }
            }
            let is_answered =
                asked.is_some_and(|offset| self.shared.committer.released() >= offset);
            if is_answered || acked.elapsed() >= ACK_INTERVAL {
                self.acknowledge().await?;
                acked = tokio::time::Instant::now();
                if is_answered {
                    asked = None;
                }
            }
        }
    }

    /// Whether more of the stream is wanted: not while the node's own data are read from disk again, and not while its log is
    /// far behind, or memory would have to hold what the log cannot take.
    fn may_read(&self) -> bool {
        let state = &self.shared.node.lock().state;
        let behind = state.stream.end.saturating_sub(self.shared.committer.released());
        state.persistence.loading.is_none() && behind < UNLOGGED_BYTES_MAX
    }

    /// Applies what has come whole. Where the primary asks what has been applied: the offset to be acknowledged.
    fn apply(&self, units: &mut Units, bytes: &[u8]) -> Result<Option<u64>, Lost> {
        let malformed = units.push(bytes).err();
        let mut node = self.shared.node.lock();
        let now_ms = clock::mono_us() / 1000;
        if node.state.replication.generation != self.generation {
            return Err("the node has another MASTER".to_owned());
        }
        if let Some(primary) = &mut node.state.replication.primary {
            primary.link.heard(now_ms);
        }
        let followed = match units.whole() {
            [] => Ok(Default::default()),
            // The keyspace is about to be exchanged for one that would lack this.
            _ if node.state.persistence.loading.is_some() => return Ok(None),
            whole => node.follow(self.generation, whole, &mut SystemClock),
        };
        units.applied();
        if let Err(why) = &followed {
            node.stop_following(why);
        }
        let end = node.state.stream.end;
        let extra = collect(&mut node);
        drop(node);
        if let Some(extra) = extra {
            carry_out(self.shared, extra);
        }
        // What was applied goes to the log, and on to the node's own replicas.
        self.shared.committer.commit_turn(self.shared);
        let followed: crate::node::Followed = followed?;
        if let Some(error) = malformed {
            return Err(format!(
                "the MASTER's stream cannot be understood behind offset {end}: {}",
                error.0
            ));
        }
        Ok(followed.asks.then_some(end))
    }

    /// Tells the primary what has been applied and is in the log as far as `appendfsync` promises.
    async fn acknowledge(&mut self) -> Result<(), Lost> {
        let (applied, aof) = {
            let state = &self.shared.node.lock().state;
            (state.stream.end, state.persistence.aof_enabled)
        };
        let acked = applied.min(self.shared.committer.released()).to_string();
        let (_, durable) = self.shared.committer.progress();
        let durable = durable.to_string();
        let mut words: Vec<&[u8]> = vec![b"REPLCONF", b"ACK", acked.as_bytes()];
        if aof {
            words.extend([&b"FACK"[..], durable.as_bytes()]);
        }
        self.send(&crate::resp::inline::encode(&words)).await
    }
}
