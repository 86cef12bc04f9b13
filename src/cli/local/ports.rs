//! Ports that are taken, and by whom.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs};
use std::time::Duration;

use super::plan::BUS;
use super::process::command_line;

/// Longest command line that is shown.
const SHOWN_MAX: usize = 60;

/// The address that a word of `bind` stands for.
pub(super) fn address(word: &str) -> &str {
    match word.strip_prefix('-').unwrap_or(word) {
        "*" => "0.0.0.0",
        "::*" => "::",
        address => address,
    }
}

/// Looks again at a port whose holder cannot be found: a process that was killed gives its ports back last.
const LOOKS: u32 = 30;
const LOOK: Duration = Duration::from_millis(100);

/// Says why a node could not listen at `port` or on its bus, on one of the addresses.
pub(super) fn taken(addresses: &[String], port: u16) -> Option<String> {
    for _ in 1..LOOKS {
        match taken_now(addresses, port) {
            Some(why) if why.ends_with(UNKNOWN) => std::thread::sleep(LOOK),
            found => return found,
        }
    }
    taken_now(addresses, port)
}

/// A holder of whom nothing is known.
const UNKNOWN: &str = "a process of another user";

fn taken_now(addresses: &[String], port: u16) -> Option<String> {
    for (port, what) in [(port, ""), (port.saturating_add(BUS), ", the bus of a node,")] {
        for word in addresses {
            match TcpListener::bind((address(word), port)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    return Some(format!("port {port}{what} is taken by {}", holder(port)));
                }
                // An address that may be missing.
                Err(_) if word.starts_with('-') => {}
                Err(error) => {
                    let reason = crate::config::os_reason(&error);
                    return Some(format!("cannot listen on {}:{port}: {reason}", address(word)));
                }
            }
        }
    }
    None
}

/// Whether an address is one that other hosts can reach.
pub(super) fn is_open(word: &str) -> bool {
    match (address(word), 0).to_socket_addrs() {
        Ok(mut addresses) => addresses.any(|address| !address.ip().is_loopback()),
        Err(_) => true,
    }
}

/// Who listens at a port, in words.
fn holder(port: u16) -> String {
    let sockets = listening(port);
    match process_with(&sockets) {
        Some(pid) => {
            let mut line = command_line(pid);
            if line.chars().count() > SHOWN_MAX {
                line = line.chars().take(SHOWN_MAX).chain("...".chars()).collect();
            }
            format!("process {pid} ({line})")
        }
        None => UNKNOWN.to_owned(),
    }
}

/// Inodes of the sockets that listen at a port.
fn listening(port: u16) -> HashSet<String> {
    const LISTEN: &str = "0A";
    let mut inodes = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) =
                (words.get(1), words.get(3), words.get(9))
            else {
                continue;
            };
            if *state == LISTEN && local.ends_with(&format!(":{port:04X}")) {
                inodes.insert(format!("socket:[{inode}]"));
            }
        }
    }
    inodes
}

/// A process that has one of these sockets open.
fn process_with(sockets: &HashSet<String>) -> Option<i32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_port_is_named_with_its_process() {
        let local = ["127.0.0.1".to_owned()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pid = std::process::id();
        // As the port of clients, and as that of the bus.
        for asked in [port, port - BUS] {
            let told = taken(&local, asked).unwrap();
            assert!(told.contains(&port.to_string()), "{told}");
            assert!(told.contains(&format!("process {pid} (")), "{told}");
        }
    }

    #[test]
    fn addresses_of_other_hosts_are_told_from_loopback() {
        for word in ["127.0.0.1", "::1", "-::1", "127.1.2.3"] {
            assert!(!is_open(word), "{word}");
        }
        for word in ["0.0.0.0", "*", "-::*", "10.0.0.1"] {
            assert!(is_open(word), "{word}");
        }
    }
}
