//! `nodes.conf`: what a node of a cluster knows, as text that stock reads and writes too.
//!
//! ```text
//! <id> <ip>:<port>@<cport>,<hostname>,<name>=<value>,... <flags> <primary|-> <ping> <pong> <epoch> <link> <slot> ...
//! vars currentEpoch <n> lastVoteEpoch <n> [electedIn <n>] [dataUntil <ms>] [unclaimed <slot>,...]
//! ```
//!
//! One line per node, the node's own among them. Open slots stand on that line only: `[5->-<id>]` moves out, `[5-<-<id>]`
//! moves in. Versions before 7.0 have no host name, versions before 7.2 nothing behind it; all of them are read, and
//! [`Form`] says which is written. What is behind the host name and not known here is kept and written again.
//!
//! A file is read as a whole or not at all: a promise (a vote, an epoch) that is lost could be given twice.
//! Spec: `docs/format.md`, section 6.

mod parse;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;

/// The slots of a cluster are the numbers below.
pub const SLOT_END: u16 = 16384;

/// Length of a node's id.
pub const ID_BYTES: usize = 40;

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesConf {
    /// The nodes, in the order of the file. Exactly one of them is [`NodeFlag::Myself`].
    pub nodes: Vec<NodeLine>,
    /// The newest epoch this node has seen, as it was written. Epochs of nodes may be newer in files of old versions:
    /// see [`NodesConf::newest_epoch`].
    pub current_epoch: u64,
    /// The epoch of this node's last vote.
    pub last_vote_epoch: u64,
    /// Whether the file has a line for the two. Every version writes one, last; without it a file may have been cut at the
    /// end of a line, though stock takes it.
    pub has_vars: bool,
    /// Of a primary that has taken its predecessor's place in its present epoch: that epoch; otherwise 0. Stock passes over the
    /// name (`electedIn`), and says so.
    pub elected_in: u64,
    /// Of a replica: until when it is known to have had its primary's data, ms since 1970; 0: not at all, as in files of
    /// others. Stock passes over the name (`dataUntil`), and says so.
    pub data_until: u64,
    /// Slots that the owners which the lines name have stopped claiming, as ranges. Stock passes over the name (`unclaimed`).
    pub unclaimed: Vec<(u16, u16)>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeLine {
    /// 40 characters from `0-9a-z`.
    pub id: String,
    /// Its address; empty: not known.
    pub ip: String,
    /// Port for clients.
    pub port: u16,
    /// Port of the bus.
    pub cport: u16,
    /// `cluster-announce-hostname`; empty: none.
    pub hostname: String,
    /// Port for clients with TLS; 0: none.
    pub tls_port: Option<u16>,
    /// Port for clients without TLS, where `port` is the one with.
    pub tcp_port: Option<u16>,
    /// `cluster-announce-human-nodename`.
    pub nodename: Option<String>,
    /// Its shard.
    pub shard_id: Option<String>,
    /// What other versions say of it, by name.
    pub other_aux: Vec<(String, String)>,
    /// What it is, in the order of [`NodeFlag`]. Empty: `noflags`.
    pub flags: Vec<NodeFlag>,
    /// Id of its primary. Nodes that are named here or in `open` need not be listed.
    pub primary: Option<String>,
    /// When it was pinged, ms since 1970; 0: no answer is due.
    pub ping_sent: u64,
    /// When it last answered, ms since 1970.
    pub pong_received: u64,
    /// Its epoch, below 2^63; of a replica: its primary's.
    pub config_epoch: u64,
    /// Whether there was a link to it.
    pub connected: bool,
    /// First and last slot of each range.
    pub slots: Vec<(u16, u16)>,
    /// Slots on the move; of the own node only.
    pub open: Vec<OpenSlot>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeFlag {
    /// The node whose file it is.
    Myself,
    /// `master`: a primary.
    Primary,
    /// `slave`: a replica.
    Replica,
    /// `fail?`: suspected to have failed.
    Pfail,
    /// Agreed to have failed.
    Fail,
    /// Not known by its own name yet.
    Handshake,
    /// Its address is not known.
    NoAddress,
    /// It does not fail over.
    NoFailover,
}

/// All of them with their words, in the order in which stock prints them.
const FLAGS: [(NodeFlag, &str); 8] = [
    (NodeFlag::Myself, "myself"),
    (NodeFlag::Primary, "master"),
    (NodeFlag::Replica, "slave"),
    (NodeFlag::Pfail, "fail?"),
    (NodeFlag::Fail, "fail"),
    (NodeFlag::Handshake, "handshake"),
    (NodeFlag::NoAddress, "noaddr"),
    (NodeFlag::NoFailover, "nofailover"),
];

/// A slot that is being moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSlot {
    /// Which.
    pub slot: u16,
    /// Where.
    pub state: OpenState,
}

/// Where a slot goes or comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenState {
    /// To the node with this id.
    Migrating(String),
    /// From the node with this id.
    Importing(String),
}

/// Which version is to be able to read what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// 7.0: nothing behind the host name. Ports for TLS, names and shards are not in the file then.
    Seven0,
    /// 7.2 and what came behind it.
    #[default]
    Seven2,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesConfError {
    /// Line number, from 1; 0 when it is about the whole file.
    pub line: usize,
    /// What is wrong with it.
    pub what: Mistake,
}

/// Kinds of [`NodesConfError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// The last line has no end: the file was cut.
    CutShort,
    /// Quotes that are not closed.
    Quotes,
    /// Fewer words than a node has.
    TooFewWords(usize),
    /// This is not the id of a node.
    Id(String),
    /// A node that is listed twice.
    Twice(String),
    /// An address that is none.
    Address(String),
    /// Something behind the address that is not understood.
    Aux(String),
    /// A flag that is not known.
    Flag(String),
    /// Flags that do not go together, or with the node's primary.
    Role,
    /// A word that should be a number, or one out of range.
    Number(String),
    /// A link that is neither `connected` nor `disconnected`.
    Link(String),
    /// Slots out of range, or the wrong way round, or not understood.
    Slots(String),
    /// A slot that has an owner already, or is open already.
    SlotTwice(u16),
    /// A slot on the move, on the line of another node.
    OpenElsewhere,
    /// A second node that is `myself`.
    SecondMyself,
    /// No node is `myself`.
    NoMyself,
    /// The line of variables is not understood, or is there twice.
    Vars,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort => f.write_str("the file is cut short: its last line has no end"),
            Self::Quotes => f.write_str("unbalanced quotes"),
            Self::TooFewWords(words) => write!(f, "{words} words, where a node has at least 8"),
            Self::Id(text) => write!(f, "'{text}' is not the id of a node"),
            Self::Twice(id) => write!(f, "the node {id} is listed twice"),
            Self::Address(text) => write!(f, "'{text}' is not an address"),
            Self::Aux(text) => write!(f, "'{text}' behind the address is not understood"),
            Self::Flag(text) => write!(f, "'{text}' is not a flag"),
            Self::Role => f.write_str("a node cannot be both a primary and a replica"),
            Self::Number(text) => write!(f, "'{text}' is not a number in range"),
            Self::Link(text) => write!(f, "'{text}' is not the state of a link"),
            Self::Slots(text) => write!(f, "'{text}' is not a range of slots"),
            Self::SlotTwice(slot) => write!(f, "the slot {slot} is listed twice"),
            Self::OpenElsewhere => f.write_str("only slots of the node itself can be on the move"),
            Self::SecondMyself => f.write_str("a second node is 'myself'"),
            Self::NoMyself => f.write_str("no node is 'myself'"),
            Self::Vars => f.write_str("the line of variables is not understood"),
        }
    }
}

impl fmt::Display for NodesConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for NodesConfError {}

impl NodesConf {
    /// The node whose file it is.
    #[must_use]
    pub fn myself(&self) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.is(NodeFlag::Myself))
    }

    /// The newest epoch in the file: what the node goes on from.
    #[must_use]
    pub fn newest_epoch(&self) -> u64 {
        let epochs = self.nodes.iter().map(|node| node.config_epoch);
        epochs.fold(self.current_epoch, u64::max)
    }
}

impl NodeLine {
    /// Whether it has a flag.
    #[must_use]
    pub fn is(&self, flag: NodeFlag) -> bool {
        self.flags.contains(&flag)
    }
}

/// Whether `text` can be the id of a node or of a shard.
fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    text.len() == ID_BYTES && text.bytes().all(allowed)
}

/// Whether `text` has only letters, digits and what is in `others`.
fn has_only(text: &str, others: &[u8]) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

/// What an address may consist of, apart from letters and digits.
const ADDRESS_MARKS: &[u8] = b".:-_%";
/// The same for host names.
const HOSTNAME_MARKS: &[u8] = b".-";
/// The same for names for people.
const NODENAME_MARKS: &[u8] = b".-_";
/// Addresses end before this many bytes, as in packets.
const ADDRESS_BYTES_MAX: usize = 46;
/// Names end before this many bytes.
const NAME_BYTES_MAX: usize = 256;
/// What the value of something that is not known here may not have: stock's list.
const AUX_FORBIDDEN: &[u8] = b"!#$%&()*+:;<>?@[]^{|}~";

/// Whether a name and its value can stand behind an address.
fn is_aux(name: &str, value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b",\"'\\".contains(&byte);
    let allowed = |byte: u8| plain(byte) && !AUX_FORBIDDEN.contains(&byte);
    // Colons are in addresses of clients, which Valkey writes.
    let in_value = |byte: u8| allowed(byte) || byte == b':';
    !name.is_empty()
        && name.bytes().all(|byte| allowed(byte) && byte != b'=')
        && value.bytes().all(in_value)
}
