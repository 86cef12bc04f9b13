//! Processes of this host, and how one is told from another that was given the same number later.
//!
//! A node is known by what it is: a process of this user whose command line is `... server FILE` with its own file. No
//! process id that was written down is ever trusted for that, so none can be stale. A handle (pidfd) is taken first and the
//! command line looked at afterwards: what a signal reaches is what was looked at.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, getuid, pidfd_open, pidfd_send_signal};

/// The word behind the program's name that makes a process a node.
pub(super) const SERVER: &str = "server";

/// A process that was alive when it was looked for.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    handle: OwnedFd,
}

impl Process {
    /// The nodes that run with these files, in their order.
    pub(super) fn of_nodes(configs: &[PathBuf]) -> Vec<Option<Self>> {
        let mut found: Vec<Option<Self>> = configs.iter().map(|_| None).collect();
        for pid in all() {
            let Some(config) = served_file(pid) else { continue };
            let Some(index) = configs.iter().position(|path| *path == config) else { continue };
            let process = Self::open(pid).filter(|_| served_file(pid).as_ref() == Some(&config));
            if process.is_some() {
                found[index] = process;
            }
        }
        found
    }

    /// The node that runs with this file.
    pub(super) fn of_node(config: &Path) -> Option<Self> {
        Self::of_nodes(&[config.to_path_buf()]).pop().flatten()
    }

    /// A child of this process, by its number.
    pub(super) fn of_child(id: u32) -> Option<Self> {
        Self::open(numbered(i32::try_from(id).ok()?)?)
    }

    /// What tells this very process from all others: number, time of its start, and the system that counts them.
    pub(super) fn own_mark() -> String {
        mark(getpid()).unwrap_or_default()
    }

    /// The process with this mark, if it lives.
    pub(super) fn by_mark(text: &str) -> Option<Self> {
        let number = text.split(' ').next()?.parse().ok()?;
        let process = Self::open(numbered(number)?)?;
        (mark(process.pid)? == text).then_some(process)
    }

    fn open(pid: Pid) -> Option<Self> {
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Self { pid, handle })
    }

    pub(super) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal; false if the process has ended, or may not be signalled.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.handle, signal).is_ok()
    }

    pub(super) fn has_ended(&self) -> bool {
        wait(&[self], Duration::ZERO)
    }

    /// Whether it is the first of a session of its own. Asked of `/proc`, not of `getsid`: where the leader of its session is
    /// outside this PID namespace the number is 0, which the bindings take for impossible.
    pub(super) fn leads_session(&self) -> bool {
        let fields = stat(self.pid).unwrap_or_default();
        fields.get(SESSION).is_some_and(|session| *session == self.id().to_string())
    }

    /// Whether it is stopped (SIGSTOP).
    pub(super) fn is_paused(&self) -> bool {
        matches!(
            stat(self.pid).and_then(|fields| fields.first().cloned()).as_deref(),
            Some("T" | "t")
        )
    }
}

/// Waits until one of the processes ends, a signal comes, or the time is over. True: one has ended.
pub(super) fn wait(processes: &[&Process], time: Duration) -> bool {
    let mut handles: Vec<PollFd<'_>> =
        processes.iter().map(|process| PollFd::new(&process.handle, PollFlags::IN)).collect();
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    // An error is a signal: whoever waits looks around and waits again.
    poll(&mut handles, Some(&time)).is_ok_and(|ended| ended > 0)
}

/// A number as a process id, if it can be one.
fn numbered(number: i32) -> Option<Pid> {
    Pid::from_raw(number.max(0))
}

/// Every process there is.
fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| numbered(entry.file_name().to_str()?.parse().ok()?))
}

/// The file that a node of this user was started with; nothing for any other process.
fn served_file(pid: Pid) -> Option<PathBuf> {
    let folder = format!("/proc/{}", pid.as_raw_nonzero());
    let line = fs::read(format!("{folder}/cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).skip(1);
    if words.next()? != SERVER.as_bytes() {
        return None;
    }
    let file = PathBuf::from(std::ffi::OsStr::from_bytes(words.next()?));
    let own = fs::metadata(&folder).ok()?.uid() == getuid().as_raw();
    own.then_some(file)
}

/// The words of a process, for people. Empty for those of which nothing may be known.
pub(super) fn command_line(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    words.join(" ").trim_end().to_owned()
}

/// Where `stat` has the session (proc(5), field 6 of the line).
const SESSION: usize = 3;

/// The fields of /proc/PID/stat behind the name, which may hold anything: state first.
fn stat(pid: Pid) -> Option<Vec<String>> {
    let text = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let text = String::from_utf8_lossy(&text);
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn mark(pid: Pid) -> Option<String> {
    // Field 22 of the line; the state is the third.
    const START: usize = 22 - 3;
    let start = stat(pid)?.into_iter().nth(START)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    Some(format!("{} {start} {} {}", pid.as_raw_nonzero(), boot.trim(), space.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn own_mark_finds_this_process_and_no_other() {
        let mark = Process::own_mark();
        assert_eq!(
            Process::by_mark(&mark).map(|process| process.id()),
            Some(getpid().as_raw_nonzero().get())
        );
        let other = mark.replacen(' ', " 1", 1);
        assert!(Process::by_mark(&other).is_none(), "another start is another process");
        for broken in ["", "x", "0", "-1 2"] {
            assert!(Process::by_mark(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn process_with_another_command_line_is_no_node() {
        // It names the file, and is nobody's node.
        let mut child = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
        assert!(Process::of_node(Path::new("600")).is_none());
        let process = Process::of_child(child.id()).unwrap();
        assert!(!process.has_ended() && !process.is_paused());
        assert!(process.signal(Signal::KILL));
        assert!(wait(&[&process], Duration::from_secs(20)));
        child.wait().unwrap();
        assert!(process.has_ended() && !process.signal(Signal::KILL));
    }

    #[test]
    fn leader_of_a_session_is_told_from_a_member() {
        let mut member = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(!Process::of_child(member.id()).unwrap().leads_session());
        let mut leader = Command::new("setsid")
            .args(["--wait", "sh", "-c", "echo $$; read x"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = std::io::BufReader::new(leader.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut said).unwrap();
        let process = Process::of_child(said.trim().parse().unwrap()).unwrap();
        assert!(process.leads_session());
        drop(leader.stdin.take());
        leader.wait().unwrap();
        member.kill().unwrap();
        member.wait().unwrap();
    }

    #[test]
    fn node_is_known_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("redis.conf");
        assert!(Process::of_node(&config).is_none());
        // A shell that is called like a node.
        let mut child = Command::new("sh")
            .args(["-c", "read x"])
            .args([SERVER])
            .arg(&config)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(Process::of_node(&config).is_none(), "the word has to be the first");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
