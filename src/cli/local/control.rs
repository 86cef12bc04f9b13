//! What is done to nodes from another terminal.

use std::fs;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::Signal;

use super::look::Access;
use super::process::{self, Process};
use super::site::{Holding, Order, Site};
use super::status;
use super::stop::{self, Interrupts, LOOK, Stopping};
use super::supervise::Care;
use super::voice::Patience;
use crate::cli::{complain, say};
use crate::clock;

/// A supervisor hears an order sooner than this.
const HEARD_US: u64 = 5_000_000;

/// A killed process is gone sooner than this.
const GONE: Duration = Duration::from_secs(5);

/// The port of the node that `word` names: a port, an index, or the first letters of an id.
///
/// # Errors
/// There is no such node, or more than one.
pub(super) fn find(site: &Site, word: &str) -> Result<u16, String> {
    let plan = site.known_plan()?;
    let ports: Vec<u16> = plan.members.iter().map(|member| member.port).collect();
    let ids: Vec<Option<String>> = ports.iter().map(|port| id_on_disk(site, *port)).collect();
    pick(&ports, &ids, word).map_err(|error| format!("{error}: the nodes are {}", plan.ports()))
}

fn pick(ports: &[u16], ids: &[Option<String>], word: &str) -> Result<u16, String> {
    let number = word.parse::<usize>().ok();
    if let Some(port) = ports.iter().find(|port| number == Some(usize::from(**port))) {
        return Ok(*port);
    }
    if let Some(port) = number.and_then(|index| ports.get(index)) {
        return Ok(*port);
    }
    let begins = |id: &Option<String>| id.as_ref().is_some_and(|id| id.starts_with(word));
    let mut fitting = ports.iter().zip(ids).filter(|(_, id)| !word.is_empty() && begins(id));
    match (fitting.next(), fitting.next()) {
        (Some((port, _)), None) => Ok(*port),
        (Some(_), Some(_)) => Err(format!("'{word}' begins the id of more than one node")),
        (None, _) => Err(format!("there is no node '{word}'")),
    }
}

/// The id of a node, whether it runs or not, as its nodes.conf has it.
pub(super) fn id_on_disk(site: &Site, port: u16) -> Option<String> {
    let text = fs::read_to_string(site.node(port).join("nodes.conf")).ok()?;
    let line = text.lines().find(|line| line.contains("myself"))?;
    line.split(' ').next().map(str::to_owned)
}

fn running(site: &Site, port: u16) -> Result<Process, String> {
    Process::of_node(&site.config(port)).ok_or_else(|| format!("{port} does not run"))
}

/// kill -9.
///
/// # Errors
/// There is no such process.
pub(super) fn kill(site: &Site, node: &str) -> Result<ExitCode, String> {
    let port = find(site, node)?;
    let process = running(site, port)?;
    signal(&process, port, Signal::KILL)?;
    process::wait(&[&process], GONE);
    let then = if site.is_held() {
        Care::in_words(&site.note())
    } else {
        "nobody looks after it: 'highwater cluster up' starts it again".to_owned()
    };
    say(&format!("{port} (pid {}) is killed; {then}", process.id()));
    Ok(ExitCode::SUCCESS)
}

/// SIGSTOP.
///
/// # Errors
/// There is no such process.
pub(super) fn pause(site: &Site, node: &str) -> Result<ExitCode, String> {
    let port = find(site, node)?;
    let process = running(site, port)?;
    signal(&process, port, Signal::STOP)?;
    say(&format!(
        "{port} (pid {}) is paused; 'highwater cluster resume {port}' lets it go on",
        process.id()
    ));
    Ok(ExitCode::SUCCESS)
}

/// SIGCONT.
///
/// # Errors
/// There is no such process.
pub(super) fn resume(site: &Site, node: &str) -> Result<ExitCode, String> {
    let port = find(site, node)?;
    let process = running(site, port)?;
    signal(&process, port, Signal::CONT)?;
    say(&format!("{port} (pid {}) goes on", process.id()));
    Ok(ExitCode::SUCCESS)
}

fn signal(process: &Process, port: u16, signal: Signal) -> Result<(), String> {
    match process.signal(signal) {
        true => Ok(()),
        false => {
            Err(format!("{port} (pid {}) cannot be signalled, or has just ended", process.id()))
        }
    }
}

/// Has the supervisor start a node.
///
/// # Errors
/// There is no supervisor, or the node does not come up.
pub(super) fn start(site: &Site, node: &str) -> Result<ExitCode, String> {
    let port = find(site, node)?;
    if let Some(process) = Process::of_node(&site.config(port)) {
        say(&format!("{port} runs already (pid {})", process.id()));
        return Ok(ExitCode::SUCCESS);
    }
    give(site, port, Order::Start)?;
    let begun = clock::mono_us();
    while clock::mono_us() - begun < HEARD_US {
        if let Some(process) = Process::of_node(&site.config(port)) {
            say(&format!("{port} starts (pid {})", process.id()));
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOK);
    }
    Err(format!("{port} does not come up: 'highwater cluster logs {port}' says why"))
}

/// Gives the supervisor an order, and waits until it was heard.
fn give(site: &Site, port: u16, order: Order) -> Result<(), String> {
    if !site.is_held() {
        return Err("nobody looks after the nodes: 'highwater cluster up' starts what is missing"
            .to_owned());
    }
    site.order(port, order)?;
    let begun = clock::mono_us();
    while site.is_ordered(port) {
        if clock::mono_us() - begun > HEARD_US {
            site.take_order(port);
            return Err(
                "the supervisor does not listen: it is paused, or still starting".to_owned()
            );
        }
        std::thread::sleep(LOOK / 4);
    }
    Ok(())
}

/// Stops one node. If it was taken out of the cluster it is struck off the list.
///
/// # Errors
/// There is no such node; it has the only copy of its slots, and that was not to be.
pub(super) fn down_one(site: &Site, node: &str, yes: bool) -> Result<ExitCode, String> {
    let port = find(site, node)?;
    if !yes && !may_go(site, port)? {
        return Ok(ExitCode::FAILURE);
    }
    let is_out = is_out(site, port);
    let process = Process::of_node(&site.config(port));
    if site.is_held() {
        give(site, port, if is_out { Order::Remove } else { Order::Stop })?;
        let mut patience = Patience::default();
        while process.as_ref().is_some_and(|process| !process.has_ended()) {
            patience.waits_for(&format!("{port} writes what is left"));
            std::thread::sleep(LOOK);
        }
    } else {
        let mut plan = site.known_plan()?;
        if let Some(process) = &process {
            let access = Access::of(site, port).ok();
            let stopping = Stopping { port, process, access: access.as_ref() };
            stop::stop_all(&[stopping], &Interrupts::catch()?);
        }
        if is_out {
            plan.members.retain(|member| member.port != port);
            site.keep(&plan)?;
        }
    }
    say(&match is_out {
        true => format!(
            "{port} is stopped and struck off: it was in no cluster any more. Its folder {} can go",
            site.node(port).display()
        ),
        false => format!("{port} is stopped; 'highwater cluster start {port}' starts it again"),
    });
    Ok(ExitCode::SUCCESS)
}

/// Warns of a node that has the only copy of its slots; at a terminal it is asked whether it is to go all the same.
fn may_go(site: &Site, port: u16) -> Result<bool, String> {
    let Some(count) = status::report(site, &site.known_plan()?).only_copy(port) else {
        return Ok(true);
    };
    let warning = format!("{count} slots have no other copy");
    let input = std::io::stdin();
    if !input.is_terminal() || !std::io::stdout().is_terminal() {
        complain(&format!("{warning}: nobody serves them until {port} is back"));
        return Ok(true);
    }
    say(&format!(
        "{warning}: nobody serves them until {port} is back. Stop it? (yes/no; --yes does not ask)"
    ));
    let mut line = String::new();
    drop(input.read_line(&mut line));
    Ok(line.trim().eq_ignore_ascii_case("yes") || line.trim().eq_ignore_ascii_case("y"))
}

/// Whether a node that had joined the others knows nobody, and nobody knows it.
fn is_out(site: &Site, port: u16) -> bool {
    let Ok(plan) = site.known_plan() else { return false };
    let had_joined = plan.members.iter().any(|member| member.port == port && member.joined);
    let view = Access::of(site, port).ok().and_then(|access| access.view().ok());
    had_joined && view.is_some_and(|view| view.is_alone()) && plan.members.len() > 1
}

/// Stops the cluster.
///
/// # Errors
/// It cannot be stopped.
pub(super) fn down(site: &Site) -> Result<ExitCode, String> {
    let plan = site.known_plan()?;
    let mut patience = Patience::default();
    // While somebody takes the lock for a moment, this is tried again.
    let _held = loop {
        match site.hold("never") {
            Ok(held) => break held,
            Err(Holding::Impossible(why)) => return Err(why),
            Err(Holding::Other(who)) => {
                if let Some(supervisor) = who {
                    end(site, &supervisor);
                } else {
                    patience.waits_for("somebody else holds the folder, and cannot be found");
                    std::thread::sleep(LOOK);
                }
            }
        }
    };
    let ports: Vec<u16> = plan.members.iter().map(|member| member.port).collect();
    let configs: Vec<_> = ports.iter().map(|port| site.config(*port)).collect();
    let access: Vec<Option<Access>> =
        ports.iter().map(|port| Access::of(site, *port).ok()).collect();
    let processes = Process::of_nodes(&configs);
    let left: Vec<Stopping<'_>> = ports
        .iter()
        .zip(&processes)
        .zip(&access)
        .filter_map(|((port, process), access)| {
            Some(Stopping { port: *port, process: process.as_ref()?, access: access.as_ref() })
        })
        .collect();
    if !left.is_empty() {
        stop::stop_all(&left, &Interrupts::catch()?);
    }
    say("The cluster is stopped; 'highwater cluster up' goes on from here");
    Ok(ExitCode::SUCCESS)
}

/// Asks a supervisor to stop its nodes and itself, and waits until it has.
fn end(site: &Site, supervisor: &Process) {
    stop::ask_to_stop(supervisor);
    let mut patience = Patience::default();
    while !supervisor.has_ended() {
        let configs: Vec<_> = site.known_plan().map_or_else(
            |_| Vec::new(),
            |plan| plan.members.iter().map(|member| site.config(member.port)).collect(),
        );
        let count = Process::of_nodes(&configs).iter().flatten().count();
        patience.waits_for(&format!("{count} nodes write what is left"));
        process::wait(&[supervisor], LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: Result<u16, &str>) {
        let ports = [7000, 7001, 2];
        let ids = [Some("ab12".to_owned()), Some("ab34".to_owned()), None];
        match (pick(&ports, &ids, word), expected) {
            (Ok(port), Ok(expected)) => assert_eq!(port, expected, "{word}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{word}: {error}"),
            (found, _) => panic!("{word}: {found:?}"),
        }
    }

    #[test]
    fn nodes_are_named_by_port_index_or_id() {
        check("7001", Ok(7001));
        check("0", Ok(7000));
        check("2", Ok(2));
        check("1", Ok(7001));
        check("ab1", Ok(7000));
        check("ab", Err("more than one"));
        check("x", Err("no node 'x'"));
        check("", Err("no node"));
        check("9", Err("no node"));
    }
}
