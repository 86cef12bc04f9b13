//! Facts of the machine and of this process, from `/proc` and the allocator.

use std::fs;

use crate::state::system::SystemFacts;

/// Microseconds of one clock tick in `/proc/*/stat`: Linux shows 100 ticks per second to programs on every machine.
const TICK_US: u64 = 10_000;

/// Looks at everything again. What cannot be read stays as it was.
pub(super) fn refresh(facts: &mut SystemFacts) {
    if let Some(rss) = field("/proc/self/status", "VmRSS:") {
        facts.rss = rss;
    }
    if let Some([user, system, children_user, children_system]) = cpu_times("/proc/self/stat") {
        facts.cpu_user_us = user;
        facts.cpu_sys_us = system;
        facts.children_user_us = children_user;
        facts.children_sys_us = children_system;
    }
    let main = format!("/proc/self/task/{}/stat", std::process::id());
    if let Some([user, system, ..]) = cpu_times(&main) {
        facts.main_user_us = user;
        facts.main_sys_us = system;
    }
    if let Some((allocated, active, resident)) = crate::alloc::totals() {
        facts.allocated = allocated;
        facts.active = active;
        facts.resident = resident;
    }
}

/// Bytes of main memory in this machine; 0 if that cannot be read.
pub(super) fn total_memory() -> u64 {
    field("/proc/meminfo", "MemTotal:").unwrap_or(0)
}

/// Kernel name, release and machine.
pub(super) fn os() -> String {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    format!("{} {} {}", text(name.sysname()), text(name.release()), text(name.machine()))
}

/// A size in a file of lines such as `VmRSS:    1234 kB`, in bytes.
fn field(path: &str, name: &str) -> Option<u64> {
    size_in(&fs::read_to_string(path).ok()?, name)
}

fn size_in(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// User and kernel time of a process or thread, then those of its ended children, in microseconds.
fn cpu_times(path: &str) -> Option<[u64; 4]> {
    times_in(&fs::read_to_string(path).ok()?)
}

fn times_in(stat: &str) -> Option<[u64; 4]> {
    /// The field `utime`, counted from the first behind the name, which may itself hold spaces and brackets.
    const UTIME: usize = 11;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(UTIME).map(|field| field.parse::<u64>().ok());
    let mut next = || Some(times.next()??.saturating_mul(TICK_US));
    Some([next()?, next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_read() {
        let text = "VmPeak:\t  9 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(size_in(text, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(size_in(text, "VmSwap:"), None);
        let stat = "17 (a) b) S 1 1 1 0 -1 4 5 6 7 8 21 22 23 24 20 0";
        assert_eq!(times_in(stat), Some([210_000, 220_000, 230_000, 240_000]));
        assert_eq!(times_in("17 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let mut facts = SystemFacts::default();
        refresh(&mut facts);
        assert!(facts.rss > 0 && total_memory() > facts.rss);
        assert!(!os().is_empty());
    }
}
