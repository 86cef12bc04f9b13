//! Where the server listens, and who may come: `port`, `bind`, `maxclients`, the unix socket, options of sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::peer::{Client, words};
use crate::server::{Server, free_port, wait_for};

const OK: &str = "+OK\r\n";

fn start(settings: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), settings);
    (folder, server)
}

fn ask(client: &mut Client, line: &str) -> String {
    String::from_utf8(client.run(&[words(line)]).remove(0)).unwrap()
}

#[test]
fn port_changes_while_clients_stay() {
    let (_folder, mut server) = start(&[]);
    let mut client = server.client();
    let (old, new) = (server.port, free_port());
    assert_eq!(ask(&mut client, &format!("CONFIG SET port {new}")), OK);
    assert!(TcpStream::connect(("127.0.0.1", old)).is_err(), "the old port is closed");
    server.port = new;
    assert_eq!(server.ask("PING"), "+PONG\r\n");
    assert_eq!(server.info("tcp_port"), new.to_string());
    assert_eq!(ask(&mut client, "PING"), "+PONG\r\n", "connections stay");
    assert_eq!(ask(&mut client, "CONFIG SET port 0"), OK);
    assert!(TcpStream::connect(("127.0.0.1", new)).is_err(), "0 listens on no port");
    assert_eq!(ask(&mut client, &format!("CONFIG SET port {new}")), OK);
    assert_eq!(server.ask("PING"), "+PONG\r\n");
}

#[test]
fn what_cannot_be_bound_is_taken_back_with_all_that_came_with_it() {
    let (_folder, server) = start(&[]);
    let (_other, taken) = start(&[]);
    let failed = |name: &str, reason: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}\r\n")
    };
    let set = format!("CONFIG SET timeout 77 port {}", taken.port);
    let port_failed = failed("port", "Unable to listen on this port. Check server logs.");
    assert_eq!(server.ask(&set), port_failed);
    assert_eq!(server.ask("CONFIG GET timeout"), "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    assert!(server.ask("CONFIG GET port").contains(&server.port.to_string()));
    let bind_failed = failed("bind", "Failed to bind to specified addresses.");
    assert_eq!(server.ask("CONFIG SET bind 192.0.2.1"), bind_failed);
    assert_eq!(server.ask("CONFIG GET bind"), "*2\r\n$4\r\nbind\r\n$9\r\n127.0.0.1\r\n");
    assert_eq!(server.ask("CONFIG SET bind '127.0.0.1 -192.0.2.1'"), OK);
    assert_eq!(server.ask("CONFIG SET bind '* -::*'"), OK);
    assert_eq!(server.ask("CONFIG SET bind 127.0.0.1"), OK);
    let refused = server.ask("CONFIG SET maxclients 4000000000 timeout 5");
    assert!(
        refused.contains("'maxclients') - The operating system is not able to handle the specified number of clients, try with "),
        "{refused}"
    );
    assert_eq!(server.ask("CONFIG GET timeout"), "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    assert_eq!(server.ask("CONFIG SET maxclients 123"), OK);
}

#[test]
fn clients_beyond_maxclients_are_told_and_closed() {
    let (_folder, server) = start(&["--maxclients", "3"]);
    let kept: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = server.client();
            ask(&mut client, "PING");
            client
        })
        .collect();
    let mut refused = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut text = String::new();
    refused.read_to_string(&mut text).unwrap();
    assert_eq!(text, "-ERR max number of clients reached\r\n");
    drop(kept);
    wait_for("room", || {
        let mut client = server.client();
        client.send(b"PING\r\n").ok()?;
        client.reply().ok().filter(|reply| reply == b"+PONG\r\n")
    });
}

#[test]
fn dir_moves_snapshots_and_leaves_the_log_alone() {
    let elsewhere = tempfile::tempdir().unwrap();
    let there = elsewhere.path().to_str().unwrap();
    let (folder, mut server) = start(&["--enable-protected-configs", "yes"]);
    server.ask("SET a 1");
    assert_eq!(server.ask(&format!("CONFIG SET dir {there}")), OK);
    assert!(server.ask("CONFIG SET dir /no/such/folder").contains("No such file or directory"));
    assert_eq!(server.ask("SAVE"), OK);
    assert!(elsewhere.path().join("dump.rdb").exists());
    server.ask("BGREWRITEAOF");
    wait_for("the rewrite", || (server.info("aof_rewrites") == "1").then_some(()));
    assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
    server.ask("SET b 2");
    assert!(!elsewhere.path().join("appendonlydir").exists());
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask("DBSIZE"), ":2\r\n");
    assert_eq!(server.ask("CONFIG SET appendonly no"), OK);
}

/// Talks over a unix socket.
fn over(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut reply = [0; 4096];
    let count = stream.read(&mut reply).unwrap();
    String::from_utf8_lossy(&reply[..count]).into_owned()
}

#[test]
fn unix_socket_has_its_permissions_and_goes_at_the_end() {
    let (folder, mut server) = start(&["--unixsocket", "hw.sock", "--unixsocketperm", "700"]);
    let path = folder.path().join("hw.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(over(&path, b"PING\r\n"), "+PONG\r\n");
    let info = over(&path, b"CLIENT INFO\r\n");
    assert!(info.contains("addr=hw.sock:0") && info.contains("flags=U"), "{info}");
    assert!(server.terminate().success());
    assert!(!path.exists());
    // A killed server leaves its socket; the next one takes its place.
    let mut server = Server::start(folder.path(), &["--unixsocket", "hw.sock"]);
    server.kill();
    assert!(path.exists());
    let _server = Server::start(folder.path(), &["--unixsocket", "hw.sock"]);
    assert_eq!(over(&path, b"PING\r\n"), "+PONG\r\n");
}

/// An address of this host that is not loopback, if it has any: where a packet to the documentation's network would
/// come from. None is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// What a connection to `address` is answered to a PING.
fn pinged(address: std::net::IpAddr, port: u16) -> String {
    let mut stream = TcpStream::connect((address, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A server that refuses may close before it has read.
    stream.write_all(b"PING\r\n").ok();
    let mut reply = [0; 4096];
    let count = stream.read(&mut reply).unwrap();
    String::from_utf8_lossy(&reply[..count]).into_owned()
}

#[test]
fn strangers_are_refused_until_there_is_a_password_or_the_protection_is_off() {
    let (_folder, server) = start(&["--bind", "* -::*"]);
    let local: std::net::IpAddr = [127, 0, 0, 1].into();
    assert_eq!(pinged(local, server.port), "+PONG\r\n");
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let local: std::net::IpAddr = "::1".parse().unwrap();
        assert_eq!(pinged(local, server.port), "+PONG\r\n");
    }
    let Some(own) = own_address() else {
        return eprintln!("skipped: this host has no address but loopback");
    };
    let refused = pinged(own, server.port);
    assert!(refused.starts_with("-DENIED Redis is running in protected mode"), "{refused}");
    assert_eq!(server.ask("CONFIG SET protected-mode no"), OK);
    assert_eq!(pinged(own, server.port), "+PONG\r\n");
    assert_eq!(server.ask("CONFIG SET protected-mode yes"), OK);
    assert_eq!(server.ask("CONFIG SET requirepass secret"), OK);
    assert_eq!(pinged(own, server.port), "-NOAUTH Authentication required.\r\n");
}

#[test]
fn silent_clients_are_closed_after_their_time() {
    let (_folder, server) = start(&["--timeout", "1"]);
    let mut silent = server.client();
    ask(&mut silent, "PING");
    let started_us = highwater::clock::mono_us();
    assert!(silent.reply().is_err(), "the connection ends");
    let waited_s = (highwater::clock::mono_us() - started_us) / 1_000_000;
    assert!((1..5).contains(&waited_s), "{waited_s} s");
}

/// Keepalive timers of the server's connections in seconds, from the kernel: `/proc/net/tcp` shows a timer of kind 2 and
/// when it fires.
fn keepalive_timers(server: &Server) -> Vec<u64> {
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{:04X}", server.port);
    let established = |fields: &Vec<&str>| fields[1] == local && fields[3] == "01";
    let timer = |fields: Vec<&str>| {
        let (kind, jiffies) = fields[5].split_once(':')?;
        let hundredths = u64::from_str_radix(jiffies, 16).ok()?;
        (kind == "02").then_some(hundredths.div_ceil(100))
    };
    text.lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(established)
        .filter_map(timer)
        .collect()
}

#[test]
fn keepalive_is_set_on_connections_as_the_setting_says() {
    let (_folder, server) = start(&["--tcp-keepalive", "100"]);
    let mut client = server.client();
    ask(&mut client, "PING");
    let timers = keepalive_timers(&server);
    assert!(timers.iter().any(|seconds| (90..=100).contains(seconds)), "{timers:?}");
    drop(client);
    assert_eq!(server.ask("CONFIG SET tcp-keepalive 0"), OK);
    wait_for("the end of earlier connections", || {
        let mut client = server.client();
        ask(&mut client, "PING");
        keepalive_timers(&server).is_empty().then_some(())
    });
}
