//! Crashes, full disks and failing disks, at every operation of a workload.
//!
//! A small node appends, syncs, marks, changes ids, and rewrites on a disk that counts its operations. The workload
//! runs once without faults; then once for each operation with a crash (or an error) there. After a crash the disk is
//! looked at as a killed process leaves it, and as a power cut may leave it in several ways. Each time:
//!
//! * recovery accepts what it finds: a crash is never taken for damage;
//! * the commands it would load are those that were written, in order, from the base's cut to the resumed offset;
//! * nothing that the policy had promised is missing;
//! * a node that starts from it serves what was written, from the oldest offset it offers on;
//! * carrying the plan out, itself cut off anywhere, leads to the same data.
//!
//! Run one seed with `SEED=7 cargo test -p highwater-persistence --test crash`.

#![expect(clippy::unwrap_used, reason = "a test: what cannot fail may panic")]

use std::io;
use std::sync::Arc;

use highwater_persistence::log::{
    BaseKind, Entries, EntryKind, Lineage, LogFiles, LogNames, LogOffset, LogWriter, Manifest,
    Prepared, ReplicationId, Rewrite, Salts,
};
use highwater_persistence::recovery::{self, Options, Plan, StepKind};
use highwater_persistence::storage::Storage;
use highwater_persistence::storage::faulty::{Fault, FaultyStorage, View};

const TEMP_BASE: &str = "temp-rewriteaof-1.aof";
/// A few lines: small runs use it up, and make it again.
const ROOM_BYTES: u64 = 4096;
/// Room for one piece of history or two.
const RETAINED_BYTES: u64 = 2000;
const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    EverySec,
    No,
}

const POLICIES: [Policy; 3] = [Policy::Always, Policy::EverySec, Policy::No];

fn options() -> Options {
    let names = LogNames::new("aof", "log");
    Options { names, load_truncated: true, keep_history: false, retain: RETAINED_BYTES }
}

fn id(number: u8) -> ReplicationId {
    ReplicationId::from_random([number; 20])
}

/// Where a rewrite stands.
enum Stage {
    None,
    Prepared(Prepared),
    Switched(Rewrite),
}

/// The appending half of a node, and what it has promised.
struct Node {
    storage: FaultyStorage,
    shared: Arc<dyn Storage>,
    writer: LogWriter,
    policy: Policy,
    random: fastrand::Rng,
    /// Every stream byte since offset 0, appended or not.
    stream: Vec<u8>,
    /// A batch that is still to be appended.
    batch: Vec<u8>,
    /// Offset after the last append that succeeded.
    written: LogOffset,
    /// Offset that a sync has promised.
    durable: LogOffset,
    /// A sync has failed: nothing is promised until a rewrite is through.
    broken: bool,
    stage: Stage,
    commands: u64,
    ids: u8,
    /// How many rewrites left history behind.
    history_seen: usize,
}

impl Node {
    /// A node on an empty disk; `None` when a fault kept it from starting.
    fn start(storage: &FaultyStorage, policy: Policy, seed: u64) -> Option<Self> {
        let shared = storage.shared();
        let plan = recovery::plan(&shared, &options()).expect("an empty disk is fine");
        let lineage = Lineage::new(id(1));
        let writer =
            recovery::carry_out(&shared, &plan, lineage, Salts::counted_from(seed << 16)).ok()?;
        Some(Self {
            storage: storage.clone(),
            shared,
            writer,
            policy,
            random: fastrand::Rng::with_seed(seed),
            stream: Vec::new(),
            batch: Vec::new(),
            written: LogOffset(0),
            durable: LogOffset(0),
            broken: false,
            stage: Stage::None,
            commands: 0,
            ids: 1,
            history_seen: 0,
        })
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.turn();
        }
        // The faults end soon: everything must come right, and the node stops.
        for _ in 0..40 {
            self.append();
            if self.broken || matches!(self.stage, Stage::Switched(_)) {
                self.rewrite();
            }
            self.sync();
            if self.stop() || self.storage.has_crashed() {
                return;
            }
        }
        panic!(
            "the node does not come right, broken {}: {:#?}",
            self.broken,
            self.storage.journal()
        );
    }

    /// An orderly stop, if there is nothing left to do.
    fn stop(&mut self) -> bool {
        if self.broken || !self.batch.is_empty() || self.writer.mark(self.durable, true).is_err() {
            return false;
        }
        assert_eq!(self.durable, self.written);
        self.broken = self.writer.sync_handle().sync_data().is_err();
        !self.broken
    }

    fn turn(&mut self) {
        match self.random.u8(0..20) {
            0..=10 => self.append(),
            11..=12 if self.policy != Policy::No => self.sync(),
            13 => drop(self.writer.mark(self.durable, false)),
            14 => self.change_ids(),
            _ => self.rewrite(),
        }
    }

    fn append(&mut self) {
        if self.batch.is_empty() {
            for _ in 0..self.random.u8(1..4) {
                self.add_unit();
            }
        }
        let end = LogOffset(self.stream.len() as u64);
        let before = self.batch.clone();
        let wants_room = self.policy == Policy::Always && self.random.u8(0..8) != 0;
        self.writer.make_room(if wants_room { ROOM_BYTES } else { 0 });
        let result = self.writer.append(&mut self.batch, end, self.durable);
        assert_eq!(self.batch, before, "the batch can be offered again");
        if result.is_ok() {
            self.batch.clear();
            self.written = end;
            if self.policy == Policy::Always {
                self.sync();
            }
        }
    }

    /// A command, or a transaction, maybe with a time stamp before it.
    fn add_unit(&mut self) {
        if self.random.u8(0..4) == 0 {
            self.batch.extend_from_slice(b"#TS:1700000000\r\n");
        }
        let set = |number: u64, size: usize| {
            let value = "x".repeat(size);
            format!("*3\r\n$3\r\nSET\r\n$8\r\n{number:08}\r\n${size}\r\n{value}\r\n")
        };
        let mut unit = set(self.commands, self.random.usize(0..40));
        if self.random.u8(0..4) == 0 {
            let second = set(self.commands, 3);
            unit = format!("*1\r\n$5\r\nMULTI\r\n{unit}{second}*1\r\n$4\r\nEXEC\r\n");
        }
        self.commands += 1;
        self.stream.extend_from_slice(unit.as_bytes());
        self.batch.extend_from_slice(unit.as_bytes());
    }

    fn sync(&mut self) {
        if self.broken {
            return;
        }
        let end = self.written;
        match self.writer.sync_handle().sync_data() {
            Ok(()) => self.durable = end,
            Err(_) => self.broken = true,
        }
    }

    fn change_ids(&mut self) {
        self.ids += 1;
        let next = self.writer.lineage().succeeded_by(id(self.ids), self.written);
        // A head that cannot be written now goes in front of the next batch.
        drop(self.writer.head(next));
    }

    /// One stage of a rewrite.
    fn rewrite(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::None => match self.writer.files().prepare_next() {
                Ok(prepared) => Stage::Prepared(prepared),
                Err(_) => Stage::None,
            },
            Stage::Prepared(prepared) => {
                let lineage = self.writer.lineage();
                match self.writer.switch(prepared, lineage, self.written, SELECT) {
                    Ok(switched) => Stage::Switched(switched.rewrite),
                    Err(_) => Stage::None,
                }
            }
            Stage::Switched(rewrite) => {
                self.finish(rewrite);
                Stage::None
            }
        };
    }

    fn finish(&mut self, rewrite: Rewrite) {
        let cut = rewrite.cut();
        if write_base(&self.shared, cut).is_err() {
            return rewrite.abandon(TEMP_BASE);
        }
        if let Ok(finished) = rewrite.finish(TEMP_BASE, BaseKind::Rdb, self.writer.file_size()) {
            if finished.cleanup.is_none() {
                let manifest = check_retained(&self.storage).unwrap();
                self.history_seen += usize::from(!manifest.history.is_empty());
            }
            if self.batch.is_empty() {
                let files = self.writer.files();
                check_served(files, &self.stream, self.written, Some(LogOffset(0))).unwrap();
            }
            self.durable = self.durable.max(cut);
            self.broken = false;
        }
    }
}

/// A snapshot of no keys whose fields say where it was cut.
fn write_base(storage: &Arc<dyn Storage>, cut: LogOffset) -> io::Result<()> {
    let text = cut.to_string();
    let mut bytes = b"REDIS0010\xfa\x09hw-offset".to_vec();
    bytes.push(u8::try_from(text.len()).unwrap());
    bytes.extend_from_slice(text.as_bytes());
    bytes.extend_from_slice(&[0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    let file = storage.create(TEMP_BASE)?;
    file.append(&bytes)?;
    file.sync_data()
}

/// The stream bytes that a plan would load, from the first step's start on.
fn loaded(storage: &FaultyStorage, plan: &Plan) -> Result<(LogOffset, Vec<u8>), String> {
    let files = storage.files();
    let first = plan.steps.first().map_or(LogOffset(0), |step| step.start);
    let mut stream = Vec::new();
    let mut at = first;
    for step in &plan.steps {
        let bytes = &files[&step.name][..usize::try_from(step.range.end).unwrap()];
        if step.start != at {
            return Err(format!("{} starts at {}, not {at}", step.name, step.start));
        }
        if step.kind != StepKind::Log {
            continue;
        }
        let mut entries = Entries::new(bytes, Some(step.start));
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|error| format!("{}: {error}", step.name))?;
            if let EntryKind::Command { local: false, .. } = entry.kind {
                stream.extend_from_slice(&bytes[entry.position..entry.position + entry.size]);
            }
        }
        at = entries.offset();
        if at != step.end {
            return Err(format!("{} ends at {at}, not {}", step.name, step.end));
        }
    }
    if at != plan.offset {
        return Err(format!("the files end at {at}, the plan at {}", plan.offset));
    }
    Ok((first, stream))
}

/// All history that is listed is there, and no more than fits.
fn check_retained(storage: &FaultyStorage) -> Result<Manifest, String> {
    let files = storage.files();
    let manifest = Manifest::parse(&files["aof/log.manifest"]).map_err(|e| e.to_string())?;
    let names = manifest.history.iter().map(|file| format!("aof/{}", file.name));
    let sizes = names.map(|name| files.get(&name).map(Vec::len));
    let size: usize = sizes.sum::<Option<usize>>().ok_or("a listed file is missing")?;
    if size as u64 > RETAINED_BYTES {
        return Err(format!("{size} bytes of history: {manifest:?}"));
    }
    Ok(manifest)
}

/// Reads the log back from the oldest offset on offer. Only before `verified` may there be damage, which is met once and
/// then no longer offered.
fn check_served(
    files: &Arc<LogFiles>,
    stream: &[u8],
    end: LogOffset,
    verified: Option<LogOffset>,
) -> Result<(), String> {
    for _ in 0..10 {
        let first = files.first_offset().ok_or("nothing is on offer")?;
        if verified.is_some_and(|verified| first > verified && verified > LogOffset(0)) {
            return Err(format!("only {first} and later is on offer, not {verified:?}"));
        }
        let reader = files.read_back(first).map_err(|error| error.to_string())?;
        let mut reader = reader.ok_or_else(|| format!("{first} is on offer and not served"))?;
        let mut bytes = Vec::new();
        let result = loop {
            match reader.next(end, &mut bytes) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        let from = usize::try_from(first.0).unwrap();
        if stream.get(from..from + bytes.len()) != Some(&bytes[..]) {
            return Err(format!("other bytes than were written are served from {first}"));
        }
        match result {
            Ok(()) if reader.offset() == end => return Ok(()),
            Ok(()) => return Err(format!("served up to {}, not {end}", reader.offset())),
            Err(error) if verified.is_some_and(|verified| reader.offset() >= verified) => {
                return Err(format!("from {first}: {error}"));
            }
            Err(_) => {}
        }
    }
    Err("no end of damage".to_owned())
}

/// Starts a node from what is `left`. Where `whole`, all history that stays is as it was written.
fn check_started(
    left: &FaultyStorage,
    stream: &[u8],
    plan: &Plan,
    whole: bool,
) -> Result<(), String> {
    let disk = left.after_kill();
    let salts = Salts::counted_from(5);
    let writer = recovery::carry_out(&disk.shared(), plan, plan.successor(id(201)), salts)
        .map_err(|error| error.to_string())?;
    let manifest = check_retained(&disk)?;
    let listed = manifest.loaded().chain(&manifest.history).count();
    let there = disk.files().keys().filter(|name| name.starts_with("aof/log.")).count();
    if there != listed + 1 {
        return Err(format!("{there} files, the manifest among them, for {manifest:?}"));
    }
    let first = plan.steps.first().map_or(plan.offset, |step| step.start);
    let files = writer.files();
    if whole && files.first_offset().is_none_or(|offset| offset > first) {
        return Err(format!("{:?} is the first on offer", files.first_offset()));
    }
    let verified = if whole { files.first_offset() } else { Some(first) };
    check_served(files, stream, plan.offset, verified)
}

/// Looks at what a crash left: the resumed offset, at least `promised`, and only what was written.
fn check_left(left: &FaultyStorage, stream: &[u8], promised: LogOffset) -> Result<Plan, String> {
    let plan = recovery::plan(&left.shared(), &options()).map_err(|error| error.to_string())?;
    if plan.offset < promised {
        return Err(format!("{promised} was promised\n{plan}"));
    }
    let (first, bytes) = loaded(left, &plan)?;
    let start = usize::try_from(first.0).unwrap();
    if stream.get(start..start + bytes.len()) != Some(&bytes[..]) {
        return Err(format!("other commands than were written\n{plan}"));
    }
    Ok(plan)
}

/// Carries `plan` out with a crash at each operation, and each time plans again. Once it is carried out the resumed
/// offset stays; until then what had been `promised` does. (It may even be more: cutting a torn mark off one file can
/// make the next file join.)
fn check_carried_out(
    left: &FaultyStorage,
    stream: &[u8],
    plan: &Plan,
    promised: LogOffset,
) -> Result<(), String> {
    let lineage = plan.successor(id(200));
    for at in 0.. {
        let disk = left.after_kill();
        disk.inject(at, Fault::Crash { torn: usize::try_from(at).unwrap() * 37 % 250 });
        let done =
            recovery::carry_out(&disk.shared(), plan, lineage, Salts::counted_from(9)).is_ok();
        let promised = if done { plan.offset } else { promised };
        for view in [View::OnlySynced, View::AllWritten, View::Mixed(at)] {
            let next =
                check_left(&disk.after_power_cut(view), stream, promised).map_err(|error| {
                    format!("{error}\ncarried out up to {at}, {view:?}: {:?}", disk.journal())
                })?;
            if done && next.offset != plan.offset {
                return Err(format!("{plan}\nbecame\n{next}"));
            }
            if done && next.id() != Some(lineage.id) {
                return Err(format!("the id is lost: {next}"));
            }
        }
        if done {
            return Ok(());
        }
    }
    unreachable!("every carrying out ends")
}

/// Runs `body` for the given seed, or for the one of the environment; says how to run it again.
fn with_seeds(seeds: std::ops::Range<u64>, body: impl Fn(u64) -> Result<(), String>) {
    let chosen = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seeds = chosen.map_or(seeds, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(error) = body(seed) {
            panic!("{error}\nagain: SEED={seed} cargo test -p highwater-persistence --test crash");
        }
    }
}

fn views(at: u64) -> Vec<View> {
    let mixed = (0..4).map(|number| View::Mixed(at * 100 + number));
    [View::OnlySynced, View::AllWritten].into_iter().chain(mixed).collect()
}

/// One run with `fault` at operation `at`; what is left is looked at in every way.
fn run_with(policy: Policy, seed: u64, at: u64, fault: Fault) -> Result<(), String> {
    let storage = FaultyStorage::new();
    storage.inject(at, fault);
    let node = Node::start(&storage, policy, seed).map(|mut node| {
        node.run(40);
        node
    });
    let (stream, written, durable) = match &node {
        Some(node) => (&node.stream[..], node.written, node.durable),
        None => (&[][..], LogOffset(0), LogOffset(0)),
    };
    let context = |error: String, view: &str| {
        let journal = storage.journal();
        let last = &journal[journal.len().saturating_sub(12)..];
        format!("{error}\n{policy:?}, {fault:?} at {at}, seen as {view}\n{}", last.join("\n"))
    };
    let left = storage.after_kill();
    let killed = |error| context(error, "killed");
    let plan = check_left(&left, stream, written).map_err(killed)?;
    check_started(&left, stream, &plan, true).map_err(killed)?;
    if matches!(fault, Fault::Crash { .. }) {
        check_carried_out(&left, stream, &plan, durable).map_err(killed)?;
    }
    for view in views(at) {
        let left = storage.after_power_cut(view);
        let context = |error| context(error, &format!("{view:?}"));
        let plan = check_left(&left, stream, durable).map_err(context)?;
        check_started(&left, stream, &plan, false).map_err(context)?;
        if !matches!(fault, Fault::Crash { .. }) && node.is_some() && !plan.clean {
            return Err(context(format!("the stop was orderly\n{plan}")));
        }
        if matches!(view, View::Mixed(seed) if seed % 100 == 0) {
            check_carried_out(&left, stream, &plan, plan.offset).map_err(context)?;
        }
    }
    Ok(())
}

fn operations(policy: Policy, seed: u64) -> u64 {
    let storage = FaultyStorage::new();
    let mut node = Node::start(&storage, policy, seed).unwrap();
    node.run(40);
    assert!(node.history_seen > 0, "some history stays");
    let operations = storage.operations();
    assert!(operations > 60, "the workload does something: {operations}");
    operations
}

#[test]
fn a_crash_at_every_operation_loses_nothing_that_was_promised() {
    for policy in POLICIES {
        with_seeds(1..3, |seed| {
            for at in 0..operations(policy, seed) {
                for torn in [0, 60, 100_000] {
                    run_with(policy, seed, at, Fault::Crash { torn })?;
                }
            }
            Ok(())
        });
    }
}

#[test]
fn an_error_at_every_operation_is_lived_through() {
    for policy in POLICIES {
        with_seeds(1..2, |seed| {
            for at in 0..operations(policy, seed) {
                for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
                    for (torn, count) in [(0, 1), (60, 1), (60, 7)] {
                        run_with(policy, seed, at, Fault::Error { kind, torn, count })?;
                    }
                }
            }
            Ok(())
        });
    }
}

/// The log is switched on at run time: until its base is in place, what was on disk before is in force.
#[test]
fn a_crash_while_the_log_is_switched_on_leaves_the_old_log_or_the_new_one() {
    with_seeds(1..3, |seed| {
        for with_old in [false, true] {
            for at in 0.. {
                let storage = FaultyStorage::new();
                let mut old = LogOffset(0);
                if with_old {
                    let mut node = Node::start(&storage, Policy::Always, seed).unwrap();
                    node.run(10);
                    old = node.written;
                }
                storage.inject(storage.operations() + at, Fault::Crash { torn: 100 });
                let start = LogOffset(100_000);
                let promised = enable(&storage, start);
                for view in views(at) {
                    let left = storage.after_power_cut(view);
                    let plan = recovery::plan(&left.shared(), &options()).map_err(|error| {
                        format!("{error}, at {at}, {view:?}, {:?}", storage.journal())
                    })?;
                    let switched = plan.offset >= start;
                    if !switched && (promised.is_some() || plan.offset != old) {
                        return Err(format!("at {at}, {view:?}: {plan}"));
                    }
                    if promised.is_some_and(|promised| plan.offset < promised) {
                        return Err(format!("at {at}, {view:?}: {plan}"));
                    }
                }
                if !storage.has_crashed() {
                    break;
                }
            }
        }
        Ok(())
    });
}

/// Switches the log on and appends; the offset promised once it is on.
fn enable(storage: &FaultyStorage, start: LogOffset) -> Option<LogOffset> {
    let shared = storage.shared();
    let files = LogFiles::open(&shared, &options().names).ok()?;
    let salts = Salts::counted_from(77);
    let (mut writer, rewrite) = files.begin(Lineage::new(id(3)), start, SELECT, salts).ok()?;
    let mut append = || {
        let mut batch = SELECT.to_vec();
        let end = writer.end().advanced(SELECT.len());
        writer.append(&mut batch, end, start).ok()
    };
    append()?;
    append()?;
    write_base(&shared, start).ok()?;
    rewrite.finish(TEMP_BASE, BaseKind::Rdb, 0).ok()?;
    let promised = writer.end();
    writer.sync_handle().sync_data().ok()?;
    Some(promised)
}
