//! The walk of `README.md`, "Run it". Its command lines are read from there, and each of them is played.

use serde_json::Value;

use crate::document::Lines;
use crate::foreground::Foreground;
use crate::nodes::{has_caught_up, info, seen_by};
use crate::terminal::{Client, Terminal, wait_for, with_both_clients};
use crate::writer::{batch, count_meanwhile};

/// What `up` says when the cluster is there.
const THERE: &str = "Connect with";

/// Keys that are written beside the one of the text.
const KEYS: usize = 50;

#[test]
fn readme_is_played() {
    with_both_clients(play);
}

fn play(client: Client) {
    let mut walk =
        Walk { lines: Lines::below("## Run it"), terminal: Terminal::open(client, None) };
    let up = walk.cluster_comes_up();
    walk.key_is_written();
    walk.primary_is_killed(&up);
    let up = walk.everything_stops_and_comes_back(up);
    walk.slots_are_moved();
    walk.node_is_taken_out();
    walk.cluster_stops(up);
    walk.lines.end();
}

struct Walk {
    lines: Lines,
    terminal: Terminal,
}

impl Walk {
    /// The next line of the text, as it is typed here: built already, and with the client that is played.
    fn next(&mut self, part: &str) -> String {
        let line = self.lines.next(part).replace("cargo run --release -- ", "highwater ");
        if self.terminal.client == Client::Ours {
            return line;
        }
        let line = line.replace("highwater cli ", "redis-cli ");
        ["reshard", "del-node", "check"].iter().fold(line, |line, word| {
            let ours = format!("highwater cluster {word} ");
            line.replace(&ours, &format!("redis-cli --cluster {word} "))
        })
    }

    fn status(&self) -> Value {
        let said = self.terminal.look("highwater cluster status --json");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// A field of each node.
    fn each(&self, field: &str) -> Vec<Value> {
        let status = self.status();
        status["nodes"].as_array().unwrap().iter().map(|node| node[field].clone()).collect()
    }

    fn is_well(&self) {
        self.terminal.until("highwater cluster status && echo well", |said| said.ends_with("well"));
    }

    fn cluster_comes_up(&mut self) -> Foreground {
        let line = self.next("cargo run --release -- cluster up");
        let mut up = Foreground::run(&self.terminal, &format!("{line} --port 7000"));
        up.says(THERE);
        let primaries = self.each("primary");
        let port = |digit| Value::from(self.terminal.ports.at(digit));
        assert_eq!(primaries, [Value::Null, Value::Null, Value::Null, port(0), port(1), port(2)]);
        let said = self.terminal.does("ls highwater-data");
        for digit in 0..6 {
            assert!(said.contains(&self.terminal.ports.put_into(&format!("700{digit}"))), "{said}");
        }
        for (field, value) in [("aof_enabled", "1"), ("tcp_port", &port(3).to_string())] {
            assert_eq!(info(&self.terminal, 3, field).as_deref(), Some(value));
        }
        self.terminal.says("redis-cli -p 7000 config get appendfsync", "appendfsync\neverysec");
        self.terminal.says("redis-cli -p 7005 config get bind", "bind\n127.0.0.1");
        up
    }

    fn key_is_written(&mut self) {
        // Here it is a link.
        self.next("alias highwater=$PWD/target/release/highwater");
        let line = self.next("-c -p 7000 set hello world");
        self.terminal.says(&line, "OK");
        let line = self.next("highwater cluster status");
        let said = self.terminal.does(&line);
        for part in ["primary", "replica", "0-5460", "10923-16383"] {
            assert!(said.contains(part), "{part}:\n{said}");
        }
        let sets: String = (0..KEYS).map(|number| format!("set key:{number} {number}\n")).collect();
        assert_eq!(batch(&self.terminal, &sets), ["OK"; KEYS]);
    }

    fn data_are_there(&self) {
        self.terminal.says("redis-cli -c -p 7001 get hello", "world");
        let gets: String = (0..KEYS).map(|number| format!("get key:{number}\n")).collect();
        let values: Vec<String> = (0..KEYS).map(|number| number.to_string()).collect();
        assert_eq!(batch(&self.terminal, &gets), values);
    }

    fn primary_is_killed(&mut self, up: &Foreground) {
        // An answer does not wait for replicas.
        wait_for("the replica", || has_caught_up(&self.terminal, 0, 3));
        let pid = self.each("pid")[0].clone();
        let line = self.next("highwater cluster kill 7000; sleep 1");
        let said = self.terminal.does(&line);
        assert!(said.contains(&pid.to_string()), "{said}");
        let line = self.next("-c -p 7001 get hello");
        self.terminal.until_says(&line, "world");
        for part in ["7003 is a primary now", "7000 starts (pid ", "7000 is a replica of 7003"] {
            let part = self.terminal.ports.put_into(part);
            wait_for(&part, || up.said().contains(&part).then_some(()));
        }
        self.is_well();
        assert_eq!(self.each("role")[0], "replica");
        // It goes on where it stood.
        assert_eq!(info(&self.terminal, 3, "sync_full").as_deref(), Some("0"));
        assert_eq!(info(&self.terminal, 3, "sync_partial_ok").as_deref(), Some("1"));
        self.data_are_there();
    }

    fn everything_stops_and_comes_back(&mut self, mut up: Foreground) -> Foreground {
        let ids = self.each("id");
        up.interrupt();
        assert_eq!(self.terminal.processes().len(), 0);
        up = Foreground::run(&self.terminal, "highwater cluster up");
        up.says(THERE);
        assert_eq!(self.each("id"), ids);
        self.data_are_there();

        self.terminal.kill_all();
        up.end();
        let line = self.next("cargo run --release -- cluster up --nodes 8");
        up = Foreground::run(&self.terminal, &line);
        up.says(THERE);
        self.is_well();
        assert_eq!(self.each("id")[..6], ids);
        assert_eq!(self.each("role")[6..], ["primary"; 2]);
        assert_eq!(self.each("slot_count")[6..], [0, 0]);
        self.data_are_there();
        up
    }

    fn slots_are_moved(&mut self) {
        let mut line = self.next("cluster reshard 127.0.0.1:7000");
        let mut count = 4096;
        if self.terminal.client == Client::Debians {
            // Slots move one by one, and each takes several syncs.
            count = 40;
            line = line.replace("--cluster-slots 4096", "--cluster-slots 40");
        }
        count_meanwhile(&self.terminal, "counter", || {
            self.terminal.does(&line);
        });
        assert_eq!(seen_by(&self.terminal, 6)[6].slot_count(), count);
        self.is_well();
        self.data_are_there();
    }

    fn node_is_taken_out(&mut self) {
        let line = self.next("cluster del-node 127.0.0.1:7000");
        self.terminal.does(&line);
        let line = self.next("highwater cluster down 7007");
        let said = self.terminal.does(&line);
        assert!(said.contains("struck off"), "{said}");
        assert_eq!(self.each("port").len(), 7);
        let line = self.next("cluster check 127.0.0.1:7000");
        let said = self.terminal.does(&line);
        for part in ["[OK] All nodes agree about slots configuration.", "[OK] All 16384 slots"] {
            assert!(said.contains(part), "{said}");
        }
        self.is_well();
        self.data_are_there();
    }

    /// `down` is in the help that the text names, as are the options.
    fn cluster_stops(&self, mut up: Foreground) {
        let help = self.terminal.does("highwater cluster up --help");
        for option in ["--nodes", "--port", "--dir", "--detach"] {
            assert!(help.contains(option), "{help}");
        }
        let said = self.terminal.does("highwater cluster down");
        assert!(said.contains("is stopped"), "{said}");
        assert!(up.end().success());
        assert_eq!(self.terminal.processes().len(), 0);
    }
}
