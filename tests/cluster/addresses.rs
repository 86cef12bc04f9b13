//! What nodes say of where they are: to clients, and to each other. Stock, asked about the same nodes, says the same.

use highwater::keyspace::Slot;

use crate::member::ports::{BUS, free_ports};
use crate::member::{Kind, Member};
use crate::peer::words;
use crate::server::{Server, wait_for};
use crate::shards::{Shards, TIMEOUT_MS};

use Kind::{Ours, Stock};

/// Two nodes of ours and a stock one, which listen at a second address of loopback, too.
fn three() -> Shards {
    Shards::make(&[Ours, Stock, Ours], 0, &["--bind", "127.0.0.1", "127.0.0.2"])
}

#[track_caller]
fn set(member: &Member, name: &str, value: &str) {
    assert_eq!(member.ask(&format!("CONFIG SET {name} '{value}'")), "+OK\r\n", "{name}");
}

/// The line of a node in CLUSTER NODES of `seen_by`, up to its flags.
fn address_of(id: &str, seen_by: &Member) -> String {
    let nodes = seen_by.ask("CLUSTER NODES");
    let line = nodes.lines().find(|line| line.starts_with(id)).expect("it is known");
    line.split(' ').nth(1).expect("an address").to_owned()
}

/// Waits until all nodes say that the first one is at `address`, as NODES writes it.
#[track_caller]
fn all_say(shards: &Shards, address: &str) {
    let id = shards.members[0].id();
    for member in &shards.members {
        let mut last = String::new();
        for _ in 0..1000 {
            last = address_of(&id, member);
            if last == address {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(last, address, "as {:?} says", member.kind);
    }
}

/// A key of each node, as the first one sees it.
fn key_of(shards: &Shards, index: usize) -> String {
    let mut keys = (0..).map(|number| format!("key:{number}"));
    keys.find(|key| shards.owner(key) == index).expect("every node has slots")
}

#[test]
fn what_is_announced_is_told_to_all_and_may_change() {
    let shards = three();
    let first = &shards.members[0];
    let (port, bus) = (first.port, first.port + BUS);
    let key = key_of(&shards, 0);
    let slot = Slot::of(key.as_bytes()).number();
    // A node of 7.0 tells others only by a name of its own that it would understand theirs.
    set(&shards.members[1], "cluster-announce-hostname", "stock.example");
    // Nobody is at the ports that are told for a while.
    let (other_port, other_bus) = (free_ports(1), free_ports(1));
    all_say(&shards, &format!("127.0.0.1:{port}@{bus}"));
    for (name, value, address, moved) in [
        ("ip", "127.0.0.2", format!("127.0.0.2:{port}@{bus}"), format!("127.0.0.2:{port}")),
        ("ip", "127.0.0.1", format!("127.0.0.1:{port}@{bus}"), format!("127.0.0.1:{port}")),
        (
            "port",
            &other_port.to_string(),
            format!("127.0.0.1:{other_port}@{bus}"),
            format!("127.0.0.1:{other_port}"),
        ),
        ("port", "0", format!("127.0.0.1:{port}@{bus}"), format!("127.0.0.1:{port}")),
        (
            "bus-port",
            &other_bus.to_string(),
            format!("127.0.0.1:{port}@{other_bus}"),
            format!("127.0.0.1:{port}"),
        ),
        ("bus-port", "0", format!("127.0.0.1:{port}@{bus}"), format!("127.0.0.1:{port}")),
        (
            "hostname",
            "first.example",
            format!("127.0.0.1:{port}@{bus},first.example"),
            format!("127.0.0.1:{port}"),
        ),
        ("hostname", "", format!("127.0.0.1:{port}@{bus}"), format!("127.0.0.1:{port}")),
    ] {
        set(first, &format!("cluster-announce-{name}"), value);
        all_say(&shards, &address);
        for member in &shards.members[1..] {
            let told = member.ask(&format!("GET {key}"));
            assert_eq!(told, format!("-MOVED {slot} {moved}\r\n"), "{name} {value}");
        }
    }
    // An address where nobody is, taken back: found out anew by all, and by itself.
    set(first, "cluster-announce-ip", "127.0.0.3");
    all_say(&shards, &format!("127.0.0.3:{port}@{bus}"));
    set(first, "cluster-announce-ip", "");
    all_say(&shards, &format!("127.0.0.1:{port}@{bus}"));
    shards.heal();
}

#[test]
fn clients_are_told_the_endpoint_they_prefer() {
    let shards = three();
    // The last one has no name.
    let names = ["first.example", "stock.example"];
    for (member, name) in shards.members.iter().zip(names) {
        set(member, "cluster-announce-hostname", name);
    }
    let ids: Vec<String> = shards.members.iter().map(Member::id).collect();
    for member in &shards.members {
        for (id, name) in ids.iter().zip(names) {
            wait_for("a name", || address_of(id, member).ends_with(name).then_some(()));
        }
    }
    let keys: Vec<String> = (0..3).map(|index| key_of(&shards, index)).collect();
    for preferred in ["ip", "hostname", "unknown-endpoint"] {
        for member in &shards.members {
            set(member, "cluster-preferred-endpoint-type", preferred);
        }
        for (asked, owner) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            let host = match preferred {
                "ip" => "127.0.0.1",
                "hostname" => *names.get(owner).unwrap_or(&"?"),
                _ => "",
            };
            let (key, port) = (&keys[owner], shards.members[owner].port);
            let slot = Slot::of(key.as_bytes()).number();
            let told = shards.members[asked].ask(&format!("GET {key}"));
            assert_eq!(told, format!("-MOVED {slot} {host}:{port}\r\n"), "{asked} of {owner}");
        }
        for hello in ["HELLO 2", "HELLO 3"] {
            let slots = |member: &Member| {
                let reply = member.client().run(&[words(hello), words("CLUSTER SLOTS")]).remove(1);
                String::from_utf8_lossy(&reply).into_owned()
            };
            let told: Vec<String> = shards.members.iter().map(slots).collect();
            assert_eq!(told[0], told[1], "{preferred}, ours and stock");
            assert_eq!(told[0], told[2], "{preferred}");
            assert!(names.iter().all(|name| told[0].contains(name)), "{preferred}: {}", told[0]);
        }
    }
}

/// A port that is free, above those that leave room for the bus, and above those that the kernel hands out.
fn high_port() -> u16 {
    let mut random = std::iter::repeat_with(|| fastrand::u16(61_000..65_000));
    random.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

#[test]
fn a_port_without_room_for_the_bus_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let port = high_port().to_string();
    let words = ["--port", &port, "--bind", "127.0.0.1", "--dir", dir, "--cluster-enabled", "yes"];
    let said = [Ours, Stock].map(|kind| {
        let mut command = std::process::Command::new("redis-server");
        command.args(words);
        let mut server = match kind {
            Ours => Server::run("redis-server", 0, &words),
            Stock => Server::of(command, 0),
        };
        assert_eq!(server.wait().code(), Some(1));
        let said = server.said();
        let line = said.lines().find_map(|line| Some(line.split_once("Redis port number")?.1));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    });
    assert_eq!(said[0], said[1]);
}

#[test]
fn a_bus_port_of_ones_own_makes_room_for_any_port() {
    let bus = [free_ports(1), free_ports(1)].map(|port| port.to_string());
    let start = |bus: &String| {
        let settings = ["--cluster-port", bus, "--cluster-node-timeout", TIMEOUT_MS];
        Member::start(Ours, &settings)
    };
    let [mut first, second] = [start(&bus[0]), start(&bus[1])];
    first.stop();
    first.port = high_port();
    first.restart();
    let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", first.port, bus[0]);
    assert_eq!(second.ask(&meet), "+OK\r\n");
    let ids = [&first, &second].map(Member::id);
    for (seen_by, id, member, bus) in
        [(&first, &ids[1], &second, &bus[1]), (&second, &ids[0], &first, &bus[0])]
    {
        let address = format!("127.0.0.1:{}@{bus}", member.port);
        wait_for("the other one", || {
            let nodes = seen_by.ask("CLUSTER NODES");
            let line = nodes.lines().find(|line| line.starts_with(id.as_str()))?;
            (line.contains(&address) && line.contains(" connected")).then_some(())
        });
    }
}
