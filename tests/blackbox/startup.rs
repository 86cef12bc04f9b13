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

#[test]
fn a_shutdown_by_command_is_an_orderly_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask("SET a b"), "+OK\r\n");
    let (id, offset) = (server.info("master_replid"), server.info("master_repl_offset"));
    // Clients that wait for something do not hold it up.
    let mut idle = server.client();
    idle.send(b"MULTI\r\nSET never x\r\n").unwrap();
    let mut client = server.client();
    client.send(b"SHUTDOWN\r\n").unwrap();
    assert!(client.reply().is_err(), "there is no answer to a shutdown that happens");
    assert!(server.wait().success());
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.info("master_replid"), id);
    assert_eq!(server.info("master_repl_offset"), offset);
    assert_eq!(server.ask("DBSIZE"), ":1\r\n");
}

#[test]
fn a_shutdown_that_cannot_save_is_called_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask("SET a b"), "+OK\r\n");
    // A folder with something in it is in the way of the snapshot.
    fs::create_dir_all(folder.path().join("dump.rdb/x")).unwrap();
    assert!(server.ask("SHUTDOWN SAVE").starts_with("-ERR Errors trying to SHUTDOWN"));
    assert_eq!(server.ask("SET a c"), "+OK\r\n");
    assert!(server.said().contains("can't exit"), "{}", server.said());
    let mut client = server.client();
    client.send(b"SHUTDOWN SAVE FORCE\r\n").unwrap();
    assert!(client.reply().is_err());
    assert!(server.wait().success());
    fs::remove_dir_all(folder.path().join("dump.rdb")).unwrap();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask("GET a"), "$1\r\nc\r\n");
}
