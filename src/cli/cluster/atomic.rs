//! Moves slots as a whole: the source is told which slots go where, does it by itself, and is asked how far it is.
//!
//! The work survives a crash of either node, and goes on without us. So a node that does not answer is asked again for a
//! while, and where a replica has taken its place, that one is asked: the work keeps its name.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::thread::sleep;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar};
use serde_json::json;

use crate::cluster::SlotSet;

use super::super::wire::Failure;
use super::job::{End, Entry};
use super::load;
use super::moving::Move;
use super::nodes::{self, Cluster, Node};
use super::peer::{Peer, field};
use super::plan;
use super::progress::{self, Figures};
use super::screen::{Done, Screen, Stop};

/// How often nodes are asked.
const LOOK: Duration =
    if cfg!(test) { Duration::from_millis(5) } else { Duration::from_millis(250) };

/// Looks between two lines about one move, where there is no bar.
const LOOKS_PER_LINE: usize = 8;

/// Looks without any word of a move after which it counts as lost: two minutes, in which a node restarts or is replaced.
const LOOKS_LOST: usize = 480;

/// Looks until nodes agree on who serves what, at the end.
const LOOKS_AGREE: usize = 40;

/// Whether a node moves slots as a whole.
pub(super) fn can(node: &mut Node) -> bool {
    if let Some(known) = node.moves_whole {
        return known;
    }
    let info = node.peer.text("INFO server").unwrap_or_default();
    let can = field(&info, "highwater_version").is_some()
        && node.peer.line("CLUSTER GETSLOTMIGRATIONS").is_ok();
    node.moves_whole = Some(can);
    can
}

/// Slots from one node to another.
struct Job {
    source: usize,
    target: usize,
    slots: SlotSet,
    /// Known once the source has listed it.
    name: Option<String>,
    /// Names that the source listed before.
    before: BTreeSet<String>,
    figures: Figures,
    /// Looks since it was last heard of.
    silent: usize,
    end: Option<End>,
    message: String,
    bar: Option<ProgressBar>,
}

impl Job {
    fn ranges(&self) -> Vec<(u16, u16)> {
        plan::ranges(&self.slots)
    }

    /// `0-9 20-29`, as nodes write them.
    fn ranges_text(&self) -> String {
        let one = |(first, last): &(u16, u16)| format!("{first}-{last}");
        self.ranges().iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Whether a node's entry is this job: by its name, once that is known.
    fn is(&self, entry: &Entry, target: &str) -> bool {
        match &self.name {
            Some(name) => *name == entry.name,
            None => {
                entry.is_export
                    && entry.target.as_deref().is_none_or(|id| id == target)
                    && same_ranges(&entry.ranges, &self.ranges_text())
                    && !self.before.contains(&entry.name)
            }
        }
    }
}

/// Whether two lists of ranges are the same; a single slot may stand with or without its end.
fn same_ranges(one: &str, other: &str) -> bool {
    let read = |text: &str| -> Vec<String> {
        let full = |range: &str| {
            if range.contains('-') { range.to_owned() } else { format!("{range}-{range}") }
        };
        text.split([' ', ',']).filter(|range| !range.is_empty()).map(full).collect()
    };
    read(one) == read(other)
}

/// Moves slots, all at once.
///
/// # Errors
/// Where a node refuses, or one of the moves fails; the others are waited for all the same.
pub(super) fn run(screen: &mut Screen<'_>, cluster: &mut Cluster, moves: &[Move]) -> Done {
    let mut jobs = start(screen, cluster, moves)?;
    let bars = bars(screen, cluster, &mut jobs);
    let mut look = 0;
    while jobs.iter().any(|job| job.end.is_none()) {
        for job in jobs.iter_mut().filter(|job| job.end.is_none()) {
            follow(cluster, job);
            show(screen, cluster, job, bars.as_ref(), look);
        }
        look += 1;
        sleep(LOOK);
    }
    if let Some(bars) = bars {
        drop(bars.clear());
    }
    for _ in 0..LOOKS_AGREE {
        if load::all_agree(cluster) {
            break;
        }
        sleep(LOOK);
    }
    report(screen, cluster, &jobs);
    let failed: Vec<String> = jobs
        .iter()
        .filter(|job| job.end == Some(End::Failed))
        .map(|job| format!("slots {}: {}", job.ranges_text(), job.message))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(Stop::with(failed.join("; "))) }
}

/// Tells each source what it is to move. A source takes all of it or nothing.
fn start(screen: &mut Screen<'_>, cluster: &mut Cluster, moves: &[Move]) -> Done<Vec<Job>> {
    let mut by_source: BTreeMap<usize, BTreeMap<usize, SlotSet>> = BTreeMap::new();
    for &Move { slot, source, target } in moves {
        let targets = by_source.entry(source).or_default();
        targets.entry(target).or_insert(SlotSet::EMPTY).insert(slot);
    }
    let mut jobs = Vec::new();
    for (source, targets) in by_source {
        let before = entries(&mut cluster.nodes[source].peer).unwrap_or_default();
        let before: BTreeSet<String> = before.into_iter().map(|entry| entry.name).collect();
        let mut words = vec!["CLUSTER".to_owned(), "MIGRATESLOTS".to_owned()];
        for (target, slots) in &targets {
            words.push("SLOTSRANGE".to_owned());
            for (first, last) in plan::ranges(slots) {
                words.extend([first.to_string(), last.to_string()]);
            }
            words.extend(["NODE".to_owned(), cluster.nodes[*target].id.clone()]);
        }
        let node = &mut cluster.nodes[source];
        if let Err(failure) = node.peer.call(&words) {
            screen.error(&node.peer.replied(&failure.to_string()));
            if let Failure::Refused(_) = failure {
                return Err(Stop::with(failure.to_string()));
            }
            // It may have begun all the same: whoever takes its place knows.
        }
        jobs.extend(targets.into_iter().map(|(target, slots)| Job {
            source,
            target,
            slots,
            name: None,
            before: before.clone(),
            figures: Figures::default(),
            silent: 0,
            end: None,
            message: String::new(),
            bar: None,
        }));
    }
    Ok(jobs)
}

fn entries(peer: &mut Peer) -> Option<Vec<Entry>> {
    peer.line("CLUSTER GETSLOTMIGRATIONS").ok().map(|reply| Entry::read_all(&reply))
}

/// Asks the source how far it is; where that does not answer or does not know, all others.
fn follow(cluster: &mut Cluster, job: &mut Job) {
    let target = cluster.nodes[job.target].id.clone();
    let listed = entries(&mut cluster.nodes[job.source].peer);
    let found = listed.and_then(|list| list.into_iter().find(|entry| job.is(entry, &target)));
    let found = found.or_else(|| elsewhere(cluster, job, &target));
    let is_sources_word = found.as_ref().is_some_and(|entry| entry.is_export);
    match found {
        Some(entry) => {
            job.silent = 0;
            job.end = entry.end();
            job.name = Some(entry.name);
            job.figures = entry.figures;
            job.message = entry.message;
        }
        None => job.silent += 1,
    }
    if job.end.is_none() && !is_sources_word && has_arrived(cluster, job) {
        job.end = Some(End::Success);
    }
    if job.end == Some(End::Success) {
        for slot in job.slots.iter() {
            cluster.nodes[job.source].slots.remove(slot);
            cluster.nodes[job.target].slots.insert(slot);
        }
    }
    if job.silent >= LOOKS_LOST {
        job.end = Some(End::Failed);
        job.message = "no node has said anything of it for two minutes".to_owned();
    }
}

/// Whether the target has the slots, and the source, which has given its last ones, is a replica: it has lost its list with
/// its data, and will say nothing of the job any more.
fn has_arrived(cluster: &mut Cluster, job: &Job) -> bool {
    let source = cluster.nodes[job.source].id.clone();
    let target = &mut cluster.nodes[job.target];
    let text = target.peer.text("CLUSTER NODES").unwrap_or_default();
    let lines = nodes::parse(&text).unwrap_or_default();
    let line_of = |id: &str| lines.iter().find(|line| line.id == id);
    let (Some(source), Some(target)) = (line_of(&source), line_of(&target.id)) else {
        return false;
    };
    let has = |slot| target.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
    source.has_flag("slave") && job.slots.iter().all(has)
}

/// The entry on a node that has taken the source's place, or, failing that, on the target.
fn elsewhere(cluster: &mut Cluster, job: &Job, target: &str) -> Option<Entry> {
    let credentials = cluster.nodes[job.source].peer.credentials.clone();
    let mut best: Option<Entry> = None;
    for (host, port) in primaries_now(cluster, job.source) {
        let mut peer = Peer::new(&host, port, &credentials);
        let Some(list) = entries(&mut peer) else { continue };
        let Some(entry) = list.into_iter().find(|entry| job.is(entry, target)) else { continue };
        // The word of the source's side counts more than the target's, and an end more than what it was before.
        let is_better = match &best {
            None => true,
            Some(known) => {
                (entry.end().is_some(), entry.is_export) > (known.end().is_some(), known.is_export)
            }
        };
        if is_better {
            best = Some(entry);
        }
    }
    best
}

/// Where primaries are, as any node but the silent one says.
fn primaries_now(cluster: &mut Cluster, silent: usize) -> Vec<(String, u16)> {
    let others = (0..cluster.nodes.len()).filter(|&index| index != silent);
    for index in others {
        let text = cluster.nodes[index].peer.text("CLUSTER NODES");
        let Ok(lines) = text.map(|text| nodes::parse(&text).unwrap_or_default()) else { continue };
        let alive = lines.iter().filter(|line| line.has_flag("master") && !line.has_flag("fail"));
        return alive.map(|line| (line.host.clone(), line.port)).collect();
    }
    Vec::new()
}

/// `from a to b`.
fn way(cluster: &Cluster, job: &Job) -> String {
    format!("from {} to {}", cluster.nodes[job.source].peer, cluster.nodes[job.target].peer)
}

fn bars(screen: &Screen<'_>, cluster: &Cluster, jobs: &mut [Job]) -> Option<MultiProgress> {
    let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    if screen.is_for_machines() || !is_terminal {
        return None;
    }
    let bars = MultiProgress::new();
    for job in jobs {
        let bar = bars.add(progress::bar(100, "{wide_msg}"));
        bar.set_message(bar_text(cluster, job));
        job.bar = Some(bar);
    }
    Some(bars)
}

/// What stands for a job that is under way, in a line of the terminal.
fn bar_text(cluster: &Cluster, job: &Job) -> String {
    let to = &cluster.nodes[job.target].peer;
    let before = format!("{} slots to {to}", job.slots.len());
    progress::line(&before, job.figures.percent(), &job.figures.on_the_way(), progress::columns())
}

/// The line of a range that has moved: whole where it fits into the terminal, else in short.
fn moved(cluster: &Cluster, job: &Job, range: &str, details: &str) -> String {
    let line = format!("Moving slots {range} {}: done{details}", way(cluster, job));
    if line.chars().count() < progress::columns() {
        return line;
    }
    let short = format!("Slots {range} to {}", cluster.nodes[job.target].peer);
    // How long writes waited is the last of the details, and the first to go.
    let fewer = details.rsplit_once(", ").map(|(most, _)| format!("{short}{most})"));
    let mut lines = [Some(short.clone() + details), fewer].into_iter().flatten();
    let fitting = lines.find(|line| line.chars().count() < progress::columns());
    fitting.unwrap_or_else(|| progress::cut(&short, progress::columns().saturating_sub(1)))
}

/// Shows how far a job is; at its end, a line per range.
fn show(
    screen: &mut Screen<'_>,
    cluster: &Cluster,
    job: &Job,
    bars: Option<&MultiProgress>,
    look: usize,
) {
    let way = way(cluster, job);
    match (job.end, &job.bar) {
        (None, Some(bar)) => {
            bar.set_position(job.figures.percent());
            bar.set_message(bar_text(cluster, job));
        }
        (None, None) if look % LOOKS_PER_LINE == LOOKS_PER_LINE - 1 => {
            let (ranges, figures) = (job.ranges_text().replace(' ', ","), &job.figures);
            screen.say(&format!("Moving slots {ranges} {way}: {}\n", figures.on_the_way()));
        }
        (None, None) => {}
        (Some(end), bar) => {
            if let (Some(bar), Some(bars)) = (bar, bars) {
                bar.finish_and_clear();
                bars.remove(bar);
            }
            let text = ended(cluster, job, end, bar.is_some());
            // The bars of the others make room for it.
            match bars {
                Some(bars) => bars.suspend(|| screen.say(&text)),
                None => screen.say(&text),
            }
        }
    }
}

/// A line for each range of a job that has ended; what is said of the whole stands behind its last range.
fn ended(cluster: &Cluster, job: &Job, end: End, at_terminal: bool) -> String {
    let ranges = job.ranges();
    let mut text = String::new();
    for (index, (first, last)) in ranges.iter().enumerate() {
        let (range, is_last) = (format!("{first}-{last}"), index + 1 == ranges.len());
        let details = match end {
            _ if !is_last => String::new(),
            End::Success => format!(" ({})", job.figures.at_the_end()),
            End::Failed => format!(": {}", job.message),
        };
        text += &match end {
            End::Success if at_terminal => moved(cluster, job, &range, &details),
            End::Success => {
                format!("Moving slots {range} {}: done{details}", way(cluster, job))
            }
            End::Failed => format!("Moving slots {range} {}: failed{details}", way(cluster, job)),
        };
        text.push('\n');
    }
    text
}

fn report(screen: &mut Screen<'_>, cluster: &Cluster, jobs: &[Job]) {
    let shown: Vec<serde_json::Value> = jobs
        .iter()
        .map(|job| {
            json!({
                "slots": job.ranges_text(),
                "source": cluster.nodes[job.source].id,
                "target": cluster.nodes[job.target].id,
                "name": job.name,
                "keys": job.figures.keys_sent,
                "bytes": job.figures.bytes_sent,
                "pause_us": job.figures.pause.map(|pause| pause.as_micros()),
                "state": if job.end == Some(End::Success) { "success" } else { "failed" },
                "message": job.message,
            })
        })
        .collect();
    screen.facts("moves", shown);
}

/// Waits until no node moves slots any more that an earlier run asked it to move.
pub(super) fn wait_for_others(screen: &mut Screen<'_>, cluster: &mut Cluster) -> Done {
    let mut has_said = false;
    for look in 0.. {
        let running = running(cluster);
        if running.is_empty() {
            if has_said {
                load::refresh(cluster);
            }
            return Ok(());
        }
        if !has_said {
            screen.info(&format!(
                ">>> Nodes are still moving slots for an earlier run: waiting for {} moves first\n",
                running.len()
            ));
            has_said = true;
        }
        if look % LOOKS_PER_LINE == LOOKS_PER_LINE - 1 {
            for (address, entry) in &running {
                let (ranges, figures) = (&entry.ranges, &entry.figures);
                screen.say(&format!(
                    "Moving slots {ranges} from {address}: {}\n",
                    figures.on_the_way()
                ));
            }
        }
        sleep(LOOK);
    }
    Ok(())
}

/// Moves under way, by the nodes that carry them out.
fn running(cluster: &mut Cluster) -> Vec<(String, Entry)> {
    let mut running = Vec::new();
    for index in cluster.primaries() {
        let node = &mut cluster.nodes[index];
        if !can(node) {
            continue;
        }
        let list = entries(&mut node.peer).unwrap_or_default();
        let open = list.into_iter().filter(|entry| entry.is_export && entry.end().is_none());
        let address = node.address();
        running.extend(open.map(|entry| (address.clone(), entry)));
    }
    running
}

#[cfg(test)]
mod tests;
