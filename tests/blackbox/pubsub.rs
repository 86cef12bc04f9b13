//! Subscribers over sockets: of other threads, too slow, killed with the server.

use crate::peer::{Client, encode, words};
use crate::server::{Server, wait_for};

const MB: usize = 1 << 20;

fn start(settings: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), settings);
    (folder, server)
}

fn subscriber(server: &Server, line: &str) -> Client {
    let mut client = server.client();
    client.run(&[words(line)]);
    client
}

/// The message in a frame.
fn message(client: &mut Client) -> String {
    let frame = String::from_utf8(client.reply().unwrap()).unwrap();
    assert!(frame.contains("message\r\n"), "{frame}");
    frame.trim_end().rsplit("\r\n").next().unwrap().to_owned()
}

fn publish(megabytes: usize) -> Vec<u8> {
    encode(&[&b"PUBLISH"[..], b"a", &vec![b'x'; megabytes * MB]].map(<[u8]>::to_vec).to_vec())
}

#[test]
fn subscribers_of_all_threads_see_each_publisher_in_its_order() {
    const SUBSCRIBERS: usize = 8;
    const PUBLISHERS: usize = 4;
    const ROUNDS: usize = 300;
    let (_folder, server) = start(&["--io-threads", "4"]);
    let mut subscribers: Vec<Client> =
        (0..SUBSCRIBERS).map(|_| subscriber(&server, "SUBSCRIBE a")).collect();
    let port = server.port;
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            std::thread::spawn(move || {
                let mut client = Client::connect(port).unwrap();
                for number in 0..ROUNDS {
                    let line = format!("PUBLISH a {publisher}:{number}");
                    assert_eq!(client.run(&[words(&line)]), [b":8\r\n"]);
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    let first: Vec<String> =
        (0..PUBLISHERS * ROUNDS).map(|_| message(&mut subscribers[0])).collect();
    for publisher in 0..PUBLISHERS {
        let prefix = format!("{publisher}:");
        let numbers: Vec<usize> = first
            .iter()
            .filter_map(|message| message.strip_prefix(&prefix)?.parse().ok())
            .collect();
        assert_eq!(numbers, (0..ROUNDS).collect::<Vec<_>>(), "of publisher {publisher}");
    }
    for subscriber in &mut subscribers[1..] {
        let other: Vec<String> = first.iter().map(|_| message(subscriber)).collect();
        assert!(other == first, "all of them see one order");
    }
}

#[test]
fn no_message_follows_the_end_of_its_subscription() {
    let (_folder, server) = start(&["--io-threads", "4", "--appendonly", "no"]);
    let port = server.port;
    let publisher = std::thread::spawn(move || {
        let mut client = Client::connect(port).unwrap();
        let burst = encode(&words("PUBLISH a x")).repeat(10);
        while client.send(&burst).is_ok() && (0..10).all(|_| client.reply().is_ok()) {}
    });
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for _ in 0..100 {
        for client in &mut clients {
            let lines = ["SUBSCRIBE a", "UNSUBSCRIBE a", "PING"].map(words);
            client.send(&encode(&lines[0])).unwrap();
            assert!(client.reply().unwrap().starts_with(b"*3\r\n$9\r\nsubscribe"));
            assert_eq!(message(client), "x");
            client.send(&[encode(&lines[1]), encode(&lines[2])].concat()).unwrap();
            while !client.reply().unwrap().starts_with(b"*3\r\n$11\r\nunsubscribe") {}
            assert_eq!(client.reply().unwrap(), b"+PONG\r\n");
        }
    }
    drop(server);
    publisher.join().unwrap();
}

#[test]
fn hard_limit_closes_a_subscriber_that_does_not_read() {
    let limit = "normal 0 0 0 pubsub 16mb 0 0";
    let (_folder, server) = start(&["--client-output-buffer-limit", limit]);
    let mut slow = subscriber(&server, "SUBSCRIBE a");
    let mut quick = subscriber(&server, "PSUBSCRIBE a*");
    let mut publisher = server.client();
    let request = publish(1);
    for _ in 0..60 {
        publisher.send(&request).unwrap();
        publisher.reply().unwrap();
        assert_eq!(message(&mut quick).len(), MB);
    }
    wait_for("the end of the subscriber", || {
        (server.info("client_output_buffer_limit_disconnections") == "1").then_some(())
    });
    assert!((0..100).any(|_| slow.reply().is_err()));
    let said = server.said();
    assert!(said.contains("overcoming of output buffer limits"), "{said}");
    // A limit that is set later holds for those who have listened since before.
    publisher.run(&[words("CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"")]);
    publisher.send(&publish(8)).unwrap();
    publisher.reply().unwrap();
    assert!(quick.reply().is_err(), "more than the limit in one message");
    assert_eq!(server.info("client_output_buffer_limit_disconnections"), "2");
}

#[test]
fn soft_limit_closes_a_subscriber_after_its_seconds() {
    let (_folder, server) = start(&["--client-output-buffer-limit", "pubsub 0 1mb 1"]);
    let mut slow = subscriber(&server, "SUBSCRIBE a");
    let started_us = highwater::clock::mono_us();
    let mut publisher = server.client();
    let request = publish(1);
    for _ in 0..20 {
        publisher.send(&request).unwrap();
        publisher.reply().unwrap();
    }
    wait_for("the end of the subscriber", || {
        (server.info("client_output_buffer_limit_disconnections") == "1").then_some(())
    });
    assert!(highwater::clock::mono_us() - started_us >= 1_000_000);
    assert!((0..100).any(|_| slow.reply().is_err()));
}

#[test]
fn idle_subscribers_stay_and_others_go() {
    let (_folder, server) = start(&["--timeout", "1"]);
    let mut idle = server.client();
    let mut listening = subscriber(&server, "SSUBSCRIBE a");
    assert!(idle.reply().is_err(), "it is closed");
    assert_eq!(server.ask("SPUBLISH a x"), ":1\r\n");
    assert_eq!(message(&mut listening), "x");
}

#[test]
fn a_log_with_messages_loads_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &["--appendfsync", "always"]);
    let mut client = server.client();
    let lines =
        "PUBLISH a 1\nSELECT 2\nMULTI\nSET k v\nPUBLISH a 2\nSPUBLISH a 3\nEXEC\nPUBLISH a 4";
    client.run(&lines.lines().map(words).collect::<Vec<_>>());
    server.kill();
    let server = Server::start(folder.path(), &[]);
    let replies = server.client().run(&["SELECT 2", "GET k", "DBSIZE"].map(words));
    assert_eq!(replies[1..], [b"$1\r\nv\r\n".to_vec(), b":1\r\n".to_vec()]);
    assert_eq!(server.ask("PUBSUB CHANNELS"), "*0\r\n");
}
