//! Moving slots and looking at it, as operators do.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::member::Member;
use crate::server::wait_for;

/// Nobody may be taken for failed while a slow machine makes the digest of something large: a move needs primaries that stay.
pub(crate) const PATIENT: &[&str] = &["--cluster-node-timeout", "5000"];

/// What GETSLOTMIGRATIONS says of a job.
pub(crate) type Job = BTreeMap<String, String>;

/// All jobs of a node, newest first.
pub(crate) fn jobs(member: &Member) -> Vec<Job> {
    parse(&member.ask("CLUSTER GETSLOTMIGRATIONS"))
}

/// Maps as RESP2 sends them: arrays of strings and numbers.
fn parse(reply: &str) -> Vec<Job> {
    let mut lines = reply.split("\r\n");
    let count = |lines: &mut std::str::Split<'_, &str>| -> usize {
        let line = lines.next().expect("a line");
        line.strip_prefix('*').unwrap_or_else(|| panic!("{line} in {reply}")).parse().unwrap()
    };
    let jobs = count(&mut lines);
    (0..jobs)
        .map(|_| {
            let fields = count(&mut lines) / 2;
            let mut word = || {
                let line = lines.next().expect("a line");
                match line.strip_prefix(':') {
                    Some(number) => number.to_owned(),
                    None => lines.next().expect("a string").to_owned(),
                }
            };
            (0..fields).map(|_| (word(), word())).collect()
        })
        .collect()
}

/// Begins to move slots.
pub(crate) fn begin(source: &Member, slots: (u16, u16), target: &Member) {
    let (first, last) = slots;
    let words = format!("CLUSTER MIGRATESLOTS SLOTSRANGE {first} {last} NODE {}", target.id());
    assert_eq!(source.ask(&words), "+OK\r\n");
}

/// The newest job, as soon as it has ended.
pub(crate) fn ended(member: &Member) -> Job {
    wait_for("the end of a job", || {
        let job = jobs(member).into_iter().next()?;
        let is_over = ["success", "failed", "cancelled"].contains(&job["state"].as_str());
        is_over.then_some(job)
    })
}

/// Moves slots, which has to go well.
pub(crate) fn move_slots(source: &Member, slots: (u16, u16), target: &Member) -> Job {
    begin(source, slots, target);
    let job = ended(source);
    assert_eq!(job["state"], "success", "{job:?}\n{}", source.said());
    job
}

/// Waits until a job has come to where `is_it` says.
pub(crate) fn wait_until(member: &Member, what: &str, is_it: impl Fn(&Job) -> bool) -> Job {
    wait_for(what, || jobs(member).into_iter().next().filter(&is_it))
}

pub(crate) fn rest(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
