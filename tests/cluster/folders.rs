//! `nodes.conf`: one process holds it, a copy is noticed, and it outlives anything.

use crate::member::{Kind, Member};
use crate::server::{Server, wait_for};

#[test]
fn a_second_node_on_a_folder_is_refused() {
    let member = Member::start(Kind::Ours, &["--cluster-node-timeout", "1000"]);
    // Saved at least once more: stock's lock would be on a file that is gone.
    assert_eq!(member.ask("CLUSTER ADDSLOTS 1 2 3"), "+OK\r\n");
    let folder = member.folder.path().to_str().unwrap();
    for kind in [Kind::Ours, Kind::Stock] {
        let other = Member::start(kind, &[]);
        let port = other.port.to_string();
        let words =
            ["--port", &port, "--dir", folder, "--cluster-enabled", "yes", "--bind", "127.0.0.1"];
        drop(other);
        let mut second = match kind {
            Kind::Ours => Server::run("redis-server", 0, &words),
            Kind::Stock => {
                let mut command = std::process::Command::new("redis-server");
                command.args(words);
                Server::of(command, 0)
            }
        };
        assert!(!second.wait().success());
        let said = second.said();
        assert!(said.contains("is already used by a different Redis Cluster node"), "{said}");
    }
    assert_eq!(member.ask("PING"), "+PONG\r\n");
}

#[test]
fn a_copied_folder_is_named() {
    let mut member = Member::start(Kind::Ours, &["--cluster-node-timeout", "1000"]);
    member.stop();
    let mut copy = Member::start(Kind::Ours, &["--cluster-node-timeout", "1000"]);
    copy.stop();
    for name in ["nodes.conf", "nodes.conf.lock"] {
        std::fs::copy(member.folder.path().join(name), copy.folder.path().join(name)).unwrap();
    }
    member.restart();
    copy.restart();
    assert_eq!(member.id(), copy.id());
    let original = member.folder.path().display().to_string();
    wait_for("a warning", || copy.said().contains(&original).then_some(()));
    // They notice it on the bus too.
    let port = copy.port;
    assert_eq!(member.ask(&format!("CLUSTER MEET 127.0.0.1 {port}")), "+OK\r\n");
    wait_for("a warning", || member.said().contains("has the same node ID").then_some(()));
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let mut member = Member::start(Kind::Ours, &[]);
    member.stop();
    let path = member.folder.path().join("nodes.conf");
    let whole = std::fs::read(&path).unwrap();
    for length in [1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut server = member.spawn();
        assert!(!server.wait().success());
        assert!(server.said().contains("corrupted cluster config file"), "{}", server.said());
        assert_eq!(std::fs::read(&path).unwrap(), &whole[..length]);
    }
    std::fs::write(&path, &whole).unwrap();
    member.restart();
}
