//! A client that writes while something else happens.

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::terminal::Terminal;

/// Counters it counts up, which lie in as many slots.
const COUNTERS: usize = 20;

/// Counts up, twenty counters in each round, while `work` is done; every reply has to be the next number. The counters
/// are all there in the end.
pub(crate) fn count_meanwhile(terminal: &Terminal, prefix: &str, work: impl FnOnce()) {
    let ends = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rounds = 0;
            while !ends.load(Ordering::Acquire) {
                rounds += 1;
                count(terminal, prefix, rounds);
            }
            rounds
        });
        // The writer also ends where the work fails.
        let ends = EndsWith(&ends);
        work();
        drop(ends);
        writer.join().expect("all replies are right")
    });
    assert!(rounds > 1, "nothing was written meanwhile");
    let gets: String = (0..COUNTERS).map(|number| format!("get {prefix}:{number}\n")).collect();
    assert_eq!(batch(terminal, &gets), vec![rounds.to_string(); COUNTERS]);
}

struct EndsWith<'a>(&'a AtomicBool);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn count(terminal: &Terminal, prefix: &str, round: usize) {
    let lines: String = (0..COUNTERS).map(|number| format!("incr {prefix}:{number}\n")).collect();
    assert_eq!(batch(terminal, &lines), vec![round.to_string(); COUNTERS], "in round {round}");
}

/// Replies to commands, one in a line. What the client says of redirections is left out.
pub(crate) fn batch(terminal: &Terminal, lines: &str) -> Vec<String> {
    let mut command = terminal.command("redis-cli -c -p 7000");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_reply = |line: &&str| !line.is_empty() && !line.starts_with("-> Redirected to slot [");
    said.lines().filter(is_reply).map(str::to_owned).collect()
}
