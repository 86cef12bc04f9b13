//! What moves slots, played: the tasks of `net/migration` over a world of events. A task runs until it waits for something;
//! the event that brings it has the task go on. Between any two of its steps others may do something, as between threads.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use highwater::clock::Time;
use highwater::cluster::NodeId;
use highwater::net::migration::{self, Answer, Link, OwnStream, Sizes};
use highwater::node::Node;
use highwater::state::Output;

use crate::events::Own;
use crate::network::{Kind, Message};
use crate::world::World;

/// A step of a task waits for others for so long at most.
const TURN_US: (u64, u64) = (1, 200);

/// Where steps and batches end early, so that a few keys make many of them.
const SIZES: Sizes =
    Sizes { step_entries: 9, step_bytes: 1000, batch: 110, window: 600, near: 2000 };

/// What a task waits for.
#[derive(Debug)]
enum Wanted {
    /// What the node asked for is to be carried out.
    Turn,
    Open {
        host: String,
        port: u16,
    },
    Sleep(Duration),
    Append,
    Sync,
    Answer {
        pipe: u64,
        timeout: Duration,
    },
    Read(u64),
}

/// What it gets.
#[derive(Debug)]
enum Given {
    Done,
    Opened(Option<u64>),
    Answer(io::Result<Answer>),
    Bytes(Vec<u8>),
}

/// What lies between a task and the world.
#[derive(Debug, Default)]
struct Desk {
    /// The node, while the task runs.
    node: Option<Node>,
    time: Time,
    wanted: Option<Wanted>,
    given: Option<Given>,
    /// What it has sent; nothing is the end of a connection.
    sent: Vec<(u64, Option<Vec<u8>>)>,
    /// What has come over its connections.
    lines: BTreeMap<u64, Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: VecDeque<u8>,
    is_over: bool,
}

impl Lines {
    fn is_whole(&self) -> bool {
        self.is_over || self.bytes.contains(&b'\n')
    }

    fn take(&mut self) -> io::Result<Answer> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        let line = String::from_utf8(line).expect("text");
        Ok(Answer::parse(line.trim_end()).unwrap_or_else(|| panic!("{line}")))
    }
}

/// The world as tasks of one process see it.
#[derive(Clone, Default)]
struct Played(Rc<RefCell<Desk>>);

impl Played {
    async fn want(&self, wanted: Wanted) -> Given {
        self.0.borrow_mut().wanted = Some(wanted);
        poll_fn(|_| match self.0.borrow_mut().given.take() {
            Some(given) => Poll::Ready(given),
            None => Poll::Pending,
        })
        .await
    }

    fn with<T>(&self, run: impl FnOnce(&mut Node, Time) -> T) -> T {
        let time = self.0.borrow().time;
        let node = self.0.borrow_mut().node.take();
        let mut node = node.expect("it is there while a task runs");
        let result = run(&mut node, time);
        self.0.borrow_mut().node = Some(node);
        result
    }
}

impl migration::World for Played {
    type Link = Line;
    type Stream = Place;

    fn look<T>(&self, look: impl FnOnce(&mut Node) -> T) -> T {
        self.with(|node, _| look(node))
    }

    async fn run<T>(&self, run: impl FnOnce(&mut Node, Time) -> T) -> T {
        let result = self.with(|node, time| run(node, time));
        self.want(Wanted::Turn).await;
        result
    }

    async fn open(&self, host: &str, port: u16) -> Result<Line, String> {
        match self.want(Wanted::Open { host: host.to_owned(), port }).await {
            Given::Opened(Some(pipe)) => Ok(Line { world: self.clone(), pipe }),
            _ => Err("it cannot be reached".to_owned()),
        }
    }

    async fn sleep(&self, time: Duration) {
        self.want(Wanted::Sleep(time)).await;
    }

    fn now_us(&self) -> u64 {
        self.0.borrow().time.mono_us
    }

    async fn append(&self) {
        self.want(Wanted::Append).await;
    }

    async fn sync(&self) -> Result<(), String> {
        self.want(Wanted::Sync).await;
        Ok(())
    }

    fn keep_stream(&self) {}

    fn stream_from(&self, at: u64) -> Place {
        Place { world: self.clone(), at, piece: Vec::new() }
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn sizes(&self) -> Sizes {
        SIZES
    }
}

/// A connection of a task.
struct Line {
    world: Played,
    pipe: u64,
}

impl Link for Line {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut desk = self.world.0.borrow_mut();
        if desk.lines.get(&self.pipe).is_some_and(|lines| lines.is_over) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        desk.sent.push((self.pipe, Some(bytes.to_vec())));
        Ok(())
    }

    async fn answer(&mut self, timeout: Duration) -> io::Result<Answer> {
        match self.world.want(Wanted::Answer { pipe: self.pipe, timeout }).await {
            Given::Answer(answer) => answer,
            other => panic!("{other:?} is no answer"),
        }
    }

    fn has_answer(&mut self) -> io::Result<bool> {
        Ok(self.world.0.borrow().lines.get(&self.pipe).is_some_and(Lines::is_whole))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut desk = self.world.0.borrow_mut();
        desk.lines.remove(&self.pipe);
        desk.sent.push((self.pipe, None));
    }
}

/// A place in the log.
struct Place {
    world: Played,
    at: u64,
    piece: Vec<u8>,
}

impl OwnStream for Place {
    fn at(&self) -> u64 {
        self.at
    }

    fn open(&mut self) {}

    async fn next(&mut self) -> Result<&[u8], String> {
        let Given::Bytes(bytes) = self.world.want(Wanted::Read(self.at)).await else {
            return Err("the log is gone".to_owned());
        };
        self.piece = bytes;
        self.at += self.piece.len() as u64;
        Ok(&self.piece)
    }
}

/// A task of a process.
pub(crate) struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    desk: Played,
    /// The job that it moves away, if that is what it does.
    moves: Option<NodeId>,
    /// How often it has waited: what it waited for before is of no use any more.
    turn: u64,
    waits_for: Waits,
}

/// What a task cannot go on without, where that is not just a matter of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Nothing,
    Opened(u64),
    Line(u64),
    Durable(u64),
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("moves", &self.moves).finish_non_exhaustive()
    }
}

/// All tasks of a process.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    all: BTreeMap<u64, Task>,
    last: u64,
}

impl World {
    /// Begins what a node wants done.
    pub(crate) fn begin_task(&mut self, at: usize, output: Output) {
        let desk = Played::default();
        let world = desk.clone();
        let mut moves = None;
        let future: Pin<Box<dyn Future<Output = ()>>> = match output {
            Output::MoveSlots { job } => {
                if self.machines[at].tasks.all.values().any(|task| task.moves == Some(job)) {
                    return;
                }
                moves = Some(job);
                Box::pin(async move { migration::move_slots(&world, job).await })
            }
            Output::TakeSlots { job, client } => {
                Box::pin(async move { migration::take_slots(&world, job, client).await })
            }
            Output::SyncLog { client } => {
                Box::pin(async move { migration::sync_log(&world, client).await })
            }
            Output::RequestSlots { job } => {
                Box::pin(async move { migration::request_slots(&world, job).await })
            }
            other => unreachable!("nobody asks for {other:?} here"),
        };
        let tasks = &mut self.machines[at].tasks;
        tasks.last += 1;
        let number = tasks.last;
        let task = Task { future, desk, moves, turn: 0, waits_for: Waits::Nothing };
        tasks.all.insert(number, task);
        self.later_of(at, 1, Own::Turn { task: number, turn: 0 });
    }

    /// A task goes on, unless it waits for something else by now.
    pub(crate) fn turn(&mut self, at: usize, number: u64, turn: u64) {
        let Some(mut task) = self.machines[at].tasks.all.remove(&number) else { return };
        if task.turn != turn {
            self.machines[at].tasks.all.insert(number, task);
            return;
        }
        if let Waits::Line(pipe) = task.waits_for {
            let mut desk = task.desk.0.borrow_mut();
            let came = desk.lines.get_mut(&pipe).filter(|lines| lines.is_whole()).map(Lines::take);
            let answer = came.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
            desk.given = Some(Given::Answer(answer));
        }
        (task.turn, task.waits_for) = (turn + 1, Waits::Nothing);
        let (time, node) = (self.time(at), self.machines[at].node.take());
        {
            let mut desk = task.desk.0.borrow_mut();
            (desk.node, desk.time) = (node, time);
        }
        let polled = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let desk = Rc::clone(&task.desk.0);
        self.machines[at].node = desk.borrow_mut().node.take();
        let wanted = desk.borrow_mut().wanted.take();
        if polled.is_pending() {
            self.machines[at].tasks.all.insert(number, task);
        } else {
            drop(task);
        }
        let sent = std::mem::take(&mut desk.borrow_mut().sent);
        for (pipe, bytes) in sent {
            match bytes {
                Some(bytes) => self.send_to(pipe, 1, Message::Bytes(bytes)),
                None => self.close(pipe, 0),
            }
        }
        self.after(at);
        if polled.is_pending() {
            self.wait_for(at, number, wanted.expect("it waits for something"));
        }
    }

    fn give(&mut self, at: usize, number: u64, given: Given, after_us: u64) {
        let task = self.machines[at].tasks.all.get_mut(&number).expect("it waits");
        task.desk.0.borrow_mut().given = Some(given);
        task.waits_for = Waits::Nothing;
        let turn = task.turn;
        self.later_of(at, after_us, Own::Turn { task: number, turn });
    }

    fn wait_for(&mut self, at: usize, number: u64, wanted: Wanted) {
        let soon_us = self.between(TURN_US);
        match wanted {
            Wanted::Turn => self.give(at, number, Given::Done, soon_us),
            Wanted::Sleep(time) => {
                let us = u64::try_from(time.as_micros()).expect("short");
                self.give(at, number, Given::Done, us.max(1));
            }
            Wanted::Append => {
                self.commit(at);
                self.give(at, number, Given::Done, soon_us);
            }
            Wanted::Sync => {
                self.commit(at);
                let end = self.machines[at].disk.log.end();
                self.waits(at, number, Waits::Durable(end));
                self.sync(at);
                self.wake_synced(at);
            }
            Wanted::Open { host, port } => {
                let machines = self.machines.iter();
                let mut found = machines.enumerate().filter(|(_, machine)| {
                    crate::bus::shown(machine.host) == host && machine.ports.client == port
                });
                let found = found.next().map(|(index, _)| index);
                let pipe = self.open(at, Kind::Job, number, found);
                self.waits(at, number, Waits::Opened(pipe));
            }
            Wanted::Answer { pipe, timeout } => {
                let turn = self.waits(at, number, Waits::Line(pipe));
                let us = u64::try_from(timeout.as_micros()).expect("short");
                self.later_of(at, us, Own::Turn { task: number, turn });
                self.wake_reader(at, number, pipe);
            }
            Wanted::Read(from) => {
                let log = &self.machines[at].disk.log.bytes;
                let from = usize::try_from(from).expect("small");
                let given = match log.get(from..) {
                    Some(bytes) => Given::Bytes(bytes.to_vec()),
                    None => Given::Done,
                };
                self.give(at, number, given, soon_us);
            }
        }
    }

    fn waits(&mut self, at: usize, number: u64, waits_for: Waits) -> u64 {
        let task = self.machines[at].tasks.all.get_mut(&number).expect("it waits");
        task.waits_for = waits_for;
        task.turn
    }

    /// Tasks whose log is on disk go on.
    pub(crate) fn wake_synced(&mut self, at: usize) {
        let durable = self.machines[at].disk.log.durable();
        let end = self.machines[at].disk.log.end();
        let mut waits = false;
        let mut ready = Vec::new();
        for (number, task) in &self.machines[at].tasks.all {
            if let Waits::Durable(offset) = task.waits_for {
                // A log that has been replaced is on disk.
                match offset <= durable || offset > end {
                    true => ready.push(*number),
                    false => waits = true,
                }
            }
        }
        for number in ready {
            self.give(at, number, Given::Done, 1);
        }
        if waits {
            self.sync(at);
        }
    }

    fn wake_reader(&mut self, at: usize, number: u64, pipe: u64) {
        let Some(task) = self.machines[at].tasks.all.get(&number) else { return };
        let desk = task.desk.0.borrow();
        let is_whole = desk.lines.get(&pipe).is_some_and(Lines::is_whole);
        let (turn, waits) = (task.turn, task.waits_for == Waits::Line(pipe));
        drop(desk);
        if is_whole && waits {
            self.later_of(at, 1, Own::Turn { task: number, turn });
        }
    }

    /// A connection of a task is open, or is not.
    pub(crate) fn task_opened(&mut self, at: usize, pipe: u64, number: u64, is_open: bool) {
        let task = self.machines[at].tasks.all.get_mut(&number);
        let Some(task) = task.filter(|task| task.waits_for == Waits::Opened(pipe)) else {
            return self.close(pipe, 0);
        };
        if is_open {
            task.desk.0.borrow_mut().lines.insert(pipe, Lines::default());
        }
        self.give(at, number, Given::Opened(is_open.then_some(pipe)), 1);
    }

    /// Something has come over a connection of a task.
    pub(crate) fn task_hears(&mut self, at: usize, pipe: u64, number: u64, message: Message) {
        let Some(task) = self.machines[at].tasks.all.get(&number) else { return };
        if let Some(lines) = task.desk.0.borrow_mut().lines.get_mut(&pipe) {
            match message {
                Message::Bytes(bytes) => lines.bytes.extend(bytes),
                Message::Fin => lines.is_over = true,
                other => unreachable!("{other:?} is no answer"),
            }
        }
        self.wake_reader(at, number, pipe);
    }
}
