//! The link of a replica to its primary: the handshake, and when it is given up.
//!
//! ```text
//!   Idle --connect--> Connecting --> Greeting --> Introducing --> Asking --+--> Waiting --> Receiving --> Loading --+
//!    ^                    PING        AUTH, REPLCONF    PSYNC              |  +FULLRESYNC   $size, bytes             |
//!    |                                                                    +--> Online <----------------------------+
//!    +--------------- lost, refused, silent for too long ---------------------- +CONTINUE, or loaded
//! ```
//!
//! Source: Redis documentation, "Replication"; the lines are those of PSYNC version 2.

use crate::resp::inline::encode;

/// Longest line of a handshake in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// Wait after a failed attempt in milliseconds.
const RETRY_MS: u64 = 1000;

/// What the link needs to know of the node and of the moment.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Monotonic milliseconds.
    pub now_ms: u64,
    /// `repl-timeout`.
    pub timeout_s: u64,
    /// `masteruser` (empty: none) and `masterauth` (empty: do not authenticate).
    pub auth: (&'a [u8], &'a [u8]),
    /// The port that the primary is told.
    pub port: u16,
    /// The address that it is told; empty: none.
    pub ip: &'a str,
    /// Id of the node's history.
    pub id: &'a str,
    /// Offset of its end.
    pub offset: u64,
    /// PSYNC carries FAILOVER: the other side is to take over.
    pub failover: bool,
}

/// What the driver is to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a connection to the primary.
    Connect,
    /// Send these bytes.
    Send(Vec<u8>),
    /// Everything will come: a snapshot of the state at `offset` of history `id`.
    Full {
        /// The primary's id.
        id: String,
        /// The offset.
        offset: u64,
    },
    /// The snapshot begins with the next byte.
    Receive(Size),
    /// The stream goes on where the node stands, maybe under another id.
    Continue {
        /// The primary's id, where it says so.
        id: Option<String>,
    },
    /// Close the connection. The text says why.
    Close(String),
}

/// How the end of a snapshot is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Size {
    /// By its size in bytes.
    Bytes(u64),
    /// By these 40 bytes behind it.
    Mark(Box<[u8; 40]>),
}

/// Which replies of the introduction are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Introduction {
    Auth,
    Other(&'static str),
}

/// How far a link has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// No connection; the next attempt is due then.
    Idle {
        due_ms: u64,
    },
    Connecting,
    Greeting,
    Introducing(Vec<Introduction>),
    Asking,
    /// The primary makes a snapshot.
    Waiting,
    /// It sends one.
    Receiving,
    /// It is being loaded.
    Loading,
    Online,
}

/// A replica's link.
#[derive(Debug)]
pub struct Link {
    stage: Stage,
    /// When something was last heard of the primary, or the connection was begun.
    heard_ms: u64,
    /// When the link was last lost, until it is online again.
    down_since_ms: Option<u64>,
    /// Bytes of the snapshot: expected, where that is known, and received.
    pub transfer: (Option<u64>, u64),
    /// When the transfer began.
    pub transfer_since_ms: u64,
}

impl Link {
    /// A link that is to be opened at once.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            stage: Stage::Idle { due_ms: now_ms },
            heard_ms: now_ms,
            down_since_ms: Some(now_ms),
            transfer: (None, 0),
            transfer_since_ms: now_ms,
        }
    }

    /// Whether a snapshot that has come whole is being loaded.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.stage == Stage::Loading
    }

    /// Whether the stream is being followed.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.stage == Stage::Online
    }

    /// Whether a full sync is under way.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Receiving | Stage::Loading)
    }

    /// As ROLE says it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.stage {
            Stage::Idle { .. } => "connect",
            Stage::Connecting => "connecting",
            Stage::Greeting | Stage::Introducing(_) | Stage::Asking => "handshake",
            Stage::Waiting | Stage::Receiving | Stage::Loading => "sync",
            Stage::Online => "connected",
        }
    }

    /// Seconds since something was heard, while online.
    #[must_use]
    pub fn silent_s(&self, now_ms: u64) -> Option<u64> {
        self.is_online().then(|| now_ms.saturating_sub(self.heard_ms) / 1000)
    }

    /// Seconds since something was heard.
    #[must_use]
    pub fn heard_s(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.heard_ms) / 1000
    }

    /// Seconds that the rest of the snapshot will take at the pace so far, where its size is known.
    #[must_use]
    pub fn eta_s(&self, now_ms: u64) -> Option<u64> {
        let (Some(total), received) = self.transfer else { return None };
        let elapsed_ms = now_ms.saturating_sub(self.transfer_since_ms);
        let left = u128::from(total.saturating_sub(received));
        let left_ms = (left * u128::from(elapsed_ms)).checked_div(u128::from(received))?;
        u64::try_from(left_ms / 1000).ok()
    }

    /// Seconds since the link was lost.
    #[must_use]
    pub fn down_s(&self, now_ms: u64) -> Option<u64> {
        self.down_since_ms.map(|since_ms| now_ms.saturating_sub(since_ms) / 1000)
    }

    /// To be called every now and then: opens the connection when that is due, gives up a silent one.
    pub fn tick(&mut self, facts: &Facts<'_>, out: &mut Vec<Action>) {
        if let Stage::Idle { due_ms } = self.stage {
            if due_ms <= facts.now_ms {
                self.heard_ms = facts.now_ms;
                self.stage = Stage::Connecting;
                out.push(Action::Connect);
            }
            return;
        }
        // While it loads the node itself is busy, and tells the primary so.
        let is_silent = facts.now_ms.saturating_sub(self.heard_ms) > facts.timeout_s * 1000;
        if is_silent && self.stage != Stage::Loading {
            let what = match self.stage {
                Stage::Connecting => "Timeout connecting to the MASTER",
                Stage::Waiting | Stage::Receiving => {
                    "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' parameter in redis.conf to a larger value."
                }
                Stage::Online => "MASTER timeout: no data nor PING received",
                _ => "Timeout in the handshake with the MASTER",
            };
            out.push(Action::Close(what.to_owned()));
        }
    }

    /// The connection is open.
    pub fn connected(&mut self, facts: &Facts<'_>, out: &mut Vec<Action>) {
        self.heard_ms = facts.now_ms;
        self.stage = Stage::Greeting;
        out.push(Action::Send(encode(&[b"PING"])));
    }

    /// The connection is gone, or could not be opened. After one that was online the next attempt follows at once.
    pub fn lost(&mut self, now_ms: u64) {
        let due_ms = if self.is_online() { now_ms } else { now_ms + RETRY_MS };
        self.down_since_ms.get_or_insert(now_ms);
        self.stage = Stage::Idle { due_ms };
    }

    /// Bytes of the snapshot or the stream have come.
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// The snapshot has come whole and is being loaded.
    pub fn received(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.stage = Stage::Loading;
    }

    /// The snapshot has been loaded: the stream follows.
    pub fn loaded(&mut self, now_ms: u64) {
        self.go_online(now_ms);
    }

    fn go_online(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.down_since_ms = None;
        self.stage = Stage::Online;
    }

    /// Deals with the lines at the front of `bytes`, up to where a snapshot or the stream begins. Returns how many bytes
    /// are dealt with.
    pub fn receive(&mut self, bytes: &[u8], facts: &Facts<'_>, out: &mut Vec<Action>) -> usize {
        self.heard_ms = facts.now_ms;
        let mut at = 0;
        while self.reads_lines() {
            let rest = &bytes[at..];
            let Some(length) = memchr::memchr(b'\n', &rest[..rest.len().min(LINE_BYTES_MAX)])
            else {
                if rest.len() >= LINE_BYTES_MAX {
                    out.push(Action::Close("the MASTER sends a line without end".to_owned()));
                }
                return at;
            };
            at += length + 1;
            let line = rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]);
            if let Err(why) = self.line(line, facts, out) {
                out.push(Action::Close(why));
                return at;
            }
        }
        at
    }

    fn reads_lines(&self) -> bool {
        matches!(
            self.stage,
            Stage::Greeting | Stage::Introducing(_) | Stage::Asking | Stage::Waiting
        )
    }

    fn line(
        &mut self,
        line: &[u8],
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) -> Result<(), String> {
        let shown = || String::from_utf8_lossy(line).into_owned();
        let starts = |texts: &[&str]| texts.iter().any(|text| line.starts_with(text.as_bytes()));
        match &mut self.stage {
            Stage::Greeting => {
                if !starts(&["+", "-NOAUTH", "-NOPERM", "-ERR operation not permitted"]) {
                    return Err(format!("Error reply to PING from master: '{}'", shown()));
                }
                self.introduce(facts, out);
            }
            Stage::Introducing(left) => {
                let which = if left.is_empty() { Introduction::Auth } else { left.remove(0) };
                match (which, line.first()) {
                    (Introduction::Auth, Some(b'-')) => {
                        return Err(format!("Unable to AUTH to MASTER: {}", shown()));
                    }
                    (_, Some(b'+' | b'-')) => {}
                    (Introduction::Auth, _) => return Err(format!("Reply to AUTH: '{}'", shown())),
                    (Introduction::Other(what), _) => {
                        return Err(format!("Reply to {what}: '{}'", shown()));
                    }
                }
                if left.is_empty() {
                    self.ask(facts, out);
                }
            }
            // An empty line says that the primary is alive and busy.
            Stage::Asking | Stage::Waiting if line.is_empty() => {}
            Stage::Asking => return self.answer(line, facts, out),
            Stage::Waiting => {
                let size = snapshot_size(line)?;
                let expected = if let Size::Bytes(bytes) = size { Some(bytes) } else { None };
                self.transfer = (expected, 0);
                self.transfer_since_ms = facts.now_ms;
                self.stage = Stage::Receiving;
                out.push(Action::Receive(size));
            }
            _ => unreachable!("no lines are read in this stage"),
        }
        Ok(())
    }

    fn introduce(&mut self, facts: &Facts<'_>, out: &mut Vec<Action>) {
        let mut left = Vec::new();
        let mut bytes = Vec::new();
        let (user, password) = facts.auth;
        if !password.is_empty() {
            let words: &[&[u8]] =
                if user.is_empty() { &[b"AUTH", password] } else { &[b"AUTH", user, password] };
            bytes.extend_from_slice(&encode(words));
            left.push(Introduction::Auth);
        }
        let port = facts.port.to_string();
        let mut say = |what, words: &[&[u8]]| {
            bytes.extend_from_slice(&encode(&[&[&b"REPLCONF"[..]], words].concat()));
            left.push(Introduction::Other(what));
        };
        say("REPLCONF listening-port", &[b"listening-port", port.as_bytes()]);
        if !facts.ip.is_empty() {
            say("REPLCONF ip-address", &[b"ip-address", facts.ip.as_bytes()]);
        }
        say("REPLCONF capa", &[b"capa", b"eof", b"capa", b"psync2"]);
        self.stage = Stage::Introducing(left);
        out.push(Action::Send(bytes));
    }

    fn ask(&mut self, facts: &Facts<'_>, out: &mut Vec<Action>) {
        let next = (facts.offset + 1).to_string();
        let mut words: Vec<&[u8]> = vec![b"PSYNC", facts.id.as_bytes(), next.as_bytes()];
        if facts.failover {
            words.push(b"FAILOVER");
        }
        self.stage = Stage::Asking;
        out.push(Action::Send(encode(&words)));
    }

    /// The reply to PSYNC.
    fn answer(
        &mut self,
        line: &[u8],
        facts: &Facts<'_>,
        out: &mut Vec<Action>,
    ) -> Result<(), String> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("+FULLRESYNC") => {
                let id = words.next().filter(|id| is_id(id));
                // Stock counts offsets in signed numbers.
                let offset = words.next().and_then(|offset| offset.parse::<i64>().ok());
                let offset = offset.and_then(|offset| u64::try_from(offset).ok());
                let (Some(id), Some(offset)) = (id, offset) else {
                    return Err(format!("the MASTER's FULLRESYNC cannot be understood: '{text}'"));
                };
                self.stage = Stage::Waiting;
                out.push(Action::Full { id: id.to_ascii_lowercase(), offset });
                Ok(())
            }
            Some("+CONTINUE") => {
                let id = words.next().map(str::to_ascii_lowercase);
                if id.as_ref().is_some_and(|id| !is_id(id)) {
                    return Err(format!("the MASTER's CONTINUE cannot be understood: '{text}'"));
                }
                self.go_online(facts.now_ms);
                out.push(Action::Continue { id });
                Ok(())
            }
            Some("-NOMASTERLINK" | "-LOADING") => {
                Err(format!("the MASTER cannot be followed yet: '{text}'"))
            }
            Some("-NOAUTH") => {
                Err(format!("the MASTER wants a password: set masterauth ('{text}')"))
            }
            _ => Err(format!("the MASTER refuses PSYNC: '{text}'")),
        }
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The line before a snapshot.
fn snapshot_size(line: &[u8]) -> Result<Size, String> {
    let shown = || String::from_utf8_lossy(line);
    let Some(rest) = line.strip_prefix(b"$") else {
        return Err(format!("the MASTER does not send a snapshot: '{}'", shown()));
    };
    if let Some(mark) = rest.strip_prefix(b"EOF:") {
        let mark =
            mark.try_into().map_err(|_| format!("a mark of 40 bytes is due: '{}'", shown()))?;
        return Ok(Size::Mark(Box::new(mark)));
    }
    let size = std::str::from_utf8(rest).ok().and_then(|digits| digits.parse().ok());
    size.map(Size::Bytes).ok_or_else(|| format!("no size of a snapshot: '{}'", shown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";
    const OTHER: &str = "76543210fedcba9876543210fedcba9876543210";

    fn facts(now_ms: u64) -> Facts<'static> {
        let auth = (&b""[..], &b""[..]);
        Facts { now_ms, timeout_s: 60, auth, port: 7, ip: "", id: ID, offset: 41, failover: false }
    }

    /// The actions as a transcript.
    fn shown(actions: &[Action]) -> String {
        let line = |action: &Action| match action {
            Action::Send(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let words = text.split("\r\n").filter(|word| !word.starts_with(['$', '*']));
                words.collect::<Vec<_>>().join(" ").trim().to_owned()
            }
            Action::Connect => "connect".to_owned(),
            Action::Full { id, offset } => format!("full {id} {offset}"),
            Action::Receive(Size::Bytes(size)) => format!("receive {size}"),
            Action::Receive(Size::Mark(mark)) => format!("receive up to {}", mark.escape_ascii()),
            Action::Continue { id } => format!("continue {id:?}"),
            Action::Close(why) => format!("close: {why}"),
        };
        actions.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// A link that has been opened.
    fn opened(facts: &Facts<'_>) -> Link {
        let (mut link, mut out) = (Link::new(facts.now_ms), Vec::new());
        link.tick(facts, &mut out);
        link.connected(facts, &mut out);
        assert_eq!(shown(&out), "connect\nPING");
        link
    }

    /// What the link does when these bytes come.
    fn told(link: &mut Link, bytes: &str, facts: &Facts<'_>) -> String {
        let mut out = Vec::new();
        link.receive(bytes.as_bytes(), facts, &mut out);
        shown(&out)
    }

    #[test]
    fn a_handshake_goes_step_by_step() {
        let facts = Facts { auth: (b"me", b"secret"), ip: "10.0.0.1", ..facts(0) };
        let mut link = opened(&facts);
        assert_eq!(
            told(&mut link, "-NOAUTH Authentication required.\r\n", &facts),
            "AUTH me secret REPLCONF listening-port 7 REPLCONF ip-address 10.0.0.1 REPLCONF capa eof capa psync2"
        );
        assert_eq!(told(&mut link, "+OK\r\n+OK\r\n-ERR Unrecognized\r\n", &facts), "");
        assert_eq!(link.name(), "handshake");
        assert_eq!(told(&mut link, "+OK\r\n", &facts), format!("PSYNC {ID} 42"));
        assert_eq!(told(&mut link, "\n\n", &facts), "");
        let continued = told(&mut link, &format!("+CONTINUE {OTHER}\r\n*1\r\n"), &facts);
        assert_eq!(continued, format!("continue Some({OTHER:?})"));
        assert!(link.is_online());
    }

    /// A link that has asked for the stream.
    fn asked() -> Link {
        let facts = facts(0);
        let mut link = opened(&facts);
        told(&mut link, "+PONG\r\n+OK\r\n+OK\r\n", &facts);
        link
    }

    #[test]
    fn a_full_sync_is_received_and_loaded_before_the_stream() {
        let mut link = asked();
        let bytes = format!("+FULLRESYNC {OTHER} 7\r\n\n\n$3\r\nabcREST");
        let mut out = Vec::new();
        let used = link.receive(bytes.as_bytes(), &facts(5), &mut out);
        assert_eq!(&bytes[used..], "abcREST", "what follows is no line");
        assert_eq!(shown(&out), format!("full {OTHER} 7\nreceive 3"));
        assert!(link.is_syncing() && !link.is_online());
        link.received(6);
        link.loaded(7);
        assert!(link.is_online());
        assert_eq!((link.down_s(9000), link.silent_s(9007)), (None, Some(9)));
        let mut link = asked();
        told(&mut link, &format!("+FULLRESYNC {OTHER} 0\r\n"), &facts(0));
        let mark = "x".repeat(40);
        assert_eq!(
            told(&mut link, &format!("$EOF:{mark}\r\n"), &facts(0)),
            format!("receive up to {mark}")
        );
    }

    #[test]
    fn what_a_primary_must_not_say_closes_the_link() {
        for line in [
            "+FULLRESYNC abc 5\r\n",
            &format!("+FULLRESYNC {ID}\r\n"),
            &format!("+FULLRESYNC {ID} -5\r\n"),
            "+CONTINUE short\r\n",
            "-NOMASTERLINK Can't SYNC while not connected with my master\r\n",
            "-ERR unknown command\r\n",
            "$5\r\n",
            &"x".repeat(2000),
        ] {
            let said = told(&mut asked(), line, &facts(0));
            assert!(said.starts_with("close: "), "{line}: {said}");
        }
        for line in ["$-1\r\n", "$x\r\n", "$EOF:short\r\n", "+OK\r\n", "-ERR no\r\n"] {
            let mut link = asked();
            told(&mut link, &format!("+FULLRESYNC {OTHER} 0\r\n"), &facts(0));
            let said = told(&mut link, line, &facts(0));
            assert!(said.starts_with("close: "), "{line}: {said}");
        }
        assert!(told(&mut opened(&facts(0)), "-ERR go away\r\n", &facts(0)).starts_with("close"));
    }

    #[test]
    fn a_refused_password_is_said() {
        let facts = Facts { auth: (b"", b"wrong"), ..facts(0) };
        let mut link = opened(&facts);
        assert!(told(&mut link, "+PONG\r\n", &facts).starts_with("AUTH wrong REPLCONF"));
        let said = told(&mut link, "-WRONGPASS invalid\r\n", &facts);
        assert_eq!(said, "close: Unable to AUTH to MASTER: -WRONGPASS invalid");
    }

    #[test]
    fn a_silent_primary_is_given_up_and_tried_again() {
        let mut link = asked();
        told(&mut link, "+CONTINUE\r\n", &facts(1000));
        let mut out = Vec::new();
        link.tick(&facts(61_000), &mut out);
        assert_eq!(out, []);
        link.tick(&facts(61_001), &mut out);
        assert_eq!(shown(&out), "close: MASTER timeout: no data nor PING received");
        out.clear();
        link.lost(61_001);
        assert_eq!(link.down_s(63_001), Some(2));
        // A link that was online is opened again at once, one that failed after a second.
        link.tick(&facts(61_001), &mut out);
        assert_eq!(shown(&out), "connect");
        out.clear();
        link.lost(61_100);
        link.tick(&facts(62_099), &mut out);
        assert_eq!(out, []);
        link.tick(&facts(62_100), &mut out);
        assert_eq!(shown(&out), "connect");
    }
}
