//! Looks after the nodes: starts them, makes them one cluster, starts again what died, says what happens.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use super::look::{self, Access, View};
use super::process::{self, Process};
use super::site::{Order, Site};
use super::stop::{self, Interrupts, LOOK, Stopping};
use super::voice::{Colour, Patience, coloured, event, program};
use super::{join, launch, logs, plan::Plan, status};
use crate::cli::say;
use crate::clock;
use crate::config::os_reason;

/// A node that lived shorter than this died at once.
const AT_ONCE_US: u64 = 10_000_000;

/// Longest wait before a node that dies again and again is started.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// How often the cluster is asked how it is; more often shortly after a node has died.
const ASK_US: u64 = 1_000_000;
const ASK_SOON_US: u64 = 150_000;
const SOON_US: u64 = 10_000_000;

/// After this it is said what there is, and the background is gone to, even if the cluster does not serve yet.
const LATE_US: u64 = 30_000_000;

/// Lines of its log that are shown when a node died at once.
const LAST_LINES: usize = 5;

/// How nodes that died are treated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Care {
    /// When they are started again; never, if there is nothing.
    pub(super) restart_after: Option<Duration>,
}

impl Care {
    /// For the file that other commands read.
    pub(super) fn text(self) -> String {
        self.restart_after.map_or_else(|| "never".to_owned(), |time| time.as_secs().to_string())
    }

    /// What a note of [`Self::text`] means for a node that was killed.
    pub(super) fn in_words(note: &str) -> String {
        match note.parse::<u64>() {
            Ok(seconds) => format!("it starts again in {seconds} s"),
            Err(_) => "'highwater cluster start' starts it again".to_owned(),
        }
    }
}

/// A node and its process.
struct Watched {
    port: u16,
    access: Access,
    life: Life,
    /// It was asked to stop, and what is to follow.
    asked: Option<Order>,
    /// Deaths one after the other, each right after a start.
    early_deaths: u32,
    /// Where in its log the last start begins.
    log_from: u64,
}

enum Life {
    /// `child` is missing where another supervisor started it.
    Runs {
        process: Process,
        child: Option<Child>,
        since_us: u64,
    },
    Ended {
        start_at_us: Option<u64>,
    },
}

pub(super) struct Supervisor {
    site: Site,
    plan: Plan,
    care: Care,
    program: PathBuf,
    nodes: Vec<Watched>,
    interrupts: Interrupts,
    /// What the cluster was when it was last asked.
    last: Option<Seen>,
    asked_us: u64,
    died_us: Option<u64>,
}

impl Supervisor {
    /// Looks after nodes of which some run already.
    ///
    /// # Errors
    /// A node's settings cannot be read.
    pub(super) fn new(
        site: Site,
        plan: Plan,
        care: Care,
        running: Vec<Option<Process>>,
        interrupts: Interrupts,
    ) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let now = clock::mono_us();
        let mut nodes = Vec::new();
        for (member, process) in plan.members.iter().zip(running) {
            let port = member.port;
            let life = match process {
                Some(process) => Life::Runs { process, child: None, since_us: now },
                None => Life::Ended { start_at_us: None },
            };
            let access = Access::of(&site, port)?;
            nodes.push(Watched { port, access, life, asked: None, early_deaths: 0, log_from: 0 });
            // An order for a supervisor that is gone.
            site.take_order(port);
        }
        let (last, asked_us, died_us) = (None, 0, None);
        Ok(Self { site, plan, care, program, nodes, interrupts, last, asked_us, died_us })
    }

    /// Starts what does not run, and makes it one cluster where it is none.
    ///
    /// # Errors
    /// Something that the operator has to see to; nothing, if an interrupt ended it.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        for index in 0..self.nodes.len() {
            if matches!(self.nodes[index].life, Life::Ended { .. }) {
                self.start(index)?;
            }
        }
        if !self.plan.formed {
            self.until_all_answer()?;
            let access = self.access();
            let plan = self.plan.clone();
            let mut patience = Patience::default();
            join::form(&plan, &access, &mut |doubt| self.wait(doubt, &mut patience))?;
            self.plan.formed = true;
            for member in self.plan.members.iter_mut().take(plan.founders) {
                member.joined = true;
            }
            self.site.keep(&self.plan)?;
        }
        match self.add_new() {
            Err(error) if !error.is_empty() => {
                event(&coloured(&format!("no node was added: {error}"), Colour::Red));
                Ok(())
            }
            done => done,
        }
    }

    fn access(&self) -> Vec<Access> {
        self.nodes.iter().map(|node| node.access.clone()).collect()
    }

    /// Makes nodes known to the others that never were.
    fn add_new(&mut self) -> Result<(), String> {
        let new: Vec<usize> =
            (0..self.nodes.len()).filter(|index| !self.plan.members[*index].joined).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.until_all_answer()?;
        let access = self.access();
        for index in new {
            let mut patience = Patience::default();
            // Nodes that have just started serve after two seconds.
            while let Some(doubt) = (0..self.nodes.len())
                .filter(|index| self.plan.members[*index].joined)
                .find_map(|index| join::unsettled(&access[index]))
            {
                self.wait(&doubt, &mut patience)?;
            }
            join::add(&access, index, &mut |doubt| self.wait(doubt, &mut patience))?;
            self.plan.members[index].joined = true;
            self.site.keep(&self.plan)?;
            event(&format!("{} joined, without slots", self.nodes[index].port));
        }
        Ok(())
    }

    fn until_all_answer(&mut self) -> Result<(), String> {
        let mut patience = Patience::default();
        for access in self.access() {
            while let Err(error) = access.text(&["PING"]) {
                let doubt = format!("{} {}", access.port, look::in_words(&error));
                self.wait(&doubt, &mut patience)?;
            }
        }
        Ok(())
    }

    /// Waits a moment, while something is not there yet.
    fn wait(&mut self, doubt: &str, patience: &mut Patience) -> Result<(), String> {
        if self.interrupts.came() {
            return Err(String::new());
        }
        for node in &mut self.nodes {
            if let Life::Runs { process, child, .. } = &mut node.life
                && process.has_ended()
            {
                let how = ending(child.as_mut());
                let lines = last_lines(&self.site, node);
                return Err(format!("{} {how}. The last it said:\n{lines}", node.port));
            }
        }
        patience.waits_for(doubt);
        process::wait(&self.processes(), LOOK);
        Ok(())
    }

    fn processes(&self) -> Vec<&Process> {
        self.nodes.iter().filter_map(Watched::process).collect()
    }

    /// Starts the process of a node.
    fn start(&mut self, index: usize) -> Result<(), String> {
        let node = &mut self.nodes[index];
        let port = node.port;
        let since_us = clock::mono_us();
        // Somebody else may have started it, by hand or as a supervisor that was killed at that moment.
        if let Some(process) = Process::of_node(&self.site.config(port)) {
            node.life = Life::Runs { process, child: None, since_us };
            return Ok(());
        }
        let path = self.site.node_log(port);
        let wrong = |error: std::io::Error| format!("{}: {}", path.display(), os_reason(&error));
        let log = open_log(&path).map_err(wrong)?;
        node.log_from = log.metadata().map_err(wrong)?.len();
        let errors = log.try_clone().map_err(wrong)?;
        let mut child = Command::new(&self.program)
            .args(["cluster", launch::WORD])
            .arg(self.site.config(port))
            .current_dir(self.site.node(port))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        let Some(process) = Process::of_child(child.id()) else {
            drop(child.kill());
            return Err("this system has no handles for processes (pidfd_open)".to_owned());
        };
        node.life = Life::Runs { process, child: Some(child), since_us };
        Ok(())
    }

    /// Looks after the nodes until an interrupt.
    ///
    /// # Errors
    /// What makes going on pointless.
    pub(super) fn run(mut self, in_background: bool) -> Result<ExitCode, String> {
        let begun = clock::mono_us();
        let mut patience = Patience::default();
        let mut is_told = false;
        loop {
            if self.interrupts.take() {
                self.stop();
                return Ok(ExitCode::SUCCESS);
            }
            self.bury();
            self.start_due();
            self.hear_orders();
            if self.nodes.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            if is_told {
                self.tell_changes();
            } else {
                let doubt = self.nodes.iter().find_map(Watched::doubt);
                let late = clock::mono_us() - begun > LATE_US;
                match &doubt {
                    Some(doubt) if !late => patience.waits_for(doubt),
                    _ => {
                        is_told = true;
                        self.tell_all(doubt.as_deref(), in_background);
                        if in_background {
                            self.go_to_background()?;
                        }
                    }
                }
            }
            process::wait(&self.processes(), LOOK);
        }
    }

    /// Says what there is, and how it is used.
    fn tell_all(&mut self, doubt: Option<&str>, in_background: bool) {
        let report = status::report(&self.site, &self.plan);
        say(&report.table());
        if let Some(doubt) = doubt {
            say(&coloured(&format!("Not all is well: {doubt}"), Colour::Yellow));
        }
        let first = &self.nodes[0];
        let host = match first.access.host() {
            "127.0.0.1" => String::new(),
            host => format!(" -h {host}"),
        };
        let password = if first.access.has_password() { " -a PASSWORD" } else { "" };
        let port = first.port;
        let (me, dir) = (program(), self.site.option());
        say(&format!(
            "Connect with   redis-cli -c{host} -p {port}{password}\n\
             \x20         or   {me} cli -c{host} -p {port}{password}"
        ));
        let stop =
            if in_background { format!("{me} cluster down{dir}") } else { "Ctrl-C".to_owned() };
        say(&format!("Stop with      {stop} ('up' goes on from there)"));
        say(&format!("Look with      {me} cluster status{dir}"));
        self.last = Some(Seen::of(&report));
    }

    /// Leaves the terminal; what is said from here on is in a file.
    fn go_to_background(&self) -> Result<(), String> {
        let path = self.site.log();
        let leave = || -> std::io::Result<()> {
            rustix::process::setsid()?;
            let log = open_log(&path)?;
            rustix::stdio::dup2_stderr(&log)?;
            rustix::stdio::dup2_stdout(&log)?;
            Ok(())
        };
        leave().map_err(|error| format!("cannot go to the background: {error}"))
    }

    /// Notices processes that ended.
    fn bury(&mut self) {
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let Life::Runs { process, child, since_us } = &mut node.life else { continue };
            if !process.has_ended() {
                continue;
            }
            let now = clock::mono_us();
            let (pid, lived) = (process.id(), now - *since_us);
            let was_child = child.is_some();
            let status = child.as_mut().and_then(|child| child.wait().ok());
            let how = in_words(status);
            let in_order = status.is_some_and(|status| status.success());
            node.life = Life::Ended { start_at_us: None };
            self.died_us = Some(now);
            let (port, asked) = (node.port, node.asked.take());
            let lonely = self.last.as_ref().and_then(|last| last.without_replica(port));
            if let Some(slots) = lonely {
                let text =
                    format!("slots {slots} are not served while {port} is down: it has no replica");
                event(&coloured(&text, Colour::Red));
            }
            if let Some(order) = asked {
                self.after_stop(index, order);
                continue;
            }
            if in_order {
                event(&format!(
                    "{port} was shut down and is left alone: 'highwater cluster start {port}' starts it"
                ));
                continue;
            }
            node.early_deaths =
                if was_child && lived < AT_ONCE_US { node.early_deaths + 1 } else { 0 };
            let Some(first) = self.care.restart_after else {
                event(&coloured(
                    &format!(
                        "{port} (pid {pid}) {how}: 'highwater cluster start {port}' starts it"
                    ),
                    Colour::Red,
                ));
                continue;
            };
            let delay = backoff(first, node.early_deaths);
            node.life = Life::Ended { start_at_us: Some(now + micros(delay)) };
            let text = format!("{port} (pid {pid}) {how}; starts again in {} s", delay.as_secs());
            event(&coloured(&text, Colour::Red));
            if node.early_deaths > 0 && status.is_none_or(|status| status.signal().is_none()) {
                say(&last_lines(&self.site, node));
            }
        }
    }

    fn after_stop(&mut self, index: usize, order: Order) {
        let port = self.nodes[index].port;
        event(&format!("{port} is stopped"));
        if order == Order::Remove {
            self.plan.members.remove(index);
            self.nodes.remove(index);
            if let Err(error) = self.site.keep(&self.plan) {
                event(&error);
            }
        }
    }

    fn start_due(&mut self) {
        for index in 0..self.nodes.len() {
            let now = clock::mono_us();
            let Life::Ended { start_at_us: Some(at) } = self.nodes[index].life else { continue };
            if at > now {
                continue;
            }
            match self.start(index) {
                Ok(()) => {
                    let node = &self.nodes[index];
                    let pid = node.process().map_or(0, Process::id);
                    event(&format!("{} starts (pid {pid})", node.port));
                }
                Err(error) => {
                    event(&coloured(&error, Colour::Red));
                    let again = Some(now + micros(DELAY_MAX));
                    self.nodes[index].life = Life::Ended { start_at_us: again };
                }
            }
        }
    }

    fn hear_orders(&mut self) {
        for index in (0..self.nodes.len()).rev() {
            let Some(order) = self.site.take_order(self.nodes[index].port) else { continue };
            let node = &mut self.nodes[index];
            match (&mut node.life, order) {
                (Life::Runs { .. }, Order::Start) => node.asked = None,
                (Life::Ended { start_at_us }, Order::Start) => {
                    node.early_deaths = 0;
                    *start_at_us = Some(0);
                }
                (Life::Runs { process, .. }, order) => {
                    stop::ask_to_stop(process);
                    node.asked = Some(order);
                }
                (Life::Ended { start_at_us }, order) => {
                    *start_at_us = None;
                    self.after_stop(index, order);
                }
            }
        }
    }

    /// Says what has changed in the cluster.
    fn tell_changes(&mut self) {
        let now = clock::mono_us();
        let soon = self.died_us.is_some_and(|died| now - died < SOON_US);
        if now - self.asked_us < if soon { ASK_SOON_US } else { ASK_US } {
            return;
        }
        self.asked_us = now;
        let running = self.nodes.iter().filter(|node| {
            node.process().is_some_and(|process| !process.has_ended() && !process.is_paused())
        });
        // One that was paused or has just started may still see what was before.
        let epoch = self.last.as_ref().map_or(0, |last| last.epoch);
        let mut views = running.filter_map(|node| node.access.view().ok());
        let fits = |view: &View| view.epoch >= epoch && !view.is_alone();
        let Some(view) = views.find(fits) else { return };
        let seen = Seen::by(&view);
        for text in self.last.iter().flat_map(|last| last.changes(&seen)) {
            event(&text);
        }
        self.last = Some(seen);
    }

    /// Stops all nodes.
    pub(super) fn stop(&mut self) {
        // The one that asked for this; the next one kills.
        self.interrupts.take();
        let stopping: Vec<Stopping<'_>> = self
            .nodes
            .iter()
            .filter_map(|node| {
                let process = node.process().filter(|process| !process.has_ended())?;
                Some(Stopping { port: node.port, process, access: Some(&node.access) })
            })
            .collect();
        if !stopping.is_empty() {
            say("Stopping");
            stop::stop_all(&stopping, &self.interrupts);
        }
        for node in &mut self.nodes {
            if let Life::Runs { child: Some(child), .. } = &mut node.life {
                drop(child.wait());
            }
        }
        say("Stopped. 'highwater cluster up' goes on from here");
    }
}

impl Watched {
    fn process(&self) -> Option<&Process> {
        match &self.life {
            Life::Runs { process, .. } => Some(process),
            Life::Ended { .. } => None,
        }
    }

    /// Why it is not yet what it is to be.
    fn doubt(&self) -> Option<String> {
        match self.process() {
            Some(process) if process.is_paused() => Some(format!("{} is paused", self.port)),
            Some(_) => join::unsettled(&self.access),
            None => Some(format!("{} does not run", self.port)),
        }
    }
}

fn open_log(path: &std::path::Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How long to wait before the next start, after so many deaths right after a start.
fn backoff(first: Duration, early_deaths: u32) -> Duration {
    let doubled = 1_u32.checked_shl(early_deaths.saturating_sub(1)).unwrap_or(u32::MAX);
    let longer = first.max(Duration::from_secs(1)).saturating_mul(doubled);
    if early_deaths == 0 { first } else { longer.min(DELAY_MAX).max(first) }
}

/// How a child ended.
fn ending(child: Option<&mut Child>) -> String {
    in_words(child.and_then(|child| child.wait().ok()))
}

fn in_words(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.signal(), status.code())) {
        Some((Some(signal), _)) => format!("was killed (signal {signal})"),
        Some((None, Some(code))) => format!("ended with status {code}"),
        _ => "ended".to_owned(),
    }
}

fn last_lines(site: &Site, node: &Watched) -> String {
    let lines = logs::tail(&site.node_log(node.port), LAST_LINES, node.log_from);
    lines.unwrap_or_default().iter().map(|line| format!("  | {line}\n")).collect::<String>()
        + &format!("  more of it: highwater cluster logs {}", node.port)
}

/// The cluster at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    ok: bool,
    epoch: u64,
    /// Port, what it is, and whether it has slots.
    roles: Vec<(u16, Role)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Primary(String),
    ReplicaOf(u16),
}

impl Seen {
    fn of(report: &status::Report) -> Self {
        let view = report.view.as_ref();
        view.map_or_else(|| Self { ok: false, epoch: 0, roles: Vec::new() }, Self::by)
    }

    fn by(view: &View) -> Self {
        let role = |peer: &super::look::Peer| {
            let primary = peer.primary.as_ref().and_then(|id| view.by_id(id));
            let role = match primary {
                Some(primary) => Role::ReplicaOf(primary.port),
                None => Role::Primary(peer.slots_in_words()),
            };
            (peer.port, role)
        };
        // One that has failed is what it was: it comes back as something else, or as the same.
        let alive = view.peers.iter().filter(|peer| !peer.has_failed() && !peer.has("noaddr"));
        Self { ok: view.ok, epoch: view.epoch, roles: alive.map(role).collect() }
    }

    /// The slots of the node at `port`, where nobody would take over.
    fn without_replica(&self, port: u16) -> Option<&str> {
        let has_replica = self.roles.iter().any(|(_, role)| *role == Role::ReplicaOf(port));
        let slots = self.roles.iter().find_map(|(at, role)| match role {
            Role::Primary(slots) if *at == port && !slots.is_empty() => Some(slots.as_str()),
            _ => None,
        });
        slots.filter(|_| !has_replica)
    }

    /// What became of `self` in `now`, in words.
    fn changes(&self, now: &Self) -> Vec<String> {
        let mut texts = Vec::new();
        let before = |port: u16| self.roles.iter().find(|(other, _)| *other == port);
        for (port, role) in &now.roles {
            let old = before(*port).map(|(_, role)| role);
            match (old, role) {
                (Some(Role::ReplicaOf(_)), Role::Primary(slots)) if !slots.is_empty() => {
                    let text = format!("{port} is a primary now, with slots {slots}");
                    texts.push(coloured(&text, Colour::Green));
                }
                (old, Role::ReplicaOf(primary)) if old != Some(role) => {
                    texts.push(format!("{port} is a replica of {primary}"));
                }
                _ => {}
            }
        }
        match (self.ok, now.ok) {
            (true, false) => {
                texts.push(coloured("the cluster does not serve all slots", Colour::Red))
            }
            (false, true) => texts.push(coloured("the cluster serves all slots", Colour::Green)),
            _ => {}
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_when_a_node_dies_at_once() {
        let first = Duration::from_secs(5);
        let seconds: Vec<u64> = (0..8).map(|deaths| backoff(first, deaths).as_secs()).collect();
        assert_eq!(seconds, [5, 5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(backoff(Duration::ZERO, 0), Duration::ZERO);
        assert_eq!(backoff(Duration::ZERO, 3).as_secs(), 4);
        assert_eq!(backoff(first, u32::MAX).as_secs(), 60);
    }

    #[test]
    fn care_is_told_in_words() {
        let care = |restart_after| Care { restart_after }.text();
        assert_eq!(Care::in_words(&care(Some(Duration::from_secs(5)))), "it starts again in 5 s");
        assert!(Care::in_words(&care(None)).contains("cluster start"));
    }

    #[test]
    fn failover_is_told_once() {
        let primary = |port, slots: &str| (port, Role::Primary(slots.to_owned()));
        let before =
            Seen { ok: true, epoch: 1, roles: vec![primary(1, "0-9"), (2, Role::ReplicaOf(1))] };
        let after = Seen { ok: true, epoch: 1, roles: vec![primary(2, "0-9")] };
        let back =
            Seen { ok: true, epoch: 1, roles: vec![(1, Role::ReplicaOf(2)), primary(2, "0-9")] };
        assert_eq!((before.without_replica(1), before.without_replica(2)), (None, None));
        assert_eq!((after.without_replica(2), after.without_replica(1)), (Some("0-9"), None));
        assert_eq!(before.changes(&before), Vec::<String>::new());
        assert_eq!(before.changes(&after), ["2 is a primary now, with slots 0-9"]);
        assert_eq!(after.changes(&back), ["1 is a replica of 2"]);
    }
}
