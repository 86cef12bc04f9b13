//! `--check-system` and `--test-memory`: is this host fit for a server?

use std::fs;
use std::hint::black_box;
use std::process::ExitCode;

use super::{complain, say};

/// Looks at settings of the kernel that servers trip over. Fails if one needs attention.
pub(super) fn check_system() -> ExitCode {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let findings = [
        (
            "slow-clocksource",
            clock_source(&read("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        ),
        ("THP", huge_pages(&read("/sys/kernel/mm/transparent_hugepage/enabled"))),
        ("somaxconn", backlog(&read("/proc/sys/net/core/somaxconn"))),
    ];
    for (name, finding) in &findings {
        match finding {
            None => say(&format!("[{name}]...OK")),
            Some(text) => say(&format!("[{name}]...WARNING:\n{text}")),
        }
    }
    if findings.iter().any(|(_, finding)| finding.is_some()) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn clock_source(current: &str) -> Option<String> {
    let current = current.trim();
    let slow = matches!(current, "hpet" | "acpi_pm" | "xen");
    slow.then(|| format!("The kernel reads the time from '{current}', which is slow. Try 'tsc'."))
}

fn huge_pages(enabled: &str) -> Option<String> {
    enabled.contains("[always]").then(|| {
        "Transparent huge pages are always on: memory grows and latency suffers. The server turns them off for itself \
         (disable-thp); for the host write 'madvise' to /sys/kernel/mm/transparent_hugepage/enabled."
            .to_owned()
    })
}

/// Default of `tcp-backlog`.
const BACKLOG: u32 = 511;

fn backlog(most: &str) -> Option<String> {
    let most: u32 = most.trim().parse().ok()?;
    (most < BACKLOG).then(|| {
        format!("The kernel lets {most} connections wait, fewer than the default of tcp-backlog, {BACKLOG}.")
    })
}

/// Most megabytes of one test: more is no use, and the size must fit.
const TEST_MB_MAX: usize = 1 << 20;

/// Writes patterns to so many megabytes of memory and reads them back.
pub(super) fn test_memory(megabytes: &[u8]) -> ExitCode {
    let number = std::str::from_utf8(megabytes).ok().and_then(|text| text.parse::<usize>().ok());
    let Some(megabytes) = number.filter(|number| (1..=TEST_MB_MAX).contains(number)) else {
        complain("The amount of memory must be a number of megabytes.");
        return ExitCode::FAILURE;
    };
    let words = (megabytes << 20) / size_of::<u64>();
    let mut memory: Vec<u64> = Vec::new();
    if memory.try_reserve_exact(words).is_err() {
        complain(&format!("There are no {megabytes} megabytes to be had."));
        return ExitCode::FAILURE;
    }
    memory.resize(words, 0);
    for (name, pattern) in PATTERNS {
        if let Some(at) = first_wrong(&mut memory, pattern) {
            complain(&format!("Memory is faulty: word {at} of pattern '{name}'."));
            return ExitCode::FAILURE;
        }
        say(&format!("{name}: passed"));
    }
    say(
        "Your memory passed this test. It is a short one: in doubt, use a tool that runs without a system.",
    );
    ExitCode::SUCCESS
}

/// What is written to the word at an index.
type Pattern = fn(u64) -> u64;

const PATTERNS: [(&str, Pattern); 5] = [
    ("addresses", |at| at),
    ("zeros", |_| 0),
    ("ones", |_| u64::MAX),
    ("stripes", |at| if at % 2 == 0 { 0xaaaa_aaaa_aaaa_aaaa } else { 0x5555_5555_5555_5555 }),
    ("noise", |at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)),
];

fn first_wrong(memory: &mut [u64], pattern: Pattern) -> Option<usize> {
    for (at, word) in (0..).zip(memory.iter_mut()) {
        *word = pattern(at);
    }
    // Without this the compiler may know what it reads.
    let memory = black_box(memory);
    (0..).zip(memory.iter()).position(|(at, word)| *word != pattern(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_name_what_is_wrong() {
        assert!(huge_pages("[always] madvise never").is_some());
        assert!(huge_pages("always [madvise] never").is_none());
        assert!(clock_source("tsc\n").is_none());
        assert!(clock_source("xen\n").is_some());
        assert!(backlog("128\n").is_some());
        assert!(backlog("4096\n").is_none());
    }

    #[test]
    fn sound_memory_passes_every_pattern() {
        let mut memory = vec![0; 1000];
        for (name, pattern) in PATTERNS {
            assert_eq!(first_wrong(&mut memory, pattern), None, "{name}");
        }
    }
}
