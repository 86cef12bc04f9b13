//! MIGRATE from the node's side: who has to wait for keys that are on their way, what the driver gets of them, and what
//! follows when they have arrived.
//!
//! A key is removed here, with a DEL in the log, only if its copy was acknowledged by the target and it has been held ever
//! since the copy was made. So at every moment one side serves it, and what the node takes up meanwhile (a new primary's
//! stream, another dataset) loses nothing to a late acknowledgement.

use crate::clock::Time;
use crate::commands::keys::for_each_key;
use crate::commands::{Entry, Flag, KeyFlag};
use crate::config::special::KeyspaceEvents;
use crate::keyspace::{self, Slot};
use crate::resp::number::parse_i64;
use crate::resp::{Args, CommandError};
use crate::state::State;
use crate::state::client::Client;
use crate::state::moves::Target;

use super::Node;
use super::dispatch::resolve;
use super::{gates, propagate};

/// Keys handed to the driver at a time: what copying them may hold the node up. Long values are shared, not copied.
const PARCEL_KEYS: usize = 256;

/// What is said when a key was changed under way, by something that no gate keeps out.
const CHANGED: CommandError = CommandError::new(
    "ERR A key was changed while its copy was on its way: the target holds what it was, this node what it is now",
);

/// Copies of keys for the target: the number of each in its move, and the entry. An expiry is a moment.
pub type Parcel = Vec<(usize, keyspace::Entry)>;

impl Node {
    /// Where the keys of a move go. Nothing: it was broken off.
    pub fn move_target(&self, number: u64) -> Option<Target> {
        Some(self.state.moves.get(number)?.order.target.clone())
    }

    /// Copies of the next keys of a move, none behind the last one. Nothing: it was broken off.
    pub fn next_parcel(&mut self, number: u64, time: Time) -> Option<Parcel> {
        self.state.time = time;
        let State { moves, keyspace, .. } = &mut self.state;
        let one = moves.get_mut(number)?;
        let (db, now_ms) = (one.order.db, time.unix_ms());
        let mut parcel = Parcel::new();
        while parcel.len() < PARCEL_KEYS
            && let Some(key) = one.order.keys.get(one.next)
        {
            one.next += 1;
            if !one.order.copies && !keyspace.is_held_for(db, key, number) {
                continue;
            }
            let entry = keyspace.peek(db, &keyspace.key(key));
            let lives =
                |entry: &&keyspace::Entry| entry.expiry_ms().is_none_or(|when| when >= now_ms);
            match entry.filter(lives) {
                Some(entry) => parcel.push((one.next - 1, entry.copy_as(key))),
                // It has expired before it was sent: that can take its course.
                None => {
                    keyspace.release(db, key, number);
                }
            }
        }
        Some(parcel)
    }

    /// The target has acknowledged keys: they are removed here.
    pub fn keys_arrived(&mut self, number: u64, arrived: &[usize], time: Time) {
        self.state.time = time;
        let Some(one) = self.state.moves.get_mut(number) else { return };
        if !one.order.copies {
            one.arrived.extend_from_slice(arrived);
            self.settle_moves();
        }
    }

    /// Nothing more comes from the target.
    pub fn move_ended(&mut self, number: u64, result: Result<(), CommandError>, time: Time) {
        self.state.time = time;
        let Some(one) = self.state.moves.get_mut(number) else { return };
        one.ended = Some(result);
        self.settle_moves();
    }

    /// Removes keys that have arrived and ends moves that have ended. While nothing may be added to the log that waits: the
    /// keys stay held, and if a new primary comes out of it they stay here.
    pub(super) fn settle_moves(&mut self) {
        if self.state.moves.is_empty() || gates::stands_still(&self.state) {
            return;
        }
        let mut has_settled = false;
        for number in self.state.moves.numbers() {
            has_settled |= self.remove_arrived(number);
            let Some(one) = self.state.moves.get_mut(number) else { continue };
            if let Some(result) = one.ended.take() {
                let result = if one.has_changed { result.and(Err(CHANGED)) } else { result };
                self.state.end_move(number, result);
                has_settled = true;
            }
        }
        if has_settled {
            self.state.resume_held();
        }
    }

    /// Removes those keys of a move that have arrived, as one change: `DEL key [key ...]`. Whether there were any.
    fn remove_arrived(&mut self, number: u64) -> bool {
        let State { moves, keyspace, stream, persistence, time, .. } = &mut self.state;
        let Some(one) = moves.get_mut(number).filter(|one| !one.arrived.is_empty()) else {
            return false;
        };
        keyspace.begin(time.unix_ms(), stream.end + 1);
        let (db, dirty) = (one.order.db, keyspace.dirty);
        let mut removed: Vec<&[u8]> = vec![b"DEL"];
        for index in std::mem::take(&mut one.arrived) {
            let key = &one.order.keys[index];
            let key_ref = keyspace.key(key);
            if keyspace.release(db, key, number) {
                if keyspace.remove(db, &key_ref) {
                    removed.push(key);
                }
            } else if keyspace.peek(db, &key_ref).is_some() {
                one.has_changed = true;
            }
        }
        if removed.len() > 1 {
            keyspace.effects.push(db, &removed);
        }
        persistence.dirty += keyspace.dirty - dirty;
        let removed: Vec<Box<[u8]>> = removed[1..].iter().map(|key| Box::from(*key)).collect();
        for key in &removed {
            self.state.notify(KeyspaceEvents::GENERIC, "del", db, key);
        }
        propagate::flush_each(&mut self.state);
        let end = self.state.stream.end;
        if let Some(one) = self.state.moves.get_mut(number) {
            one.removed_at = end;
        }
        self.tell_watchers();
        true
    }
}

/// Whether a request has to wait because it would change a key that is on its way.
#[cold]
pub(super) fn must_wait(state: &State, client: &Client, entry: &Entry, args: Args<'_>) -> bool {
    let Some(transaction) = &client.transaction else {
        return changes_held(state, Some(client.db), entry, args);
    };
    if entry.command.name != "exec" || transaction.refused || client.watch_broken {
        return false;
    }
    transaction.queue.iter().any(|queued| {
        let args = Args::new(&queued.bytes, &queued.ranges, None);
        // A SELECT may stand among them, so that the database is not known.
        resolve(&state.command_names, args)
            .is_ok_and(|entry| changes_held(state, None, entry, args))
    })
}

/// Whether a command may change a held key, or the slot of one; nothing for `db`: in any database.
fn changes_held(state: &State, db: Option<u32>, entry: &Entry, args: Args<'_>) -> bool {
    let keyspace = &state.keyspace;
    if entry.full_name == "cluster|setslot" {
        let number = args.get(2).and_then(parse_i64).and_then(|number| u16::try_from(number).ok());
        return number.and_then(Slot::new).is_some_and(|slot| keyspace.is_slot_held(slot));
    }
    if !entry.flags.has(Flag::Write) {
        return false;
    }
    // FLUSHALL and the like.
    if entry.command.keys.is_empty() {
        return true;
    }
    let reaches_others = matches!(entry.command.name, "copy" | "move");
    let db = db.filter(|_| !reaches_others);
    let mut changes = false;
    for_each_key(entry.command, args, |index, spec| {
        let is_held = || match db {
            Some(db) => keyspace.is_held(db, &args[index]),
            None => keyspace.is_held_anywhere(&args[index]),
        };
        changes |= !spec.flags.contains(&KeyFlag::Ro) && is_held();
    });
    changes
}
