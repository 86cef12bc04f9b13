//! Random replies, as deep and odd as no server sends them, in each form.
//!
//! JSON is left out: as the key of an object stock writes any other reply as it is, which is then no JSON any more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::both::check;
use crate::seeds;

const DEPTH_MAX: usize = 4;

/// A server that replies to everything with what it was told to, but to HELLO with an empty map.
fn serve(reply: Arc<Mutex<Vec<u8>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let reply = reply.lock().unwrap().clone();
            std::thread::spawn(move || answer(stream, &reply));
        }
    });
    port
}

fn answer(stream: TcpStream, reply: &[u8]) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let count: usize = line.trim_start_matches('*').trim().parse().unwrap();
        let mut words = Vec::new();
        for _ in 0..count {
            line.clear();
            requests.read_line(&mut line)?;
            let length: usize = line.trim_start_matches('$').trim().parse().unwrap();
            let mut word = vec![0; length + 2];
            requests.read_exact(&mut word)?;
            words.push(word);
        }
        stream.write_all(if words[0] == b"HELLO\r\n" { b"%0\r\n" } else { reply })?;
    }
}

/// Writes a random reply.
fn write(out: &mut Vec<u8>, random: &mut fastrand::Rng, version_three: bool, depth: usize) {
    if depth > DEPTH_MAX || random.f32() < 0.45 {
        return write_plain(out, random, version_three);
    }
    let count = *random.choice(&[0, 1, 1, 2, 3, 11]).unwrap();
    let kind = if version_three { *random.choice(b"**~%").unwrap() } else { b'*' };
    out.push(kind);
    out.extend_from_slice(format!("{count}\r\n").as_bytes());
    for _ in 0..count * if kind == b'%' { 2 } else { 1 } {
        write(out, random, version_three, depth + 1);
    }
}

fn write_plain(out: &mut Vec<u8>, random: &mut fastrand::Rng, version_three: bool) {
    const OF_TWO: &[&str] =
        &[":0\r\n", ":-12345\r\n", "+OK\r\n", "+\r\n", "$-1\r\n", "*-1\r\n", "-ERR a \"b\"\r\n"];
    const OF_THREE: &[&str] = &[
        "#t\r\n",
        "#f\r\n",
        ",1.5\r\n",
        ",1e+20\r\n",
        "_\r\n",
        "=9\r\ntxt:hello\r\n",
        "=13\r\ntxt:two\nlines\r\n",
        "+OK\r\n",
    ];
    if random.bool() {
        // A zero byte would end the text that stock prints.
        let length = *random.choice(&[0, 1, 3, 8]).unwrap();
        let odd = b"abc\"\\\n\t\r \xff";
        let bytes: Vec<u8> = (0..length)
            .map(|_| if random.bool() { *random.choice(odd).unwrap() } else { random.u8(1..) })
            .collect();
        out.extend_from_slice(format!("${length}\r\n").as_bytes());
        out.extend_from_slice(&bytes);
        out.extend_from_slice(b"\r\n");
    } else {
        let list = if version_three && random.bool() { OF_THREE } else { OF_TWO };
        out.extend_from_slice(random.choice(list).unwrap().as_bytes());
    }
}

#[test]
fn random_replies_look_the_same() {
    seeds::play("random_replies", (1, 40), compare);
}

fn compare(seed: u64, rounds: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let reply = Arc::new(Mutex::new(Vec::new()));
    let port = serve(Arc::clone(&reply));
    for _ in 0..rounds {
        let version_three = random.bool();
        let mut bytes = Vec::new();
        write(&mut bytes, &mut random, version_three, 0);
        *reply.lock().unwrap() = bytes;
        for form in ["--raw", "--no-raw", "--csv"] {
            check(
                port,
                &["-p", "{}", if version_three { "-3" } else { "-2" }, form, "get", "k"],
                "",
            );
        }
    }
}
