//! What a driver does around a node: its outputs in order, its log, the time.

use highwater::state::{ClientId, Output};

use crate::clients::Connection;
use crate::events::Own;
use crate::world::{Policy, World};

/// Between two ticks, and between two syncs under `everysec`.
const TICK_US: u64 = 100_000;
const SYNC_US: u64 = 1_000_000;

impl World {
    /// A tenth of a second has passed for a process.
    pub(crate) fn tick(&mut self, at: usize) {
        let is_absent = self.is_absent(at);
        self.with(at, |node, time| {
            if !is_absent {
                node.step_cluster(time, highwater::cluster::Input::Tick);
            }
            node.tick(time);
        });
        self.tick_session(at);
        self.later_of(at, TICK_US, Own::Tick);
    }

    /// Does what a node wants done.
    pub(crate) fn after(&mut self, at: usize) {
        loop {
            let Some(node) = &mut self.machines[at].node else { return };
            drop(node.state.freeing.take());
            if node.state.keyspace.has_garbage() {
                drop(node.state.keyspace.take_garbage());
            }
            let outputs = node.take_outputs();
            if outputs.is_empty() {
                break;
            }
            outputs.into_iter().for_each(|output| self.carry_out(at, output));
        }
        self.watch(at);
        let node = self.machines[at].node.as_ref().expect("it runs");
        let stream = &node.state.stream;
        if stream.pending.is_empty() && stream.new_ids.is_empty() {
            return;
        }
        let wait_us = self.between(self.plan.commit_us);
        if wait_us == 0 {
            self.commit(at);
        } else if !std::mem::replace(&mut self.machines[at].commit_waits, true) {
            self.later_of(at, wait_us, Own::Commit);
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Push { client, bytes } => {
                self.push(at, client, &bytes);
                self.push_to_job(at, client, &bytes);
            }
            // The client of a MIGRATE does not wait for its end here.
            Output::Answer { .. } => {}
            Output::MoveKeys { number } => self.carry_keys(at, number),
            Output::Resume { client } => {
                self.run_request(at, client);
                self.go_on_unpacking(at, client);
                self.run_job(at, client);
            }
            // A writer that has all its replies leaves by itself.
            Output::Finish { .. } => {}
            Output::Close { client } => self.drop_connection(at, client),
            Output::Feed(feed) => self.feed(at, *feed),
            Output::Bus => self.pump(at),
            Output::LinkChanged => self.end_old_session(at),
            Output::Note(note) => self.trace(at, &note.text),
            // A tick trims a little too, and there is never much.
            Output::StartTrimming => {}
            // Ticks are frequent enough to end waits.
            Output::Deadline => {}
            Output::StartSnapshot | Output::StartRewrite | Output::Deliver { .. } => {}
            other => self.begin_task(at, other),
        }
    }

    /// Appends what is pending to the log, and hands it on.
    pub(crate) fn commit(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        machine.commit_waits = false;
        let Some(node) = &mut machine.node else { return };
        // Until the log is loaded there is none to append to.
        if node.state.persistence.loading.is_some() {
            node.state.stream.forget_pending();
            return;
        }
        let stream = &mut node.state.stream;
        let bytes = std::mem::take(&mut stream.pending);
        let new_ids = std::mem::take(&mut stream.new_ids);
        stream.comments.clear();
        if bytes.is_empty() && new_ids.is_empty() {
            return;
        }
        machine.history += u64::from(!new_ids.is_empty());
        machine.disk.log.append(&bytes, &new_ids);
        assert_eq!(machine.disk.log.end(), stream.end, "the offset is the place in the log");
        node.state.persistence.written = stream.end;
        match self.plan.policy {
            Policy::Always => self.sync(at),
            Policy::Everysec => machine.released = machine.disk.log.end(),
        }
        self.pump_feeds(at);
        self.release(at);
    }

    pub(crate) fn sync(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if machine.disk.log.is_synced() || std::mem::replace(&mut machine.is_syncing, true) {
            return;
        }
        let marks = machine.disk.log.sync_begins();
        let took_us = self.between(self.plan.disk_us);
        self.later_of(at, took_us, Own::Synced(marks));
    }

    pub(crate) fn synced(&mut self, at: usize, marks: usize) {
        let machine = &mut self.machines[at];
        machine.is_syncing = false;
        machine.disk.log.sync_ends(marks);
        let durable = machine.disk.log.durable();
        if let Some(node) = &mut machine.node {
            node.state.persistence.durable = durable;
        }
        if self.plan.policy == Policy::Always {
            machine.released = machine.released.max(durable);
            self.sync(at);
        }
        self.wake_synced(at);
        self.release(at);
    }

    pub(crate) fn sync_due(&mut self, at: usize) {
        self.sync(at);
        self.later_of(at, SYNC_US, Own::SyncDue);
    }

    /// Replies leave that need not wait any more, and acknowledgements.
    fn release(&mut self, at: usize) {
        let asking = |(client, connection): (&ClientId, &Connection)| match connection {
            Connection::Writer(_) | Connection::Carrier(_) | Connection::Job(_) => Some(*client),
            Connection::Replica(_) => None,
        };
        let clients: Vec<ClientId> =
            self.machines[at].connections.iter().filter_map(asking).collect();
        for client in clients {
            self.answer(at, client);
            self.acknowledge_keys(at, client);
            self.answer_job(at, client);
        }
        self.acknowledge_if_asked(at);
    }
}
