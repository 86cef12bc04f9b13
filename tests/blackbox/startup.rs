//! Starting: where settings come from, what is logged, and who may not start.

use std::fs;

use crate::server::{Server, free_port};

#[test]
fn settings_come_from_file_input_and_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.conf");
    let dir = folder.path().display();
    fs::write(&path, format!("dir {dir}\ntimeout 11\nhz 20\nmaxclients 50\nbind 127.0.0.1\n"))
        .unwrap();
    for _ in 0..10 {
        let port = free_port();
        let port_word = port.to_string();
        let arguments = [path.to_str().unwrap(), "--port", &port_word, "--timeout", "33", "-"];
        let input = "hz 30\ntimeout 22\nappendonly yes\n";
        let mut server = Server::run_with_input("redis-server", port, &arguments, input);
        if !server.answers() {
            continue;
        }
        assert!(server.ask("CONFIG GET maxclients").ends_with("\r\n50\r\n"), "of the file");
        assert!(server.ask("CONFIG GET hz").ends_with("\r\n30\r\n"), "of the standard input");
        assert!(server.ask("CONFIG GET timeout").ends_with("\r\n33\r\n"), "of the arguments");
        assert_eq!(server.info("config_file"), path.to_str().unwrap());
        assert!(server.said().contains("Ready to accept connections tcp"), "{}", server.said());
        return;
    }
    panic!("no port is free")
}

#[test]
fn a_wrong_line_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.conf");
    fs::write(&path, "port 7000\n\nappendfsync sometimes\n").unwrap();
    let mut server = Server::run("redis-server", 0, &[path.to_str().unwrap()]);
    assert_eq!(server.wait().code(), Some(1));
    let said = server.said();
    for part in ["at line 3", "appendfsync sometimes", path.to_str().unwrap(), "must be one of"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

#[test]
fn a_log_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Server::start(folder.path(), &[]);
    let mut second = Server::spawn(folder.path(), free_port(), &[]);
    assert_eq!(second.wait().code(), Some(1));
    assert!(second.said().contains("in use by another process"), "{}", second.said());
    assert_eq!(first.ask("SET a b"), "+OK\r\n");
    // One without a log may run beside it, but not switch the log on.
    let third = Server::start(folder.path(), &["--appendonly", "no"]);
    third.ask("CONFIG SET appendonly yes");
    crate::server::wait_for("the refusal", || {
        third.said().contains("in use by another process").then_some(())
    });
    // The lock ends with the process, however that ends.
    first.kill();
    let again = Server::start(folder.path(), &[]);
    assert_eq!(again.ask("GET a"), "$1\r\nb\r\n");
}

#[test]
fn a_taken_port_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let first = Server::start(folder.path(), &[]);
    let mut second = Server::spawn(other.path(), first.port, &[]);
    assert_eq!(second.wait().code(), Some(1));
    assert!(second.said().contains(&format!("Failed listening on port {}", first.port)));
}
