//! Snapshots and rewrites from the node's side: when they may start, their cut, their walk, how they ended.

use crate::clock::Time;
use crate::keyspace::{Keyspace, WalkBatch, WalkBudget, WalkId, WalkProgress};
use crate::state::client::Blocked;
use crate::state::persistence::{Beside, Job};
use crate::state::stream::Cut;
use crate::state::{ClientId, State};

use super::Node;

/// Walks of whole keyspaces end here.
const LAST_SLOT: u16 = 16_383;

/// A walk that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The walk.
    pub walk: WalkId,
    /// Log offset of the state it shows.
    pub cut: Cut,
    /// Replication id at the cut.
    pub id: String,
    /// Keys and keys with expiry of each database that has any.
    pub sizes: Vec<(u32, u64, u64)>,
    /// What is to be written along.
    pub beside: Beside,
}

impl State {
    /// Whether a snapshot or a rewrite is running.
    pub fn has_job(&self) -> bool {
        self.persistence.snapshot.is_some() || self.persistence.rewrite.is_some()
    }
}

impl Node {
    /// Begins the walk of a snapshot or a rewrite. For a rewrite the log is cut here: what follows belongs to the next
    /// file. Nothing when too many walks are running.
    pub fn begin_walk(&mut self, rewrite: bool, time: Time) -> Option<Begun> {
        let state = &mut self.state;
        let everything = 0..=LAST_SLOT;
        let walk = state.keyspace.start_walk(&[everything], state.stream.end)?;
        let sizes: Vec<(u32, u64, u64)> = (0..state.keyspace.db_count())
            .filter_map(|db| {
                let database = state.keyspace.db(db)?;
                let (keys, volatile) = database.stored();
                (keys > 0).then_some((db, keys, volatile))
            })
            .collect();
        let job = Job {
            started_s: time.unix_s(),
            keys_total: sizes.iter().map(|(_, keys, _)| keys).sum(),
            keys_done: 0,
            dirty_at_cut: state.persistence.dirty,
        };
        let cut = if rewrite {
            state.persistence.rewrite = Some(job);
            state.stream.cut_here()
        } else {
            state.persistence.snapshot = Some(job);
            Cut { at: 0, offset: state.stream.end, db: state.stream.db }
        };
        let (id, beside) = (state.stream.id.clone(), state.beside());
        Some(Begun { walk, cut, id, sizes, beside })
    }

    /// A rewrite is being prepared: no other job may start.
    pub fn rewrite_prepares(&mut self, time: Time) {
        let dirty_at_cut = self.state.persistence.dirty;
        let started_s = time.unix_s();
        self.state.persistence.rewrite =
            Some(Job { started_s, keys_total: 0, keys_done: 0, dirty_at_cut });
    }

    /// One step of a walk. Nothing when it has ended.
    pub fn walk_step(
        &mut self,
        walk: WalkId,
        rewrite: bool,
        budget: WalkBudget,
        batch: &mut WalkBatch,
    ) -> Option<WalkProgress> {
        let progress = self.state.keyspace.walk_step(walk, budget, batch)?;
        let persistence = &mut self.state.persistence;
        let job = if rewrite { &mut persistence.rewrite } else { &mut persistence.snapshot };
        if let Some(job) = job {
            job.keys_done = progress.visited;
        }
        Some(progress)
    }

    /// A snapshot has ended, well or not.
    pub fn snapshot_ended(&mut self, ok: bool, time: Time) {
        let persistence = &mut self.state.persistence;
        let Some(job) = persistence.snapshot.take() else { return };
        persistence.last_save_ok = ok;
        persistence.last_save_duration_s = Some(time.unix_s().saturating_sub(job.started_s));
        if ok {
            persistence.saves += 1;
            persistence.last_save_s = time.unix_s();
            persistence.dirty = persistence.dirty.saturating_sub(job.dirty_at_cut);
        }
        for id in std::mem::take(&mut self.state.persistence.save_waiters) {
            let reply: &[u8] = if ok { b"+OK\r\n" } else { b"-ERR\r\n" };
            self.answer_job(id, reply.to_vec());
        }
    }

    /// A rewrite has ended, well or not; `size` is that of the log afterwards.
    pub fn rewrite_ended(&mut self, ok: bool, size: u64, time: Time) {
        let persistence = &mut self.state.persistence;
        let Some(job) = persistence.rewrite.take() else { return };
        persistence.last_rewrite_ok = ok;
        persistence.last_rewrite_duration_s = Some(time.unix_s().saturating_sub(job.started_s));
        persistence.rewrites += 1;
        if ok {
            persistence.rewrite_failures = 0;
            persistence.rewrite_retry_s = 0;
            persistence.aof_base_size = size;
            persistence.aof_waits_for_rewrite = false;
            return;
        }
        persistence.rewrite_failures += 1;
        if persistence.rewrite_failures >= 3 {
            let minutes = 1u64 << (persistence.rewrite_failures - 3).min(6);
            let minutes = minutes.min(60);
            persistence.rewrite_retry_s = time.unix_s() + minutes * 60;
            let text = format!(
                "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {minutes} minutes"
            );
            self.state.outputs.push(super::warning(text));
        }
        if persistence_wants_retry(&self.state) {
            self.state.persistence.rewrite_scheduled = true;
        }
    }

    /// Puts an empty keyspace in the place of all data, which are returned to be freed outside of the lock: other data are
    /// being loaded and need the room.
    pub fn make_room_for_data(&mut self, empty: Keyspace) -> Keyspace {
        let mut old = std::mem::replace(&mut self.state.keyspace, empty);
        self.state.keyspace.take_waits(&mut old);
        old
    }

    /// Puts other data in the place of all there are, which are returned to be freed outside of the lock. Who waits for keys
    /// goes on waiting; [`Node::serve_ready`] looks what the new data have for them.
    pub fn replace_data(&mut self, keyspace: Keyspace, beside: Beside) -> Keyspace {
        self.state
            .break_off_moves("ERR The dataset has been replaced while keys were on their way");
        let state = &mut self.state;
        let end = state.stream.end;
        let mut old = std::mem::replace(&mut state.keyspace, keyspace);
        // Replies that show the new data wait for as much of the log as those before.
        state.keyspace.succeed(&mut old, end);
        for client in state.clients.iter_mut().filter(|client| client.watching) {
            client.watch_broken = true;
        }
        state.set_beside(beside);
        self.apply_settings();
        old
    }

    /// Answers a client that waits for a job and lets it go on.
    pub fn answer_job(&mut self, id: ClientId, reply: Vec<u8>) {
        let Some(client) = self.state.clients.get_mut(id) else { return };
        if client.blocked != Some(Blocked::Job) {
            return;
        }
        client.blocked = None;
        self.state.answer_waiting(id, reply);
    }
}

/// A log that was just switched on has to get its base.
fn persistence_wants_retry(state: &State) -> bool {
    state.persistence.aof_waits_for_rewrite
}
