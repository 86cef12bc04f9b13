//! Walks over very large collections while clients go on: nobody waits for long.
//!
//! `ELEMENTS=10000000 LONGEST_MS=5 cargo test --release --test blackbox large_values -- --nocapture` does it at full size.

use std::time::Duration;

use highwater::clock::{Clock, SystemClock};

use crate::peer::{Client, encode, words};
use crate::server::Server;

/// Members of the sorted set where nothing else is said.
const ELEMENTS: usize = 300_000;
/// What a request may take: far less than the walk does, and enough for a machine that has other work, too.
const LONGEST_MS: u64 = 100;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Microseconds of a clock that only goes forwards.
fn now() -> u64 {
    SystemClock.mono_us()
}

fn since(begun_us: u64) -> Duration {
    Duration::from_micros(now() - begun_us)
}

/// Adds `count` elements in requests of 500, each made of the number of an element.
fn fill(client: &mut Client, command: &str, count: usize, element: impl Fn(usize) -> String) {
    for from in (0..count).step_by(50_000) {
        let until = (from + 50_000).min(count);
        let request = |first: usize| {
            let elements: Vec<String> = (first..(first + 500).min(until)).map(&element).collect();
            words(&format!("{command} {}", elements.join(" ")))
        };
        let requests: Vec<_> = (from..until).step_by(500).map(request).collect();
        for reply in client.run(&requests) {
            assert_eq!(reply.first(), Some(&b':'), "{}", reply.escape_ascii());
        }
    }
}

/// The longest of the requests that change or read the large values, one at a time, until `field` of INFO is 0; and how many
/// there were of those that change one.
fn longest_until(server: &Server, client: &mut Client, field: &str, added: &mut usize) -> Duration {
    let (mut longest, begun) = (Duration::ZERO, *added);
    loop {
        for _ in 0..50 {
            let requests = [
                format!("ZADD z {added}.5 new{added}"),
                format!("HSET h new{added} 1"),
                format!("RPUSH l new{added}"),
                "ZRANGE z 1000 1005".to_owned(),
                "PING".to_owned(),
            ];
            *added += 1;
            for request in requests {
                let asked = now();
                client.send(&encode(&words(&request))).unwrap();
                let reply = client.reply().unwrap();
                longest = longest.max(since(asked));
                assert_ne!(reply.first(), Some(&b'-'), "{}", reply.escape_ascii());
            }
        }
        if server.info(field) == "0" {
            assert!(*added - begun > 50, "the walk ends before anything could wait for it");
            return longest;
        }
    }
}

#[test]
fn a_walk_over_a_very_large_collection_lets_others_go_on() {
    let elements = number("ELEMENTS", ELEMENTS);
    let longest_ms = number("LONGEST_MS", usize::try_from(LONGEST_MS).unwrap()) as u64;
    let folder = tempfile::tempdir().unwrap();
    let settings = ["--auto-aof-rewrite-percentage", "0"];
    let mut server = Server::start(folder.path(), &settings);
    let mut client = server.client();
    client.set_patience(120_000);
    fill(&mut client, "ZADD z", elements, |number| format!("{} member:{number}", number % 1_000));
    fill(&mut client, "HSET h", elements / 10, |number| format!("field:{number} {number}"));
    fill(&mut client, "RPUSH l", elements / 10, |number| format!("item:{number}"));
    let mut added = 0;
    for (command, field) in
        [("BGSAVE", "rdb_bgsave_in_progress"), ("BGREWRITEAOF", "aof_rewrite_in_progress")]
    {
        let begun = now();
        assert!(server.ask(command).starts_with("+Background"), "{command}");
        let longest = longest_until(&server, &mut client, field, &mut added);
        println!("{command}: {:?}, the longest request took {longest:?}", since(begun));
        assert!(
            longest < Duration::from_millis(longest_ms),
            "a request took {longest:?} during {command}, which took {:?}",
            since(begun)
        );
    }
    assert_eq!(server.info("rdb_last_bgsave_status"), "ok");
    assert_eq!(server.info("aof_last_bgrewrite_status"), "ok");
    server.kill();
    let server = Server::start(folder.path(), &settings);
    for (key, count) in
        [("ZCARD z", elements), ("HLEN h", elements / 10), ("LLEN l", elements / 10)]
    {
        assert_eq!(server.ask(key), format!(":{}\r\n", count + added));
    }
}
