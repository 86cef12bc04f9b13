//! `io-threads` above one: what clients of different threads see of each other.

use std::collections::BTreeMap;

use crate::peer::{Client, encode, words};
use crate::server::{Server, wait_for};

fn start() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--io-threads", "4"]);
    (folder, server)
}

fn ask(client: &mut Client, line: &str) -> String {
    String::from_utf8(client.run(&[words(line)]).remove(0)).unwrap()
}

/// Connections are dealt out to the threads in turn, so eight of them sit on all four.
const CLIENTS: usize = 8;
const ROUNDS: usize = 150;
/// Requests sent at once.
const DEPTH: usize = 16;

#[test]
fn counters_of_all_threads_add_up_and_replies_come_in_order() {
    let (folder, mut server) = start();
    let port = server.port;
    let workers: Vec<_> = (0..CLIENTS)
        .map(|worker| {
            std::thread::spawn(move || {
                let mut client = Client::connect(port).unwrap();
                let mut last = 0;
                for round in 0..ROUNDS {
                    let mut requests = Vec::new();
                    for step in 0..DEPTH {
                        let number = round * DEPTH + step;
                        requests.push(words("INCR all"));
                        requests.push(words(&format!("SET own:{worker} {number}")));
                        requests.push(words(&format!("GET own:{worker}")));
                    }
                    for (index, replies) in client.run(&requests).chunks(3).enumerate() {
                        let text = String::from_utf8_lossy(&replies[0]).into_owned();
                        let all: usize = text[1..].trim_end().parse().unwrap();
                        assert!(all > last, "a counter only grows");
                        last = all;
                        assert_eq!(replies[1], b"+OK\r\n");
                        let number = (round * DEPTH + index).to_string();
                        let own = format!("${}\r\n{number}\r\n", number.len());
                        assert_eq!(replies[2], own.as_bytes(), "what was just written");
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let total = (CLIENTS * ROUNDS * DEPTH).to_string();
    let expected = format!("${}\r\n{total}\r\n", total.len());
    assert_eq!(server.ask("GET all"), expected);
    assert_eq!(server.info("io_threads_active"), "1");
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.ask("GET all"), expected, "the log has the order of execution");
}

#[test]
fn monitor_sees_the_clients_of_all_threads_each_in_its_order() {
    let (_folder, server) = start();
    let mut monitor = server.client();
    assert_eq!(ask(&mut monitor, "MONITOR"), "+OK\r\n");
    let port = server.port;
    let workers: Vec<_> = (0..CLIENTS)
        .map(|worker| {
            std::thread::spawn(move || {
                let mut client = Client::connect(port).unwrap();
                for number in 0..ROUNDS {
                    ask(&mut client, &format!("ECHO {worker}:{number}"));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for _ in 0..CLIENTS * ROUNDS {
        let line = String::from_utf8(monitor.reply().unwrap()).unwrap();
        let (_, word) = line.trim_end().split_once("\"ECHO\" ").expect("an ECHO");
        let (worker, number) = word.trim_matches('"').split_once(':').unwrap();
        let next = seen.entry(worker.parse().unwrap()).or_default();
        assert_eq!(number.parse::<usize>().unwrap(), *next, "client {worker}");
        *next += 1;
    }
    assert!(seen.len() == CLIENTS && seen.values().all(|count| *count == ROUNDS));
}

#[test]
fn clients_of_other_threads_are_killed_whatever_they_wait_for() {
    let (_folder, server) = start();
    let mut killer = server.client();
    let mut victims: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
    let mut ids = Vec::new();
    for (index, victim) in victims.iter_mut().enumerate() {
        ids.push(ask(victim, "CLIENT ID").trim_start_matches(':').trim_end().to_owned());
        match index % 3 {
            // Waits in a command, with requests behind it.
            0 => victim.send(&encode(&words("WAIT 5 0")).repeat(2)).unwrap(),
            // Has sent half a request.
            1 => victim.send(b"*2\r\n$3\r\nGET\r\n$10\r\nabc").unwrap(),
            _ => {}
        }
    }
    for id in &ids {
        assert_eq!(ask(&mut killer, &format!("CLIENT KILL ID {id}")), ":1\r\n");
    }
    for victim in &mut victims {
        assert!(victim.reply().is_err(), "the connection is closed");
    }
    wait_for("the end of the victims", || {
        (ask(&mut killer, "CLIENT LIST").matches("id=").count() == 1).then_some(())
    });
}
