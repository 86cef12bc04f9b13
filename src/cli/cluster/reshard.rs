//! `reshard`: slots to one primary, from some or all of the others. What options do not say is asked for.

use crate::clock;
use crate::cluster::SlotSet;
use crate::keyspace::SLOT_COUNT;

use super::moving::Move;
use super::nodes::Cluster;
use super::options::{Options, leading_number};
use super::plan::{self, Row};
use super::screen::{Done, Screen, Stop, is_yes};
use super::{check, resume, show, transfer};

/// Moves slots.
pub(super) fn run(screen: &mut Screen<'_>, cluster: &mut Cluster, options: &Options) -> Done {
    if options.resumes {
        resume::run(screen, cluster, options)?;
    }
    check::demand(screen, cluster, options, false, |screen| {
        screen.complain("*** Please fix your cluster problems before resharding\n");
    })?;
    let count = count(screen, options)?;
    let target = target(screen, cluster, options)?;
    let sources = sources(screen, cluster, options, target)?;
    let slots_of: Vec<(usize, &SlotSet)> =
        sources.iter().map(|&index| (index, &cluster.nodes[index].slots)).collect();
    let rows = plan::take(&slots_of, count);
    let from = Giving { sources: &sources, rows: &rows };
    show_plan(screen, cluster, options, count, target, from);
    if !options.yes {
        let question = "Do you want to proceed with the proposed reshard plan (yes/no)? ";
        if !screen.ask(question).is_some_and(|line| is_yes(&line)) {
            return Err(Stop::said());
        }
    }
    let moves: Vec<Move> =
        rows.into_iter().map(|(slot, source)| Move { slot, source, target }).collect();
    let begun_us = clock::mono_us();
    transfer::run(screen, cluster, options, &moves, transfer::Marks::Lines).map_err(|stop| {
        if !stop.text().is_empty() {
            screen.error(&format!("clusterManagerMoveSlot failed: {}\n", stop.text()));
        }
        Stop::said()
    })?;
    transfer::conclude(screen, cluster, options, &moves, begun_us);
    Ok(())
}

/// How many slots.
fn count(screen: &mut Screen<'_>, options: &Options) -> Done<i64> {
    let most = i64::try_from(SLOT_COUNT).unwrap_or(i64::MAX);
    let mut count = options.slots;
    if count != 0 {
        return Ok(count);
    }
    let question = format!("How many slots do you want to move (from 1 to {SLOT_COUNT})? ");
    while !(1..=most).contains(&count) {
        let line = screen.ask(&question).ok_or_else(ended)?;
        count = leading_number(&line);
    }
    Ok(count)
}

/// The input ended in the middle of the questions.
fn ended() -> Stop {
    Stop::with("\n")
}

/// Says that a node is none; `asks_again` where the question is put once more.
fn unknown(screen: &mut Screen<'_>, id: &str, asks_again: bool) {
    let retry = if asks_again { ", please retry" } else { "" };
    screen.error(&format!("*** The specified node ({id}) is not known or not a master{retry}.\n"));
}

/// Who receives.
fn target(screen: &mut Screen<'_>, cluster: &Cluster, options: &Options) -> Done<usize> {
    let id = match &options.to {
        Some(id) => id.clone(),
        None => loop {
            let line = screen.ask("What is the receiving node ID? ").ok_or_else(ended)?;
            if !line.trim().is_empty() {
                break line.trim().to_owned();
            }
        },
    };
    cluster.find_primary(&id).ok_or_else(|| {
        unknown(screen, &id, !options.is_own);
        Stop::said()
    })
}

/// Who gives.
fn sources(
    screen: &mut Screen<'_>,
    cluster: &Cluster,
    options: &Options,
    target: usize,
) -> Done<Vec<usize>> {
    let all_others = || {
        let primaries = cluster.primaries().into_iter();
        primaries.filter(|&index| index != target).collect::<Vec<_>>()
    };
    let mut sources = match &options.from {
        Some(from) if from == "all" => all_others(),
        Some(from) => {
            let mut sources = Vec::new();
            for id in from.split(',').filter(|id| !id.is_empty()) {
                let Some(found) = cluster.find_primary(id) else {
                    unknown(screen, id, !options.is_own);
                    return Err(Stop::said());
                };
                sources.push(found);
            }
            sources
        }
        None => match asked_sources(screen, cluster)? {
            Some(sources) => sources,
            None => all_others(),
        },
    };
    if sources.contains(&target) {
        screen.error("*** It is not possible to use the target node as source node.\n");
        sources.retain(|&source| source != target);
    }
    let mut seen = Vec::new();
    sources.retain(|source| {
        let is_new = !seen.contains(source);
        seen.push(*source);
        is_new
    });
    if sources.is_empty() {
        screen.complain("*** No source nodes given, operation aborted.\n");
        return Err(Stop::said());
    }
    Ok(sources)
}

/// Asks who gives. `None`: all others.
fn asked_sources(screen: &mut Screen<'_>, cluster: &Cluster) -> Done<Option<Vec<usize>>> {
    screen.say(
        "Please enter all the source node IDs.\n  \
         Type 'all' to use all the nodes as source nodes for the hash slots.\n  \
         Type 'done' once you entered all the source nodes IDs.\n",
    );
    let mut sources = Vec::new();
    loop {
        let question = format!("Source node #{}: ", sources.len() + 1);
        let line = screen.ask(&question).ok_or_else(ended)?;
        match line.trim() {
            "done" => return Ok(Some(sources)),
            "all" => return Ok(None),
            id => match cluster.find_primary(id) {
                Some(found) => sources.push(found),
                None => unknown(screen, id, true),
            },
        }
    }
}

/// Who gives, and what.
#[derive(Debug, Clone, Copy)]
struct Giving<'a> {
    sources: &'a [usize],
    rows: &'a [Row],
}

fn show_plan(
    screen: &mut Screen<'_>,
    cluster: &Cluster,
    options: &Options,
    count: i64,
    target: usize,
    Giving { sources, rows }: Giving<'_>,
) {
    let node = |index: usize| show::node(&cluster.nodes[index], "    ");
    let mut text = format!("\nReady to move {count} slots.\n  Source nodes:\n");
    text.extend(sources.iter().map(|&index| node(index)));
    text += "  Destination node:\n";
    text += &node(target);
    text += "  Resharding plan:\n";
    if options.is_own {
        screen.say(&text);
        screen.say(&ranges(cluster, sources, rows));
        return;
    }
    for (slot, source) in rows {
        let id = &cluster.nodes[*source].id;
        text += &format!("    Moving slot {} from {id}\n", slot.number());
    }
    screen.say(&text);
}

/// A line for each range of slots that a source gives.
fn ranges(cluster: &Cluster, sources: &[usize], rows: &[Row]) -> String {
    let mut text = String::new();
    for &source in sources {
        let mut slots = SlotSet::EMPTY;
        rows.iter().filter(|row| row.1 == source).for_each(|row| slots.insert(row.0));
        for (first, last) in plan::ranges(&slots) {
            let from = cluster.nodes[source].address();
            text += &match first == last {
                true => format!("    Moving slot {first} from {from}\n"),
                false => format!("    Moving slots {first}-{last} from {from}\n"),
            };
        }
    }
    text
}
