//! A node as a replica: its link, and the stream it follows.

use crate::clock::{Clock, Time};
use crate::commands::Entry;
use crate::migration::Note;
use crate::replication::Link;
use crate::replication::link::{Action, Facts};
use crate::resp::{Args, CommandError, RequestLimits, RequestParser, Requests};
use crate::state::State;
use crate::state::client::Client;
use crate::state::replication::Primary;

use super::Node;
use super::dispatch::{call, resolve_effect};

/// For a stream whose units have been bounded when they were received.
pub(super) const UNLIMITED: RequestLimits =
    RequestLimits { bulk_bytes_max: u64::MAX, authenticated: true };

/// What came of units of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The primary asks what has been applied.
    pub asks: bool,
}

/// The link.
impl Node {
    /// Lets the link of `generation` do something and returns what the driver is to do. Nothing: the node has another
    /// primary since, or none.
    pub fn with_link<T>(
        &mut self,
        generation: u64,
        time: Time,
        run: impl FnOnce(&mut Link, &Facts<'_>, &mut Vec<Action>) -> T,
    ) -> Option<(T, Vec<Action>)> {
        self.state.time = time;
        let State { replication, config, stream, .. } = &mut self.state;
        if replication.generation != generation {
            return None;
        }
        let primary = replication.primary.as_mut()?;
        let announced_port = config.replica_announce_port;
        let facts = Facts {
            now_ms: time.mono_us / 1000,
            timeout_s: u64::from(config.repl_timeout),
            auth: (&config.masteruser, &config.masterauth),
            port: if announced_port == 0 { config.port } else { announced_port },
            ip: &config.replica_announce_ip,
            id: stream.known_id(),
            offset: stream.end,
            failover: replication.failover.is_some(),
        };
        let mut actions = Vec::new();
        let result = run(&mut primary.link, &facts, &mut actions);
        // A link may come and go between two steps of the cluster: what came over it counts all the same.
        self.state.note_data_age();
        Some((result, actions))
    }

    /// What is due: opening the link, giving it up. Not before the node's own data are loaded, nor once its stream cannot
    /// be followed any more.
    pub fn tick_link(&mut self, generation: u64, time: Time) -> Option<Vec<Action>> {
        let waits = self.state.persistence.loading.is_some()
            && !self.state.replication.primary.as_ref()?.link.is_syncing();
        let is_stopped = self.state.replication.primary.as_ref()?.stopped.is_some();
        let (_, actions) = self.with_link(generation, time, |link, facts, out| {
            if !waits && !is_stopped {
                link.tick(facts, out);
            }
        })?;
        Some(actions)
    }

    /// The primary lets the node go on where it stands, maybe under another id.
    pub fn goes_on(&mut self, id: Option<String>) {
        let text = format!(
            "Successful partial resynchronization with master, from offset {} on.",
            self.state.stream.end + 1
        );
        self.state.outputs.push(super::note(text));
        self.state.failover_succeeded();
        // Without a new one the primary has agreed to the one it was asked with.
        let known = self.state.stream.known_id().to_owned();
        let id = id.unwrap_or(known);
        if id == self.state.stream.id {
            self.state.stream.is_told = true;
            return;
        }
        let end = self.state.stream.end;
        self.state.outputs.push(super::note(format!("Master replication ID changed to {id}")));
        self.state.stream.change_id(id, end);
        self.state.stream.is_told = true;
        // Those who follow this node have to hear of the id.
        self.state.detach_replicas();
    }

    /// The connection to the primary is gone. A replica that was to take over does not.
    pub fn link_is_lost(&mut self, generation: u64, why: &str, time: Time) -> bool {
        let lost =
            |link: &mut Link, facts: &Facts<'_>, _: &mut Vec<Action>| link.lost(facts.now_ms);
        let known = self.with_link(generation, time, lost).is_some();
        if known {
            self.state.abort_failover(why);
        }
        known
    }

    /// The stream cannot be followed: the node stays where it is, and says so until somebody looks after it.
    pub fn stop_following(&mut self, why: &str) {
        let Some(primary) = &mut self.state.replication.primary else { return };
        primary.stopped = Some(why.to_owned());
        let offset = self.state.stream.end;
        self.state.outputs.push(super::warning(format!(
            "== CRITICAL == The stream of the MASTER cannot be followed behind offset {offset}: {why}. The link stays closed, so that this replica does not diverge. BGREWRITEAOF on the primary makes a copy without that command; REPLICAOF with the same address then asks for it."
        )));
    }

    /// Applies whole units of the primary's stream and logs them as they came.
    ///
    /// # Errors
    /// A command is not known or fails. The units before it have been applied and logged. Its own has not been logged; where
    /// the command has run, the node has an id with no history, so that whatever was applied of the unit is replaced.
    pub fn follow(
        &mut self,
        generation: u64,
        units: &[u8],
        clock: &mut dyn Clock,
    ) -> Result<Followed, String> {
        if self.state.replication.generation != generation {
            return Err("the node has another primary".to_owned());
        }
        let Some(mut primary) = self.state.replication.primary.take() else {
            return Err("the node is a primary".to_owned());
        };
        let time = clock.now();
        self.state.time = time;
        // The stream goes on in the database that it was in, whoever was followed or loaded meanwhile.
        primary.client.db = self.state.stream.db.unwrap_or(0);
        self.state.keyspace.expire_mode = crate::keyspace::ExpireMode::Ignore;
        let mut requests = Requests::default();
        let result = RequestParser::default()
            .parse(units, UNLIMITED, &mut requests)
            .map_err(|error| error.0)
            .and_then(|_| apply(&mut self.state, &mut primary, (&requests, units), time));
        self.state.replication.primary = Some(primary);
        self.state.settle_role();
        self.tell_watchers();
        if self.state.keyspace.has_ready() {
            self.serve_waiting(clock);
        }
        result
    }
}

fn apply(
    state: &mut State,
    primary: &mut Primary,
    (requests, bytes): (&Requests, &[u8]),
    time: Time,
) -> Result<Followed, String> {
    let mut followed = Followed::default();
    let (mut index, mut start) = (0, 0);
    let mut entries: Vec<&'static Entry> = Vec::new();
    let mut out = Vec::new();
    while index < requests.len() {
        let unit = index..unit_end(requests, bytes, index);
        // All of them are looked up before any is run: an unknown command must not leave half a unit behind.
        entries.clear();
        for index in unit.clone() {
            let args = requests.get(index, bytes);
            let entry =
                resolve_effect(&state.command_names, args).map_err(|error| told(args, &error))?;
            entries.push(entry);
        }
        state.keyspace.begin(time.unix_ms(), state.stream.end + 1);
        for (index, entry) in unit.clone().zip(&entries) {
            let args = requests.get(index, bytes);
            followed.asks |= entry.command.name == "replconf";
            let ran = run(state, &mut primary.client, entry, args, &mut out, time);
            if ran.is_err() {
                // A part of the unit may have been applied. The data are nobody's then, so the next sync brings all.
                let id = state.fresh_id();
                state.stream.disown(id);
            }
            ran?;
        }
        let end = requests.end_of(unit.end - 1);
        state.stream.append(&bytes[start..end]);
        state.stream.db = Some(primary.client.db);
        state.settle_messages(state.stream.end);
        (index, start) = (unit.end, end);
    }
    Ok(followed)
}

/// Index behind the last request of the unit that begins at `index`.
fn unit_end(requests: &Requests, bytes: &[u8], index: usize) -> usize {
    let is = |index: usize, name: &[u8]| requests.get(index, bytes)[0].eq_ignore_ascii_case(name);
    if !is(index, b"multi") {
        return index + 1;
    }
    let exec = (index..requests.len()).find(|&index| is(index, b"exec"));
    exec.expect("units are whole") + 1
}

fn run(
    state: &mut State,
    client: &mut Client,
    entry: &'static Entry,
    args: Args<'_>,
    out: &mut Vec<u8>,
    time: Time,
) -> Result<(), String> {
    state.stats.commands += 1;
    state.stats.command(entry.id).calls += 1;
    if entry.command.name == "ping"
        && let Some(note) = args.get(1).and_then(Note::parse)
    {
        state.hear_of_job(&note);
    }
    if matches!(entry.command.name, "multi" | "exec" | "ping" | "replconf") {
        super::monitor::feed(state, client, entry, args);
        return Ok(());
    }
    out.clear();
    let called = call(state, client, entry, args, out, time);
    super::monitor::feed(state, client, entry, args);
    state.keyspace.effects.clear();
    if called.failed {
        let text = String::from_utf8_lossy(out).trim_end().trim_start_matches('-').to_owned();
        return Err(told(args, &CommandError::owned(text)));
    }
    Ok(())
}

fn told(args: Args<'_>, error: &CommandError) -> String {
    let name = crate::resp::errors::printable(&args[0]);
    format!("'{name}' answers: {}", error.text().trim_end())
}

#[cfg(test)]
mod tests {
    use crate::config::PrimaryAddress;
    use crate::node::tests::Bench;
    use crate::resp::inline::{encode, split_words};

    /// A node that follows a primary.
    fn replica() -> Bench {
        let mut bench = Bench::new();
        bench.run("set old 1");
        bench.log();
        let address = PrimaryAddress { host: "h".to_owned(), port: 1 };
        bench.node.state.set_primary(Some(address));
        bench
    }

    fn stream(lines: &str) -> Vec<u8> {
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.flat_map(|line| encode(&split_words(line.as_bytes()).expect("balanced"))).collect()
    }

    fn follow(bench: &mut Bench, bytes: &[u8]) -> Result<bool, String> {
        let generation = bench.node.state.replication.generation;
        let followed = bench.node.follow(generation, bytes, &mut bench.clock);
        followed.map(|followed| followed.asks)
    }

    #[test]
    fn the_stream_is_applied_and_logged_as_it_came() {
        let mut bench = replica();
        let before = bench.node.state.stream.end;
        let bytes = stream("ping\nselect 3\nMULTI\nset a 1\nincr a\nEXEC\nset b x PXAT 1");
        assert_eq!(follow(&mut bench, &bytes), Ok(false));
        assert_eq!(bench.node.state.stream.pending, bytes);
        assert_eq!(bench.node.state.stream.end, before + bytes.len() as u64);
        assert_eq!(bench.node.state.stream.db, Some(3));
        // A key that has expired is not shown, and stays until the primary says so.
        assert_eq!(bench.run("select 3\nget a\nget b\ndbsize"), "+OK\r\n$1\r\n2\r\n$-1\r\n:2\r\n");
        // The database stays selected from one piece to the next.
        assert_eq!(follow(&mut bench, &stream("del b\nREPLCONF GETACK *")), Ok(true));
        assert_eq!(bench.run("dbsize"), ":1\r\n");
    }

    #[test]
    fn a_unit_with_an_unknown_command_leaves_nothing_behind() {
        let mut bench = replica();
        let good = stream("select 0\nset a 1");
        let bad = stream("MULTI\nset a 2\nnosuch x\nEXEC");
        let error = follow(&mut bench, &[&good[..], &bad].concat()).unwrap_err();
        assert!(error.contains("'nosuch' answers: ERR unknown command"), "{error}");
        assert_eq!(bench.run("get a"), "$1\r\n1\r\n");
        assert_eq!(bench.node.state.stream.pending, good, "what came before is logged");
        let error = follow(&mut bench, &stream("incr old\nsetrange old x y")).unwrap_err();
        assert!(error.contains("'setrange' answers: ERR value is not an integer"), "{error}");
        bench.node.stop_following(&error);
        let shown = bench.run("info replication");
        assert!(shown.contains("master_link_stopped:'setrange'"), "{shown}");
    }

    #[test]
    fn a_replica_takes_writes_from_its_primary_alone() {
        let mut bench = replica();
        let refused = "-READONLY You can't write against a read only replica.\r\n";
        assert_eq!(bench.run("set a 1\nget old"), format!("{refused}$1\r\n1\r\n"));
        bench.run("config set replica-read-only no");
        assert_eq!(
            bench.run("set a 1\nmulti\nset b 1\nexec"),
            "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"
        );
        assert_eq!(bench.log(), "", "they are no part of its primary's stream");
        bench.run("config set replica-serve-stale-data no");
        let stale =
            "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n";
        assert_eq!(bench.run("get old\nping"), format!("{stale}{stale}"));
        assert_eq!(
            bench.run("wait 0 0"),
            stale,
            "stock looks at the link before it looks at the command"
        );
    }

    #[test]
    fn another_id_begins_where_the_history_parts() {
        let mut bench = replica();
        let (id, end) = (bench.node.state.stream.id.clone(), bench.node.state.stream.end);
        bench.node.goes_on(Some("b".repeat(40)));
        bench.node.goes_on(Some("b".repeat(40)));
        let stream = &bench.node.state.stream;
        assert_eq!((&stream.id, &stream.former), (&"b".repeat(40), &Some((id, end))));
        follow(&mut bench, &stream_of_one()).unwrap();
        assert_eq!(bench.run("replicaof no one"), "+OK\r\n");
        let stream = &bench.node.state.stream;
        assert_eq!(stream.former, Some(("b".repeat(40), stream.end)));
        assert_ne!(stream.id, "b".repeat(40));
        assert_eq!(stream.new_ids.len(), 2, "the log hears of each");
        assert!(bench.run("set a 1").starts_with("+OK"));
        assert!(bench.log().ends_with("SELECT 0\nset a 1"), "followers know of no database");
    }

    fn stream_of_one() -> Vec<u8> {
        stream("set x y")
    }
}
