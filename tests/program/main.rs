//! The binary as its users call it: names, arguments, files, exit status.

mod background;
mod names;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

/// The binary, called by `name` as through a link.
fn program(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.arg0(name).stdin(Stdio::null());
    command
}

/// Runs to the end with `arguments`.
fn run(name: &str, arguments: &[&str]) -> Output {
    program(name).args(arguments).output().expect("the binary runs")
}

/// Runs to the end with `input`.
fn run_with_input<S: AsRef<OsStr>>(name: &str, arguments: &[S], input: &str) -> Output {
    let mut command = program(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin.write_all(input.as_bytes()).expect("a pipe takes a few bytes");
    drop(stdin);
    child.wait_with_output().expect("the binary ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
