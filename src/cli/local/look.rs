//! What nodes say of themselves and of each other.

use std::fmt::Write;
use std::time::Duration;

use super::config_file;
use super::ports;
use super::site::Site;
use crate::cli::wire::{Address, Connection, Credentials, Failure};
use crate::config::{Config, os_reason};

/// Nodes of this host answer a question within this, or are stuck.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What changes the cluster is on disk before it is answered, and a disk may be busy.
const PATIENCE_FOR_DISK: Duration = Duration::from_secs(60);

/// How a node is reached.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) port: u16,
    host: String,
    credentials: Credentials,
}

impl Access {
    /// As the node's file says.
    ///
    /// # Errors
    /// The file cannot be read, or is wrong.
    pub(super) fn of(site: &Site, port: u16) -> Result<Self, String> {
        Ok(Self::with(&config_file::read(site, port)?, port))
    }

    fn with(config: &Config, port: u16) -> Self {
        let password = String::from_utf8_lossy(&config.requirepass).into_owned();
        let password = Some(password).filter(|password| !password.is_empty());
        // Listening everywhere includes loopback; an address by name may not.
        let host = match config.bind.first().map(|word| ports::address(word)) {
            None | Some("0.0.0.0" | "::") => "127.0.0.1",
            Some(address) => address,
        };
        Self { port, host: host.to_owned(), credentials: Credentials { user: None, password } }
    }

    /// The address by which other nodes get to know it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether clients need a password.
    pub(super) fn has_password(&self) -> bool {
        self.credentials.password.is_some()
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// The node is not there, does not answer, or refuses the password.
    pub(super) fn connect(&self) -> Result<Connection, Failure> {
        let address = Address::Tcp(self.host.clone(), self.port);
        let mut connection = Connection::open(&address, Some(PATIENCE))?;
        connection.set_timeout(Some(PATIENCE))?;
        connection.authenticate(&self.credentials)?;
        Ok(connection)
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// As [`Self::connect`]; an error reply.
    pub(super) fn text(&self, words: &[&str]) -> Result<String, Failure> {
        let reply = self.connect()?.call(words)?;
        Ok(reply.text().unwrap_or_default())
    }

    /// Tells the node to do something.
    ///
    /// # Errors
    /// As [`Self::connect`]; an error reply.
    pub(super) fn tell(&self, words: &[&str]) -> Result<(), String> {
        let told = self.connect().and_then(|mut connection| {
            connection.set_timeout(Some(PATIENCE_FOR_DISK))?;
            connection.call(words)
        });
        // Words behind the first two may be secret.
        let what = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        told.map(drop).map_err(|error| format!("{} {} ({what})", self.port, in_words(&error)))
    }

    /// The cluster as this node sees it.
    ///
    /// # Errors
    /// As [`Self::connect`]; an answer that is none.
    pub(super) fn view(&self) -> Result<View, Failure> {
        let mut connection = self.connect()?;
        let mut ask = |word| -> Result<String, Failure> {
            Ok(connection.call(&["CLUSTER", word])?.text().unwrap_or_default())
        };
        let info = ask("INFO")?;
        Ok(View {
            ok: field(&info, "cluster_state") == Some("ok"),
            epoch: field(&info, "cluster_current_epoch")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            peers: parse(&ask("NODES")?),
        })
    }
}

/// What is wrong with a node, as the end of a sentence that begins with its port.
pub(super) fn in_words(failure: &Failure) -> String {
    use std::io::ErrorKind::{ConnectionRefused, TimedOut, WouldBlock};
    match failure {
        Failure::Connection(error) => match error.kind() {
            ConnectionRefused => "does not listen yet".to_owned(),
            TimedOut | WouldBlock => "does not answer in time".to_owned(),
            _ => format!("cannot be asked: {}", os_reason(error)),
        },
        Failure::Refused(text) if text.starts_with("LOADING") => "loads its data".to_owned(),
        Failure::Refused(text) => format!("says: {text}"),
    }
}

/// A field of an INFO text.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// The cluster as one node sees it.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// It serves.
    pub(super) ok: bool,
    /// The latest epoch it heard of.
    pub(super) epoch: u64,
    pub(super) peers: Vec<Peer>,
}

impl View {
    pub(super) fn myself(&self) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.has("myself"))
    }

    /// Whether the node is in no cluster: it knows nobody, and has nothing to serve.
    pub(super) fn is_alone(&self) -> bool {
        self.peers.len() == 1 && self.myself().is_some_and(|myself| myself.slots.is_empty())
    }

    /// Whether it has heard from the node with this id.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.peers.iter().any(|peer| peer.id == id && !peer.has("handshake"))
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.id == id)
    }
}

/// A line of CLUSTER NODES.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) id: String,
    pub(super) port: u16,
    flags: Vec<String>,
    /// Id of the node that it replicates.
    pub(super) primary: Option<String>,
    pub(super) config_epoch: u64,
    /// First and last of each range, in order.
    pub(super) slots: Vec<(u16, u16)>,
}

impl Peer {
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|other| other == flag)
    }

    /// Whether the others gave it up.
    pub(super) fn has_failed(&self) -> bool {
        self.has("fail")
    }

    pub(super) fn slot_count(&self) -> u32 {
        self.slots.iter().map(|(first, last)| u32::from(last - first) + 1).sum()
    }

    /// The slots in a few words.
    pub(super) fn slots_in_words(&self) -> String {
        const RANGES_SHOWN: usize = 3;
        let mut text = String::new();
        for (index, (first, last)) in self.slots.iter().take(RANGES_SHOWN).enumerate() {
            let blank = if index == 0 { "" } else { " " };
            let written = if first == last {
                write!(text, "{blank}{first}")
            } else {
                write!(text, "{blank}{first}-{last}")
            };
            written.expect("a string takes any text");
        }
        if self.slots.len() > RANGES_SHOWN {
            text += " ...";
        }
        text
    }
}

/// Reads CLUSTER NODES. Lines of another form are left out.
fn parse(text: &str) -> Vec<Peer> {
    text.lines().filter_map(peer).collect()
}

fn peer(line: &str) -> Option<Peer> {
    let words: Vec<&str> = line.split(' ').collect();
    let [id, address, flags, primary, _, _, epoch, _, slots @ ..] = words.as_slice() else {
        return None;
    };
    // HOST:PORT@BUS,NAME
    let port = address.split('@').next()?.rsplit(':').next()?.parse().ok()?;
    let range = |word: &&str| -> Option<(u16, u16)> {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some((first.parse().ok()?, last.parse().ok()?)).filter(|(first, last)| first <= last)
    };
    Some(Peer {
        id: (*id).to_owned(),
        port,
        flags: flags.split(',').map(str::to_owned).collect(),
        primary: Some((*primary).to_owned()).filter(|id| id != "-"),
        config_epoch: epoch.parse().ok()?,
        // Slots on the move stand in brackets, and are ranges of nobody.
        slots: slots.iter().filter_map(range).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cluster_nodes_are_read() {
        let text = "\
aa 127.0.0.1:7000@17000,name myself,master - 0 1 3 connected 0-5460 5462 [7->-bb]
bb 127.0.0.1:7001@17001 slave,fail aa 0 1 3 disconnected
cc :0@0 handshake - 0 0 0 connected
broken
";
        let view = View { ok: true, epoch: 3, peers: parse(text) };
        assert_eq!(view.peers.len(), 3);
        let first = view.myself().unwrap();
        assert_eq!((first.port, first.config_epoch), (7000, 3));
        assert_eq!(first.slots, [(0, 5460), (5462, 5462)]);
        assert_eq!(first.slot_count(), 5462);
        assert_eq!(first.slots_in_words(), "0-5460 5462");
        let second = view.by_id("bb").unwrap();
        assert!(second.has_failed() && second.primary.as_deref() == Some("aa"));
        assert!(view.knows("bb") && !view.knows("cc") && !view.knows("dd"));
    }

    #[test]
    fn many_ranges_are_cut_short() {
        let slots = (0..10).map(|slot| (slot * 2, slot * 2)).collect();
        let mut peer = parse("aa 127.0.0.1:1@2 master - 0 0 0 connected").remove(0);
        peer.slots = slots;
        assert_eq!(peer.slots_in_words(), "0 2 4 ...");
    }
}
