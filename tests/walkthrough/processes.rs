//! Processes that have left our care, known by what the system says of them and nothing else.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

/// A process of ours, by a handle that no other process can get.
pub(crate) struct Process {
    pub(crate) pid: i32,
    handle: OwnedFd,
}

impl Process {
    /// The one with this number, if it runs our program on files below `folder`.
    pub(crate) fn of(pid: i32, folder: &Path) -> Option<Process> {
        // The handle first: what is looked at behind it is the process it stands for, or nothing.
        let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let ours = Path::new(env!("CARGO_BIN_EXE_highwater")).canonicalize().unwrap();
        let entry = Path::new("/proc").join(pid.to_string());
        let line = fs::read(entry.join("cmdline")).ok()?;
        let names = String::from_utf8_lossy(&line).contains(folder.to_str().unwrap());
        let is_below = fs::read_link(entry.join("cwd")).ok()?.starts_with(folder);
        let is_ours = fs::read_link(entry.join("exe")).ok()? == ours;
        (is_ours && (is_below || names)).then_some(Process { pid, handle })
    }

    /// All of them.
    pub(crate) fn below(folder: &Path) -> Vec<Process> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid| Process::of(pid, folder)).collect()
    }

    pub(crate) fn kill(&self) {
        pidfd_send_signal(&self.handle, Signal::KILL).ok();
    }
}

/// Ends the processes of ours in `$1` that are left once nobody holds its input any more.
const GUARD: &str = r#"
cat >/dev/null
for round in 1 2 3; do
    for process in /proc/[0-9]*; do
        [ "$(readlink $process/exe)" = "$0" ] || continue
        case "$(readlink $process/cwd)" in "$1"/* | "$1") kill -9 "${process#/proc/}" ;; esac
    done
done 2>/dev/null
"#;

/// Ends processes when the test does, even if that is killed.
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn over(folder: &Path) -> Guard {
        let ours = Path::new(env!("CARGO_BIN_EXE_highwater")).canonicalize().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", GUARD]).arg(ours).arg(folder).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Guard(command.spawn().unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

/// Ctrl-C in the terminal of a child that leads a group of its own.
pub(crate) fn interrupt(child: u32) {
    let group = i32::try_from(child).ok().and_then(Pid::from_raw).expect("it has a number");
    kill_process_group(group, Signal::INT).expect("it runs");
}
