//! The walk that most books and courses take: a folder and a file for each node, daemons, `redis-cli --cluster`.
//!
//! Our binary has the name `redis-server`. Each file says, beside what the lesson has, where its process leaves traces:
//! at loopback, and in its own folder.

use std::fs;
use std::path::Path;

use crate::nodes::{Node, ask, has_caught_up, info, seen_by};
use crate::processes::Process;
use crate::terminal::{Client, Terminal, wait_for, with_both_clients};
use crate::writer::{batch, count_meanwhile};

/// The slot of `mykey`.
const SLOT: u16 = 14687;

/// Slots that are moved; one by one where Debian's manager does it, and each takes several syncs.
const MOVED: u16 = 40;

/// Keys that are written beside those of the lesson.
const KEYS: usize = 50;

/// The lines of `redis-700N.conf`.
const CONF: &str = "\
daemonize yes
port 700N
cluster-enabled yes
cluster-config-file nodes-700N.conf
cluster-node-timeout 5000
appendonly yes
bind 127.0.0.1
pidfile redis-700N.pid
logfile redis-700N.log
";

#[test]
fn lesson_is_played() {
    with_both_clients(|client| play(client, None));
}

#[test]
fn lesson_is_played_with_a_password() {
    with_both_clients(|client| play(client, Some("sesame")));
}

fn play(client: Client, password: Option<&'static str>) {
    let lesson = Lesson { terminal: Terminal::open(client, password) };
    lesson.nodes_start();
    lesson.cluster_is_created();
    lesson.cluster_is_looked_at();
    lesson.keys_are_written();
    lesson.primary_dies_and_comes_back();
    lesson.writes_ask_for_a_replica();
    lesson.rest_is_served_without_a_shard();
    lesson.nodes_are_added();
    lesson.nodes_are_taken_out();
    lesson.all_is_there_and_ends();
}

struct Lesson {
    terminal: Terminal,
}

impl Lesson {
    /// Makes the folder of a node, and starts it.
    fn make(&self, digit: u16) {
        let mut conf = CONF.replace('N', &digit.to_string());
        if let Some(password) = self.terminal.password {
            conf += &format!("requirepass {password}\nmasterauth {password}\n");
        }
        fs::create_dir(self.terminal.path(&format!("700{digit}"))).unwrap();
        let path = self.terminal.path(&format!("700{digit}/redis-700{digit}.conf"));
        fs::write(path, self.terminal.ports.put_into(&conf)).unwrap();
        self.start(digit);
    }

    fn start(&self, digit: u16) {
        self.terminal.says(&format!("cd 700{digit} && redis-server ./redis-700{digit}.conf"), "");
        self.terminal.until_says(&format!("redis-cli -p 700{digit} ping"), "PONG");
    }

    /// The process that serves a port; the one of the file, and ours.
    fn process(&self, digit: u16) -> Process {
        let pid: i32 = info(&self.terminal, digit, "process_id").unwrap().parse().unwrap();
        let folder = self.terminal.path(&format!("700{digit}"));
        let file = folder.join(self.terminal.ports.put_into(&format!("redis-700{digit}.pid")));
        assert_eq!(fs::read_to_string(file).unwrap().trim_end(), pid.to_string());
        Process::of(pid, &folder).expect("it is a process of ours")
    }

    fn kill(&self, digit: u16) {
        let process = self.process(digit);
        process.kill();
        ends(&process, self.terminal.folder());
    }

    fn shut_down(&self, digit: u16) {
        let process = self.process(digit);
        self.terminal.answers(&format!("redis-cli -p 700{digit} shutdown"), &[]);
        ends(&process, self.terminal.folder());
        assert!(!self.terminal.path(&format!("700{digit}/redis-700{digit}.pid")).exists());
    }

    /// Waits until the nodes at these ports agree that all is well.
    fn is_well(&self, digits: &[u16]) {
        let roles = |digit: &u16| {
            let nodes = seen_by(&self.terminal, *digit);
            let role = |node: &Node| {
                format!("{} {} {} {}", node.id, node.is_primary, node.primary, node.slot_count())
            };
            nodes.iter().map(role).collect::<Vec<_>>()
        };
        for digit in digits {
            wait_for("a node that is content", || {
                let said = ask(&self.terminal, *digit, "cluster info")?;
                let has = |line: &str| said.lines().any(|found| found == line);
                let is_known = has(&format!("cluster_known_nodes:{}", digits.len()));
                let is_content = has("cluster_state:ok") && has("cluster_slots_ok:16384");
                (is_known && is_content).then_some(())
            });
        }
        wait_for("agreement", || {
            let views: Vec<_> = digits.iter().map(roles).collect();
            views.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        });
        for replica in seen_by(&self.terminal, digits[0]).iter().filter(|node| !node.is_primary) {
            let primary = self.primary_of(replica, digits[0]);
            wait_for("a replica", || has_caught_up(&self.terminal, primary.digit, replica.digit));
        }
        self.terminal.until(
            &format!("redis-cli --cluster check 127.0.0.1:700{}", digits[0]),
            |said| {
                said.contains("[OK] All nodes agree about slots configuration.")
                    && said.contains("[OK] All 16384 slots covered.")
                    && !said.contains("[WARNING]")
            },
        );
    }

    fn primary_of(&self, replica: &Node, witness: u16) -> Node {
        let nodes = seen_by(&self.terminal, witness);
        nodes.into_iter().find(|node| node.id == replica.primary).expect("it follows one")
    }

    /// The primary that has the slot of `mykey`, and its replica.
    fn shard(&self) -> [Node; 2] {
        let nodes = seen_by(&self.terminal, 0);
        let has = |node: &&Node| node.is_primary && node.has(SLOT);
        let primary = nodes.iter().find(has).expect("somebody has it").clone();
        let follows = |node: &&Node| node.primary == primary.id;
        let replica = nodes.iter().find(follows).expect("it has a replica").clone();
        [primary, replica]
    }

    fn nodes_start(&self) {
        (0..6).for_each(|digit| self.make(digit));
        for digit in 0..6 {
            let conf = self.terminal.path(&format!("700{digit}/nodes-700{digit}.conf"));
            assert!(conf.exists(), "{}", conf.display());
            let daemon =
                self.terminal.look(&format!("redis-cli -p 700{digit} config get daemonize"));
            assert_eq!(daemon, "daemonize\nyes");
        }
        if self.terminal.password.is_some() {
            let line = "command redis-cli -p 7000 get x";
            let said = self.terminal.answers(line, &[]);
            assert!(said.err.starts_with("Warning: Using a password with '-a'"), "{}", said.err);
            assert!(said.out.starts_with("CLUSTERDOWN"), "{}", said.out);
            let said = self.terminal.look("redis-cli --no-auth-warning -a wrong -p 7000 get x");
            assert!(said.starts_with("NOAUTH"), "{said}");
        }
    }

    fn cluster_is_created(&self) {
        let nodes: String = (0..6).map(|digit| format!("127.0.0.1:700{digit} ")).collect();
        let line = format!("redis-cli --cluster create {nodes}--cluster-replicas 1");
        let said = self.terminal.answers(&line, &["yes"]);
        assert!(said.status.success(), "{}", said.whole());
        for part in [
            ">>> Performing hash slots allocation on 6 nodes...",
            "Master[0] -> Slots 0 - 5460",
            "Can I set the above configuration? (type 'yes' to accept): ",
            ">>> Sending CLUSTER MEET messages to join the cluster",
            "[OK] All nodes agree about slots configuration.",
            "[OK] All 16384 slots covered.",
        ] {
            assert!(said.out.contains(part), "{part}:\n{}", said.out);
        }
        self.is_well(&[0, 1, 2, 3, 4, 5]);
    }

    fn cluster_is_looked_at(&self) {
        let said = self.terminal.does("redis-cli -p 7000 cluster info");
        for line in ["cluster_state:ok", "cluster_known_nodes:6", "cluster_size:3"] {
            assert!(said.lines().any(|found| found.trim_end() == line), "{line}:\n{said}");
        }
        self.terminal.says("redis-cli -p 7000 cluster keyslot mykey", &SLOT.to_string());
        let slots = "redis-cli -p 7000 cluster slots";
        // A replica is listed once its offset is known, which it tells in its next message.
        self.terminal
            .until(slots, |said| said.lines().filter(|line| *line == "127.0.0.1").count() == 6);
        let said = self.terminal.does(slots);
        for slot in ["0", "5460", "5461", "10922", "10923", "16383"] {
            assert!(said.lines().any(|line| line == slot), "{slot}:\n{said}");
        }
    }

    fn keys_are_written(&self) {
        let moved = self.terminal.ports.put_into("MOVED 14687 127.0.0.1:7002");
        self.terminal.says("redis-cli -p 7000 set mykey lost", &moved);
        self.terminal.says("redis-cli -c -p 7000 set mykey hello", "OK");
        self.terminal.says("redis-cli -c -p 7004 get mykey", "hello");
        self.terminal.says("redis-cli -c -p 7000 mset {user1}:1:name Ann {user1}:1:age 30", "OK");
        let crossed = "CROSSSLOT Keys in request don't hash to the same slot";
        self.terminal.says("redis-cli -c -p 7000 mset user:1:name Ann user:1:age 30", crossed);
        let sets: String = (0..KEYS).map(|number| format!("set key:{number} {number}\n")).collect();
        assert_eq!(batch(&self.terminal, &sets), ["OK"; KEYS]);
        self.data_are_there();
    }

    fn data_are_there(&self) {
        self.terminal.says("redis-cli -c -p 7001 get mykey", "hello");
        self.terminal.says("redis-cli -c -p 7002 mget {user1}:1:name {user1}:1:age", "Ann\n30");
        let gets: String = (0..KEYS).map(|number| format!("get key:{number}\n")).collect();
        let values: Vec<String> = (0..KEYS).map(|number| number.to_string()).collect();
        assert_eq!(batch(&self.terminal, &gets), values);
    }

    fn primary_dies_and_comes_back(&self) {
        let [primary, replica] = self.shard();
        wait_for("the replica", || has_caught_up(&self.terminal, primary.digit, replica.digit));
        self.kill(primary.digit);
        let role = format!("redis-cli -p 700{} role", replica.digit);
        self.terminal.until(&role, |said| said.starts_with("master"));
        self.terminal.until_says("redis-cli -c -p 7000 get mykey", "hello");
        self.terminal.until_says("redis-cli -c -p 7001 set meanwhile written", "OK");
        self.start(primary.digit);
        self.is_well(&[0, 1, 2, 3, 4, 5]);
        let [now, before] = self.shard();
        assert_eq!((&now.id, &before.id), (&replica.id, &primary.id), "they have changed places");
        self.terminal.says("redis-cli -c -p 7002 get meanwhile", "written");
        self.data_are_there();
    }

    fn writes_ask_for_a_replica(&self) {
        let [primary, replica] = self.shard();
        let port = primary.digit;
        let set = format!("redis-cli -p 700{port} set mykey hello");
        let config = format!("redis-cli -p 700{port} config set min-replicas-to-write");
        self.terminal.says(&format!("{config} 1"), "OK");
        self.terminal.says(&set, "OK");
        self.shut_down(replica.digit);
        self.terminal.until_says(&set, "NOREPLICAS Not enough good replicas to write.");
        self.terminal.says(&format!("redis-cli -p 700{port} get mykey"), "hello");
        self.start(replica.digit);
        self.terminal.until_says(&set, "OK");
        self.terminal.says(&format!("{config} 0"), "OK");
        self.is_well(&[0, 1, 2, 3, 4, 5]);
    }

    fn rest_is_served_without_a_shard(&self) {
        let [primary, replica] = self.shard();
        let gone = [primary.digit, replica.digit];
        let left: Vec<u16> = (0..6).filter(|digit| !gone.contains(digit)).collect();
        // The key of the lesson that another shard has.
        let at = format!("redis-cli -c -p 700{}", left[0]);
        let (get, set) = (format!("{at} get {{user1}}:1:name"), format!("{at} set {{user1}}:x 1"));
        self.kill(replica.digit);
        self.kill(primary.digit);
        self.terminal.until_says(&get, "CLUSTERDOWN The cluster is down");
        let every = |value: &str| {
            for digit in &left {
                let line = format!("cluster-require-full-coverage {value}");
                self.terminal.says(&format!("redis-cli -p 700{digit} config set {line}"), "OK");
            }
        };
        every("no");
        self.terminal.until_says(&get, "Ann");
        self.terminal.until_says(&set, "OK");
        let lost = self.terminal.answers(&format!("{at} get mykey"), &[]);
        assert!(!lost.out.contains("hello"), "{}", lost.whole());
        gone.iter().for_each(|digit| self.start(*digit));
        self.is_well(&[0, 1, 2, 3, 4, 5]);
        every("yes");
        self.terminal.says(&format!("{at} get {{user1}}:x"), "1");
        self.data_are_there();
    }

    fn nodes_are_added(&self) {
        for digit in [6, 7] {
            self.make(digit);
            let line = format!("redis-cli --cluster add-node 127.0.0.1:700{digit} 127.0.0.1:7000");
            let said = self.terminal.does(&line);
            assert!(said.contains("[OK] New node added correctly."), "{said}");
            let all: Vec<u16> = (0..=digit).collect();
            self.is_well(&all);
        }
        let id = self.terminal.does("redis-cli -p 7006 cluster myid");
        count_meanwhile(&self.terminal, "asked", || {
            let line = "redis-cli --cluster reshard 127.0.0.1:7000";
            let said = self.terminal.answers(line, &[&MOVED.to_string(), &id, "all", "yes"]);
            assert!(said.status.success(), "{}", said.whole());
            assert!(said.out.contains("How many slots do you want to move"), "{}", said.out);
        });
        self.terminal.says(&format!("redis-cli -p 7007 cluster replicate {id}"), "OK");
        self.is_well(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let nodes = seen_by(&self.terminal, 0);
        assert_eq!((nodes[6].slot_count(), &nodes[7].primary), (MOVED, &id));
        let sizes =
            [6, 7].map(|digit| self.terminal.does(&format!("redis-cli -p 700{digit} dbsize")));
        assert_eq!(sizes[0], sizes[1]);
        self.data_are_there();
    }

    fn nodes_are_taken_out(&self) {
        let nodes = seen_by(&self.terminal, 0);
        let [from, replica] = [6, 7].map(|index: usize| nodes[index].id.clone());
        self.terminal.does(&format!("redis-cli --cluster del-node 127.0.0.1:7000 {replica}"));
        self.is_well(&[0, 1, 2, 3, 4, 5, 6]);
        self.shut_down(7);
        let to = nodes.iter().find(|node| node.is_primary && node.digit < 6).expect("one of three");
        // A node with slots stays.
        let line = format!("redis-cli --cluster del-node 127.0.0.1:7000 {from}");
        let said = self.terminal.answers(&line, &[]);
        assert!(
            !said.status.success() && said.whole().contains("is not empty"),
            "{}",
            said.whole()
        );
        count_meanwhile(&self.terminal, "told", || {
            let what =
                format!("--cluster-from {from} --cluster-to {} --cluster-slots {MOVED}", to.id);
            let line = format!("redis-cli --cluster reshard 127.0.0.1:7000 {what} --cluster-yes");
            self.terminal.does(&line);
        });
        self.is_well(&[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(seen_by(&self.terminal, 0)[6].slot_count(), 0);
        self.terminal.does(&line);
        self.is_well(&[0, 1, 2, 3, 4, 5]);
        self.shut_down(6);
    }

    fn all_is_there_and_ends(&self) {
        self.is_well(&[0, 1, 2, 3, 4, 5]);
        let said = self.terminal.does("redis-cli --cluster check 127.0.0.1:7005");
        assert!(said.contains("[OK] All 16384 slots covered."), "{said}");
        self.data_are_there();
        (0..6).for_each(|digit| self.shut_down(digit));
        assert_eq!(self.terminal.processes().len(), 0);
    }
}

/// Waits until a process has ended.
fn ends(process: &Process, folder: &Path) {
    wait_for("its end", || Process::of(process.pid, folder).is_none().then_some(()));
}
