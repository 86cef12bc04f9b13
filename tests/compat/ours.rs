//! Our node as a value in this process, with the real time and one client.

use highwater::clock::{self, SystemClock};
use highwater::config::Config;
use highwater::keyspace::{HashKey, Keyspace};
use highwater::node::Node;
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::ClientId;
use highwater::state::client::Peer;
use highwater::state::run::Run;

use crate::peer::{Request, encode, reply_length, shown};

/// A node without sockets.
pub(crate) struct Ours {
    pub(crate) node: Node,
    pub(crate) client: ClientId,
}

impl Ours {
    /// A node with the default settings, changed by `configure`, whose log is kept.
    pub(crate) fn start(configure: impl FnOnce(&mut Config)) -> Ours {
        let mut config = Config::default();
        configure(&mut config);
        let keyspace = Keyspace::new(16, HashKey::from_seed(1), 1);
        let run = Run { first_replication_id: "a".repeat(40), ..Run::default() };
        let mut node = Node::new(config, keyspace, run, clock::now());
        node.state.stream.recording = true;
        let peer = Peer { loopback: true, ..Peer::default() };
        let client = node.connect(peer, clock::now()).expect("there is room");
        Ours { node, client }
    }

    /// Executes `requests` one by one and returns the replies.
    pub(crate) fn run(&mut self, requests: &[Request]) -> Vec<Vec<u8>> {
        requests.iter().map(|request| self.request(request)).collect()
    }

    fn request(&mut self, request: &Request) -> Vec<u8> {
        let bytes = encode(request);
        let requests = parse(&bytes);
        let mut out = Vec::new();
        let batch = (&requests, &bytes[..]);
        self.node.execute(self.client, batch, 0, &mut out, &mut SystemClock);
        assert_eq!(reply_length(&out), Some(out.len()), "one reply to {}", shown(request));
        out
    }

    /// Switches the client to RESP3, or back.
    pub(crate) fn set_resp3(&mut self, resp3: bool) {
        self.node.state.clients.get_mut(self.client).expect("it is connected").resp3 = resp3;
    }

    /// Takes what the log got.
    pub(crate) fn take_log(&mut self) -> Vec<Request> {
        split(&std::mem::take(&mut self.node.state.stream.pending))
    }
}

/// Requests as they stand in a log.
pub(crate) fn split(bytes: &[u8]) -> Vec<Request> {
    let requests = parse(bytes);
    let words = |index| requests.get(index, bytes).iter().map(<[u8]>::to_vec).collect();
    (0..requests.len()).map(words).collect()
}

pub(crate) fn parse(bytes: &[u8]) -> Requests {
    let mut requests = Requests::default();
    let limits = RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };
    RequestParser::default().parse(bytes, limits, &mut requests).expect("well formed");
    requests
}
