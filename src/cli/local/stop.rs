//! Stopping: signals that ask this process to, and nodes that are asked to in their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::look::{Access, PATIENCE};
use super::process::{self, Process};
use super::voice::{Colour, coloured};
use crate::cli::say;
use crate::clock;

/// Whoever waits looks around this often.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// A node that takes longer is named.
const SLOW_US: u64 = 3_000_000;

/// Ctrl-C and its like, caught.
#[derive(Clone, Debug)]
pub(super) struct Interrupts {
    came: Arc<AtomicBool>,
}

impl Interrupts {
    /// From here on they no longer end this process.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn catch() -> Result<Self, String> {
        let came = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&came))
                .map_err(|error| format!("cannot catch signals: {error}"))?;
        }
        Ok(Self { came })
    }

    /// Whether one came since the last call.
    pub(super) fn take(&self) -> bool {
        self.came.swap(false, Ordering::Relaxed)
    }

    /// Whether one came that was not taken.
    pub(super) fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }
}

/// A node that is to be stopped.
#[derive(Debug)]
pub(super) struct Stopping<'a> {
    pub(super) port: u16,
    pub(super) process: &'a Process,
    pub(super) access: Option<&'a Access>,
}

/// Asks nodes to stop, and waits until they have. Replicas go first: none is left to see its primary go and take over, so
/// roles are at the next start what they were. An interrupt kills what is left.
pub(super) fn stop_all(nodes: &[Stopping<'_>], interrupts: &Interrupts) {
    let (replicas, others): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| is_replica(node));
    for group in [replicas, others] {
        for node in &group {
            ask_to_stop(node.process);
        }
        wait_for(&group, interrupts);
    }
}

/// A stopped process does not hear a request; it goes on first.
pub(super) fn ask_to_stop(process: &Process) {
    // One that has ended needs neither.
    let _asked = process.signal(Signal::TERM);
    let _heard = process.signal(Signal::CONT);
}

fn is_replica(node: &Stopping<'_>) -> bool {
    if node.process.is_paused() {
        return false;
    }
    let Some(access) = node.access else { return false };
    let role = access.connect().and_then(|mut connection| connection.call(&["ROLE"]));
    role.is_ok_and(|role| {
        let first = role.elements().and_then(<[_]>::first).and_then(crate::cli::wire::Reply::text);
        first.as_deref() == Some("slave")
    })
}

fn wait_for(nodes: &[&Stopping<'_>], interrupts: &Interrupts) {
    debug_assert!(LOOK < PATIENCE, "a look is short");
    let begun = clock::mono_us();
    let mut told = false;
    loop {
        let left: Vec<_> = nodes.iter().filter(|node| !node.process.has_ended()).collect();
        if left.is_empty() {
            return;
        }
        let ports = left.iter().map(|node| node.port.to_string()).collect::<Vec<_>>().join(", ");
        if interrupts.take() {
            let text = format!("killing {ports}: what was acknowledged is in their logs");
            say(&coloured(&text, Colour::Red));
            for node in &left {
                let _ended = node.process.signal(Signal::KILL);
            }
        }
        if !told && clock::mono_us() - begun > SLOW_US {
            say(&format!("  waiting for {ports} to write what is left (again Ctrl-C kills them)"));
            told = true;
        }
        let processes: Vec<&Process> = left.iter().map(|node| node.process).collect();
        process::wait(&processes, LOOK);
    }
}
