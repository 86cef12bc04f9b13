//! The wire: what is no request, what is too large, who may connect, who does not read.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::peer::{Client, Stock, bulk, encode, words};
use crate::server::{Server, wait_for};

/// Sends bytes, ends the sending side, and returns all that comes back until the other side closes.
fn exchange(port: u16, bytes: &[u8]) -> Vec<u8> {
    exchange_with(IpAddr::from([127, 0, 0, 1]), port, bytes)
}

fn exchange_with(address: IpAddr, port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((address, port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an open socket");
    // A peer that has refused may close before it has read all.
    stream.write_all(bytes).ok();
    stream.shutdown(std::net::Shutdown::Write).ok();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).ok();
    back
}

/// What is no request, or is one in an unusual form.
fn strange() -> Vec<Vec<u8>> {
    let mut requests: Vec<Vec<u8>> = [
        "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfoo",
        "*1\r\nPING\r\n",
        "*x\r\n",
        "*1048577\r\n",
        "*-10\r\nPING\r\n",
        "*0\r\nPING\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$4\r\nPINGxxPING\r\n",
        "*1\r\n\r\n",
        "*+1\r\n$4\r\nPING\r\n",
        "* 1\r\n",
        "*01\r\n$4\r\nPING\r\n",
        "PING\r\n",
        "PING\n",
        "\r\n\r\nPING\r\n",
        "  PING  hello  \r\n",
        "ECHO \"a\\x41\\n\"\r\n",
        "ECHO 'it\\'s'\r\n",
        "ECHO \"open\r\n",
        "ECHO 'a'b\r\n",
        "SET \"\r\nPING\r\n",
        "PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n",
        "PING\r\n*1\r\nPING\r\nPING\r\n",
        "NOSUCH a b\r\nGET\r\n",
        "QUIT\r\nPING\r\n",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    requests.push(vec![b'x'; 70_000]);
    requests.push([b"*".as_slice(), &[b'1'; 70_000]].concat());
    requests.push([b"*1\r\n$".as_slice(), &[b'1'; 70_000]].concat());
    requests
}

fn compare(ours: u16, stock: u16, request: &[u8]) {
    let (found, expected) = (exchange(ours, request), exchange(stock, request));
    let shown = &request[..request.len().min(80)];
    assert_eq!(
        found.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "for {}",
        shown.escape_ascii()
    );
}

#[test]
fn strange_requests_are_answered_as_by_stock() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let stock = Stock::start(&[]);
    for request in strange() {
        compare(server.port, stock.port, &request);
    }
}

#[test]
fn writes_in_an_unusual_form_are_logged_in_the_usual_one() {
    // The second byte of a line end is looked at nowhere, as in stock; a log that held these bytes could not be loaded.
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    for request in [
        "*3\r\u{b}$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n",
        "*3\r\n$3\rxSET\r\n$1\r\nb\r\n$1\r\n2\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\nc\r\n$1\r\n3xx",
    ] {
        assert_eq!(exchange(server.port, request.as_bytes()), b"+OK\r\n");
    }
    server.kill();
    let server = Server::start(folder.path(), &[]);
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(server.ask(&format!("GET {key}")), format!("$1\r\n{value}\r\n"));
    }
}

#[test]
fn before_authentication_only_small_requests_are_read() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever starts them waits for a PONG; so the password comes afterwards.
    let server = Server::start(folder.path(), &[]);
    server.ask("CONFIG SET requirepass secret");
    let mut stock = Stock::start(&[]);
    stock.run(&[words("CONFIG SET requirepass secret")]);
    let big = format!("*2\r\n$4\r\nECHO\r\n$20000\r\n{}\r\n", "x".repeat(20_000));
    for request in [
        "PING\r\nGET a\r\nAUTH wrong\r\nAUTH secret\r\nPING\r\n",
        "AUTH default secret\r\nPING\r\n",
        "HELLO 2 AUTH default secret SETNAME me\r\nCLIENT GETNAME\r\nECHO x\r\n",
        "*11\r\n$4\r\nPING\r\n",
        "*10\r\n",
        "*2\r\n$4\r\nAUTH\r\n$16385\r\n",
        &big,
        &format!("AUTH secret\r\n{big}"),
        &format!("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n{big}{big}"),
        "QUIT\r\n",
    ] {
        if request.starts_with("HELLO 2") {
            // The reply names versions and ids.
            let found = exchange(server.port, request.as_bytes());
            assert!(found.ends_with(b"$2\r\nme\r\n$1\r\nx\r\n"), "{}", found.escape_ascii());
        } else {
            compare(server.port, stock.port, request.as_bytes());
        }
    }
}

#[test]
fn a_pipeline_may_be_cut_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let lines =
        ["SET k value", "GET k", "MULTI", "SET k 1", "GET k", "EXEC", "PING", "ECHO \"\\r\\n\""];
    let mut bytes: Vec<u8> = lines.iter().flat_map(|line| encode(&words(line))).collect();
    bytes.extend_from_slice(b"PING inline\r\nGET k\r\n");
    let expected = exchange(server.port, &bytes);
    assert_eq!(expected.iter().filter(|byte| **byte == b'+').count(), 6);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_nodelay(true).unwrap();
    for cut in 1..bytes.len() {
        stream.write_all(&bytes[..cut]).unwrap();
        // The first part is likely to be read alone: something else is asked for and answered meanwhile.
        server.ask("PING");
        stream.write_all(&bytes[cut..]).unwrap();
        let mut found = vec![0; expected.len()];
        stream.read_exact(&mut found).unwrap();
        assert_eq!(found, expected, "cut at {cut}");
    }
    for byte in &bytes {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut found = vec![0; expected.len()];
    stream.read_exact(&mut found).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn big_values_go_in_and_out_and_survive() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[]);
    let mut value = vec![0; 64 << 20];
    fastrand::Rng::with_seed(64).fill(&mut value);
    let mut client = server.client();
    let set = vec![b"SET".to_vec(), b"big".to_vec(), value.clone()];
    assert_eq!(client.run(&[set]), [b"+OK\r\n"]);
    assert!(bulk(&client.run(&[words("GET big")])[0]) == value, "the value has changed");
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert!(bulk(&server.client().run(&[words("GET big")])[0]) == value, "the value has changed");
}

fn used_memory(server: &Server) -> u64 {
    server.info("used_memory").parse().expect("a number")
}

/// Asks for far more than it reads, as long as the server takes requests.
fn ask_without_reading(port: u16) -> TcpStream {
    let mut greedy = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    greedy.set_write_timeout(Some(Duration::from_millis(500))).expect("an open socket");
    let requests = b"GET k\r\n".repeat(20_000);
    for _ in 0..100 {
        if greedy.write_all(&requests).is_err() {
            break;
        }
    }
    greedy
}

#[test]
fn a_client_that_does_not_read_cannot_exhaust_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask(&format!("SET k {}", "v".repeat(100_000))), "+OK\r\n");
    let greedy = ask_without_reading(server.port);
    let used = used_memory(&server);
    assert!(used < 150 << 20, "{used} bytes are in use");
    // It can go on, once it reads.
    let mut reader = greedy.try_clone().unwrap();
    let mut total = 0;
    let mut buffer = vec![0; 1 << 20];
    while total < 200 << 20 {
        let count = reader.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the connection was closed after {total} bytes");
        total += count;
    }
    drop((greedy, reader));
    wait_for("the memory", || (used_memory(&server) < 30 << 20).then_some(()));
}

#[test]
fn output_limits_close_connections() {
    for limit in ["normal 8mb 0 0", "normal 0 1mb 1"] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path(), &[]);
        let set = format!("CONFIG SET client-output-buffer-limit \"{limit}\"");
        assert_eq!(server.ask(&set), "+OK\r\n");
        assert_eq!(server.ask(&format!("SET k {}", "v".repeat(100_000))), "+OK\r\n");
        let _greedy = ask_without_reading(server.port);
        wait_for("the closing", || (server.info("connected_clients") == "1").then_some(()));
        assert!(server.said().contains("for overcoming of output buffer limits"));
    }
}

#[test]
fn too_many_clients_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--maxclients", "3"]);
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.run(&[words("PING")]), [b"+PONG\r\n"]);
    }
    assert_eq!(exchange(server.port, b""), b"-ERR max number of clients reached\r\n");
    clients.pop();
    wait_for("a free place", || (exchange(server.port, b"PING\r\n") == b"+PONG\r\n").then_some(()));
}

#[test]
fn idle_clients_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--timeout", "1"]);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(stream.read(&mut buffer).unwrap(), 0, "an end, not an error");
}

#[test]
fn unix_sockets_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let word = path.to_str().unwrap();
    let settings = ["--unixsocket", word, "--unixsocketperm", "700"];
    let mut server = Server::start(folder.path(), &settings);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut buffer = [0; 7];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"+PONG\r\n");
    assert!(server.said().contains("Ready to accept connections unix"));
    assert!(server.terminate().success());
    assert!(!path.exists(), "an orderly stop removes the socket");
}

/// An address of this host that is not loopback, if there is one. Nothing is sent to find it out.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn protected_mode_lets_only_loopback_in() {
    let settings = ["--bind", "0.0.0.0", "--protected-mode", "yes"];
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &settings);
    assert_eq!(server.ask("PING"), "+PONG\r\n");
    let Some(address) = outer_address() else {
        eprintln!("this host has only a loopback address: nobody is to be refused");
        return;
    };
    let refused = |port| exchange_with(address, port, b"");
    let found = refused(server.port);
    assert!(found.starts_with(b"-DENIED "), "{}", found.escape_ascii());
    let stock = Stock::start(&settings);
    let start = |reply: &[u8]| reply[..reply.len().min(40)].escape_ascii().to_string();
    assert_eq!(start(&found), start(&refused(stock.port)));
    // With a password, or without the protection, everybody may come.
    server.ask("CONFIG SET protected-mode no");
    assert_eq!(exchange_with(address, server.port, b"PING\r\n"), b"+PONG\r\n");
}
