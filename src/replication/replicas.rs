//! The replicas attached to a node, and what they have acknowledged.

/// How far a replica has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for a snapshot to be made.
    WaitsForSnapshot,
    /// A snapshot is being sent to it.
    ReceivesSnapshot,
    /// It follows the stream.
    Online,
}

impl Stage {
    /// As INFO says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::WaitsForSnapshot => "wait_bgsave",
            Stage::ReceivesSnapshot => "send_bulk",
            Stage::Online => "online",
        }
    }
}

/// What a peer says of itself before it asks for the stream (REPLCONF).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// `listening-port`.
    pub port: u16,
    /// `ip-address`; empty: that of its connection.
    pub ip: String,
    /// `capa eof`: takes a snapshot whose size is not known beforehand.
    pub takes_eof: bool,
    /// `capa psync2`: understands a new id behind `+CONTINUE`.
    pub takes_ids: bool,
    /// `rdb-only`: wants a snapshot and no stream.
    pub snapshot_only: bool,
    /// `rdb-filter-only` with an empty list, or with functions alone: no keys.
    pub without_keys: bool,
}

/// An attached replica.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Number of its connection.
    pub client: u64,
    /// Where it says that it listens.
    pub ip: String,
    /// At which port.
    pub port: u16,
    /// How far it has come.
    pub stage: Stage,
    /// Whether it has acknowledged anything, be it offset 0.
    pub has_acked: bool,
    /// Offset that it has acknowledged.
    pub acked: u64,
    /// Offset that it has synced (`fack`), where it says so.
    pub synced: Option<u64>,
    /// When it last acknowledged, monotonic milliseconds.
    pub acked_ms: u64,
    /// Bytes of the snapshot it gets: all, where that is known, and those sent.
    pub sync: Option<(Option<u64>, u64)>,
}

/// All attached replicas, in the order of their attaching.
#[derive(Debug, Default)]
pub struct Replicas {
    list: Vec<Replica>,
}

impl Replicas {
    /// Attaches a replica.
    pub fn attach(&mut self, replica: Replica) {
        self.detach(replica.client);
        self.list.push(replica);
    }

    /// A connection is gone. Whether it was a replica's.
    pub fn detach(&mut self, client: u64) -> bool {
        let before = self.list.len();
        self.list.retain(|replica| replica.client != client);
        self.list.len() != before
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Replica> {
        self.list.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The replica of a connection.
    pub fn get_mut(&mut self, client: u64) -> Option<&mut Replica> {
        self.list.iter_mut().find(|replica| replica.client == client)
    }

    /// Whether a connection is a replica's.
    #[must_use]
    pub fn has(&self, client: u64) -> bool {
        self.list.iter().any(|replica| replica.client == client)
    }

    fn online(&self) -> impl Iterator<Item = &Replica> {
        self.list.iter().filter(|replica| replica.stage == Stage::Online)
    }

    /// How many follow the stream.
    #[must_use]
    pub fn online_count(&self) -> usize {
        self.online().count()
    }

    /// How many have acknowledged `offset` (WAIT).
    #[must_use]
    pub fn acked(&self, offset: u64) -> usize {
        self.online().filter(|replica| replica.acked >= offset).count()
    }

    /// How many have synced `offset` (WAITAOF).
    #[must_use]
    pub fn synced(&self, offset: u64) -> usize {
        self.online()
            .filter(|replica| replica.synced.is_some_and(|synced| synced >= offset))
            .count()
    }

    /// How many have acknowledged something within the last `lag_s` seconds (`min-replicas-max-lag`).
    #[must_use]
    pub fn good(&self, now_ms: u64, lag_s: u64) -> usize {
        self.online().filter(|replica| lag_s_of(replica, now_ms) <= lag_s).count()
    }

    /// Those that follow the stream and have been silent for more than `timeout_s` seconds.
    pub fn silent(&self, now_ms: u64, timeout_s: u64) -> impl Iterator<Item = &Replica> {
        self.online().filter(move |replica| lag_s_of(replica, now_ms) > timeout_s)
    }
}

/// Seconds since a replica last acknowledged.
#[must_use]
pub fn lag_s_of(replica: &Replica, now_ms: u64) -> u64 {
    now_ms.saturating_sub(replica.acked_ms) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(client: u64, stage: Stage, acked: u64, synced: Option<u64>) -> Replica {
        Replica {
            client,
            ip: "::1".to_owned(),
            port: 1,
            stage,
            has_acked: false,
            acked,
            synced,
            acked_ms: client * 1000,
            sync: None,
        }
    }

    #[test]
    fn only_those_that_follow_count() {
        let mut replicas = Replicas::default();
        replicas.attach(replica(1, Stage::Online, 100, None));
        replicas.attach(replica(2, Stage::Online, 50, Some(40)));
        replicas.attach(replica(3, Stage::ReceivesSnapshot, 500, Some(500)));
        assert_eq!((replicas.acked(50), replicas.acked(51), replicas.acked(101)), (2, 1, 0));
        assert_eq!((replicas.synced(40), replicas.synced(41)), (1, 0));
        assert_eq!((replicas.good(11_000, 10), replicas.good(11_999, 10)), (2, 2));
        assert_eq!((replicas.good(12_000, 10), replicas.good(13_000, 10)), (1, 0));
        let silent: Vec<u64> = replicas.silent(12_000, 10).map(|replica| replica.client).collect();
        assert_eq!(silent, [1]);
        assert!(replicas.detach(1) && !replicas.detach(1));
        assert_eq!((replicas.len(), replicas.online_count()), (2, 1));
    }

    #[test]
    fn a_connection_is_one_replica() {
        let mut replicas = Replicas::default();
        replicas.attach(replica(1, Stage::WaitsForSnapshot, 0, None));
        replicas.attach(replica(1, Stage::Online, 7, None));
        assert_eq!((replicas.len(), replicas.acked(7)), (1, 1));
    }
}
