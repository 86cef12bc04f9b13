//! The tools of operators, as they are: `redis-cli --cluster`, `redis-cli -c`, `redis-benchmark --cluster`.
//!
//! Slots that hold keys are moved in `reshard.rs`.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::member::{Kind, Member};
use crate::server::wait_for;
use crate::shards::{Shards, TIMEOUT_MS};

use Kind::{Ours, Stock};

/// What `redis-cli` said, and whether it was content.
pub(crate) struct Said {
    pub(crate) is_content: bool,
    pub(crate) text: String,
}

impl Said {
    /// It was content, and said this.
    #[track_caller]
    pub(crate) fn has(&self, text: &str) -> &Said {
        assert!(self.is_content && self.text.contains(text), "{text:?} is not in:\n{}", self.text);
        self
    }
}

/// Runs a program with words, and with others behind them. Asked, we say yes.
fn run(program: &str, line: &str, more: &[String]) -> Said {
    let mut command = Command::new(program);
    command.args(line.split(' ')).args(more).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    // It may have ended without having asked.
    child.stdin.take().expect("it was piped").write_all(b"yes\n").ok();
    let output = child.wait_with_output().expect("it runs");
    let [out, err] = [output.stdout, output.stderr];
    let text = String::from_utf8_lossy(&[out, err].concat()).into_owned();
    Said { is_content: output.status.success(), text }
}

pub(crate) fn cli(line: &str) -> Said {
    run("redis-cli", line, &[])
}

fn start(kinds: &[Kind], settings: &[&str]) -> Shards {
    let settings = [&["--cluster-node-timeout", TIMEOUT_MS], settings].concat();
    Shards { members: kinds.iter().map(|kind| Member::start(*kind, &settings)).collect() }
}

fn addresses(members: &[Member]) -> Vec<String> {
    members.iter().map(Member::address).collect()
}

/// Waits until `check` is content at all of these.
fn settled(options: &str, members: &[&Member]) {
    for member in members {
        wait_for("a clean check", || {
            let said = cli(&format!("{options}--cluster check {}", member.address()));
            let agree = said.text.contains("[OK] All nodes agree about slots configuration.");
            (said.is_content && agree && said.text.contains("[OK] All 16384")).then_some(())
        });
    }
}

/// Makes three shards with a password, adds a primary and a replica, moves empty slots, and takes both away again.
fn grow_and_shrink(kinds: &[Kind]) {
    let shards = start(kinds, &[]);
    let ids: Vec<String> = shards.members.iter().map(Member::id).collect();
    for member in &shards.members {
        for setting in ["masterauth secret", "requirepass secret"] {
            assert_eq!(member.ask(&format!("CONFIG SET {setting}")), "+OK\r\n");
        }
    }
    let with = "-a secret --no-auth-warning ";
    let all: Vec<&Member> = shards.members.iter().collect();
    let [first, .., primary, replica] = &all[..] else { panic!("five") };
    let create = format!("{with}--cluster create --cluster-replicas 0 --cluster-yes");
    run("redis-cli", &create, &addresses(&shards.members[..3]))
        .has("[OK] All 16384 slots covered.");
    settled(with, &all[..3]);
    let at = first.address();
    cli(&format!("{with}--cluster info {at}")).has("[OK] 0 keys in 3 masters.");
    let called = cli(&format!("{with}--cluster call {at} PING"));
    assert_eq!(called.text.matches("PONG").count(), 3, "{}", called.text);
    cli(&format!("{with}--cluster set-timeout {at} 2000")).has("3 OK, 0 ERR");
    let add = format!("{with}--cluster add-node {} {at}", primary.address());
    cli(&add).has("[OK] New node added correctly.");
    settled(with, &all[..4]);
    let options = format!("--cluster-slave --cluster-master-id {}", ids[3]);
    let add = format!("{with}--cluster add-node {} {at} {options}", replica.address());
    cli(&add).has("[OK] New node added correctly.");
    wait_for("a replica that follows", || {
        let said = cli(&format!("{with}-p {} INFO replication", replica.port));
        said.text.contains("master_link_status:up").then_some(())
    });
    settled(with, &all);
    let move_slots = |from: &str, to: &str, count: u32| {
        let what = format!("--cluster-from {from} --cluster-to {to} --cluster-slots {count}");
        let said = cli(&format!("{with}--cluster reshard {at} {what} --cluster-yes"));
        assert!(said.is_content, "{}", said.text);
        settled(with, &all);
        let nodes = cli(&format!("{with}-p {} CLUSTER NODES", primary.port)).text;
        let line = nodes.lines().find(|line| line.contains("myself")).expect("it knows itself");
        line.split(' ').skip(8).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(move_slots(&ids[0], &ids[3], 10), ["0-9"]);
    assert_eq!(move_slots(&ids[3], &ids[0], 10), Vec::<String>::new());
    for (index, left) in [(4, &all[..4]), (3, &all[..3])] {
        let said = cli(&format!("{with}--cluster del-node {at} {}", ids[index]));
        said.has("Sending CLUSTER RESET SOFT to the deleted node.");
        settled(with, left);
        let alone = cli(&format!("{with}-p {} CLUSTER INFO", all[index].port));
        alone.has("cluster_known_nodes:1\r\n");
    }
}

#[test]
fn a_cluster_is_made_grown_and_shrunk() {
    grow_and_shrink(&[Ours; 5]);
    grow_and_shrink(&[Ours, Stock, Ours, Ours, Stock]);
}

#[test]
fn slots_that_nobody_serves_or_that_are_open_are_fixed() {
    let shards = Shards::make(&[Ours; 3], 0, &[]);
    let at = shards.members[0].address();
    for member in &shards.members {
        // Where it is not its own, nobody's word is taken back.
        member.ask("CLUSTER DELSLOTS 5");
    }
    let check = || cli(&format!("--cluster check {at}"));
    wait_for("a hole", || {
        check().text.contains("[ERR] Not all 16384 slots are covered by nodes.").then_some(())
    });
    cli(&format!("--cluster fix {at}")).has("Covering slot 5 with");
    shards.heal();
    let ids: Vec<String> = shards.members.iter().map(Member::id).collect();
    let owner = shards.owner("key");
    let other = (owner + 1) % 3;
    let slot = highwater::keyspace::Slot::of(b"key").number();
    let open = |member: &Member, how: &str, id: &str| {
        assert_eq!(member.ask(&format!("CLUSTER SETSLOT {slot} {how} {id}")), "+OK\r\n");
    };
    open(&shards.members[owner], "MIGRATING", &ids[other]);
    open(&shards.members[other], "IMPORTING", &ids[owner]);
    let text = check().text;
    assert!(text.contains("has slots in importing state"), "{text}");
    cli(&format!("--cluster fix {at}")).has(&format!("Fixing open slot {slot}"));
    assert!(!check().text.contains("importing"));
    shards.heal();
}

#[test]
fn clients_of_the_command_line_follow_redirections() {
    let shards = Shards::make(&[Ours, Stock, Ours], 0, &[]);
    let port = shards.members[0].port;
    for number in 0..20 {
        cli(&format!("-c -p {port} SET key:{number} {number}")).has("OK");
        let found = cli(&format!("-c -p {port} GET key:{number}")).text;
        assert_eq!(found, format!("{number}\n"));
    }
    cli(&format!("--cluster info 127.0.0.1:{port}")).has("[OK] 20 keys in 3 masters.");
    let said = cli(&format!("-c -p {port} --scan"));
    assert!(said.is_content, "{}", said.text);
}

#[test]
fn the_benchmark_finds_all_shards() {
    let shards = Shards::of_ours(&[]);
    let port = shards.members[5].port;
    let tests = "-t ping,set,get,incr,mset";
    let said = run("redis-benchmark", &format!("--cluster -q -n 1000 -p {port} {tests}"), &[]);
    for test in ["SET: ", "GET: ", "INCR: ", "MSET (10 keys): "] {
        said.has(test);
    }
    said.has("Cluster has 3 master nodes");
    assert!(!said.text.contains("rror"), "{}", said.text);
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_bus_port_out_of_reach_is_named() {
    let mut shards = start(&[Ours; 2], &[]);
    // Nobody listens there.
    let wrong = crate::member::ports::free_ports(1).to_string();
    let settings = ["--cluster-announce-bus-port", &wrong, "--cluster-node-timeout", TIMEOUT_MS];
    shards.members.push(Member::start(Ours, &settings));
    let mut command = Command::new("redis-cli");
    command.args(["--cluster", "create", "--cluster-replicas", "0", "--cluster-yes"]);
    command.args(addresses(&shards.members));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut create = Running(command.spawn().expect("redis-cli runs"));
    let told = format!("is its cluster bus port {wrong} reachable from here?");
    wait_for("a word about the port", || {
        shards.running().any(|member| member.said().contains(&told)).then_some(())
    });
    assert!(create.0.try_wait().expect("it is our child").is_none(), "it waits for ever");
}

/// The copies that `--cluster backup` makes (SYNC, of which it keeps the snapshot alone) hold the keys.
#[test]
fn a_backup_holds_the_keys() {
    let shards = Shards::make(&[Ours; 3], 0, &[]);
    for number in 0..60 {
        cli(&format!("-c -p {} SET key:{number} x", shards.members[0].port)).has("OK");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a plain name");
    cli(&format!("--cluster backup {} {path}", shards.members[0].address())).has("Backup created");
    let mut keys = 0;
    for entry in std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("a file")) {
        if entry.path().extension().is_some_and(|extension| extension == "rdb") {
            let said = run("redis-check-rdb", &entry.path().display().to_string(), &[]);
            let line = said.text.lines().find(|line| line.contains("keys read")).expect("a count");
            let count = line.split(' ').find_map(|word| word.parse::<u32>().ok());
            keys += count.unwrap_or_else(|| panic!("{line}"));
        }
    }
    assert_eq!(keys, 60);
}
