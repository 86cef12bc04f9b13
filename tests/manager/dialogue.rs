//! A program that asks, and is answered.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Looks at a program's output, [`LOOK`] apart, before its next question has to be there.
const LOOKS: usize = 2000;
const LOOK: Duration = Duration::from_millis(10);

/// Looks before it has to have ended: slots that move one by one take their time.
const LOOKS_END: usize = 12_000;

/// Time between a question and its answer.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a program said, and how it ended.
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: ExitStatus,
}

impl Said {
    /// All of it in one text.
    pub(crate) fn whole(&self) -> String {
        let Said { out, err, status } = self;
        let err = if err.is_empty() { String::new() } else { format!("(stderr)\n{err}") };
        format!("{out}{err}(status {:?})\n", status.code())
    }
}

/// Runs a program to its end. Answers are given when questions are there: stock loses lines that come too early.
pub(crate) fn converse(mut command: Command, answers: &[&str]) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut input = child.stdin.take();
    let out = gather(child.stdout.take().unwrap());
    let err = gather(child.stderr.take().unwrap());
    let mut seen = 0;
    for answer in answers {
        seen = await_question(&mut child, &out, seen);
        // Stock goes on reading for a moment after it has asked.
        std::thread::sleep(PATIENCE);
        // In one piece, for stock takes what it reads at once for a line. It may have ended without having asked.
        input.as_mut().unwrap().write_all(format!("{answer}\n").as_bytes()).ok();
    }
    let status = end_of(&mut child);
    drop(input);
    let [out, err] = [out, err].map(|(text, thread)| {
        thread.join().unwrap();
        String::from_utf8_lossy(&text.lock().unwrap()).into_owned()
    });
    Said { out, err, status }
}

/// Waits for the end. The input stays open until then: stock asks for ever where it has ended.
fn end_of(child: &mut Child) -> ExitStatus {
    for _ in 0..LOOKS_END {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status;
        }
        std::thread::sleep(LOOK);
    }
    child.kill().ok();
    child.wait().ok();
    panic!("it does not end");
}

type Gathered = (Arc<Mutex<Vec<u8>>>, std::thread::JoinHandle<()>);

fn gather(mut from: impl Read + Send + 'static) -> Gathered {
    let text = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&text);
    let thread = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            into.lock().unwrap().extend_from_slice(&piece[..read]);
        }
    });
    (text, thread)
}

/// Waits for a question behind the first `seen` bytes; the length of all that was said then.
fn await_question(child: &mut Child, out: &Gathered, seen: usize) -> usize {
    for _ in 0..LOOKS {
        let text = out.0.lock().unwrap();
        let is_question = text.ends_with(b"? ") || text.ends_with(b": ");
        if text.len() > seen && is_question || child.try_wait().unwrap().is_some() {
            return text.len();
        }
        drop(text);
        std::thread::sleep(LOOK);
    }
    panic!("no question comes: {}", String::from_utf8_lossy(&out.0.lock().unwrap()));
}
