//! Commands that wait for keys are run again when a key of theirs has changed.

use std::sync::Arc;

use crate::clock::Clock;
use crate::cluster::redirect::{self, Asked, Rules};
use crate::keyspace::{Entry, Waiter};
use crate::state::client::Blocked;
use crate::state::key_waits::Found;
use crate::state::{ClientId, Output, State};

use super::dispatch::{account, call, resolve_effect};
use super::{Node, propagate};

impl Node {
    /// Serves those whose keys other data have come to, after [`Node::replace_data`].
    pub fn serve_ready(&mut self, clock: &mut dyn Clock) {
        self.state.time = clock.now();
        if self.state.keyspace.has_ready() {
            self.serve_waiting(clock);
        }
    }

    /// Serves the clients that wait for keys which have changed, in the order in which the keys changed and the clients came,
    /// each in a unit of its own. What one leaves behind may serve the next.
    pub(super) fn serve_waiting(&mut self, clock: &mut dyn Clock) {
        // Each run is a unit: what the unit before has seen still holds back the reply to that.
        let observed = self.state.keyspace.observed;
        while let Some((db, key)) = self.state.keyspace.take_ready() {
            let mut ticket = 0;
            while let Some(next) = next_served(&self.state, db, &key, ticket) {
                ticket = next.ticket;
                self.serve(ClientId(next.session), clock);
            }
        }
        self.state.keyspace.observed = observed;
    }

    /// Runs the request of one client again.
    fn serve(&mut self, id: ClientId, clock: &mut dyn Clock) {
        let state = &mut self.state;
        let Some(wait) = state.key_waits.get(id) else { return };
        let request = Arc::clone(&wait.request);
        // It is not there while it executes itself: then it began to wait after the change.
        let Some(mut client) = state.clients.take(id) else { return };
        if client.killed {
            // It can be told nothing any more: what has come is for others.
            state.clients.put(client);
            state.end_key_wait(id);
            return;
        }
        let args = request.args();
        let entry = resolve_effect(&state.command_names, args)
            .expect("a request that waits was resolved when it came");
        let before = state.stream.end;
        let time = state.time;
        let started_us = clock.mono_us();
        client.blocked = None;
        state.keyspace.no_touch = client.no_touch;
        state.keyspace.begin(time.unix_ms(), before + 1);
        let mut out = Vec::new();
        let ran = call(state, &mut client, entry, args, &mut out, time);
        propagate::unit(state, ran.own_effect.then_some((client.db, args)));
        let end = state.stream.end;
        let hold = if end > before { end } else { state.keyspace.observed.min(end) };
        state.settle_messages(hold);
        if client.blocked == Some(Blocked::OnKeys) {
            return state.clients.put(client);
        }
        client.wait_offset = client.wait_offset.max(hold);
        let elapsed_us = clock.mono_us().saturating_sub(started_us);
        account(state, &mut client, entry, args, &ran, elapsed_us, true);
        let is_told = client.wants_reply();
        state.clients.put(client);
        state.end_key_wait(id);
        if is_told {
            state.outputs.push(Output::Answer { client: id, bytes: out, hold });
        }
        state.outputs.push(Output::Resume { client: id });
    }

    /// A client's connection is about to be closed, and may only send what is left: what its command waits for is for others.
    pub fn waits_no_more(&mut self, id: ClientId) {
        self.state.end_key_wait(id);
    }

    /// Answers the clients that wait for keys of slots which are served elsewhere, or nowhere, by now.
    pub(super) fn redirect_waiting(&mut self) {
        let state = &mut self.state;
        let Some(membership) = state.cluster.as_deref() else { return };
        let mut moved = Vec::new();
        for (id, wait) in state.key_waits.clients() {
            let (Some(slot), Some(client)) = (wait.slot, state.clients.get(id)) else { continue };
            // Keys on their way here may still come to this node, and those on their way from here are here.
            let asked = Asked {
                writes: wait.writes,
                reads_replicas: client.readonly,
                asks: true,
                ..Asked::default()
            };
            let routed =
                redirect::route_slot(&membership.core, Rules::of(&state.config), asked, slot);
            if let Err(error) = routed {
                moved.push((id, format!("-{}\r\n", error.text())));
            }
        }
        for (id, reply) in moved {
            state.break_key_wait(id, Some(reply.as_bytes()));
        }
    }

    /// Ends the waits that are over, and says when the next one is: milliseconds since 1970.
    pub fn end_due_waits(&mut self, clock: &mut dyn Clock) -> Option<u64> {
        self.state.time = clock.now();
        self.state.end_due_waits();
        self.state.take_deadline()
    }
}

/// The first behind `ticket` whose wait is ended by what is at `key` now.
fn next_served(state: &State, db: u32, key: &[u8], ticket: u64) -> Option<Waiter> {
    let keyspace = &state.keyspace;
    let entry = keyspace.peek(db, &keyspace.key(key)).filter(|entry| !keyspace.is_expired(entry));
    let found = Found::of(entry.map(Entry::value));
    let mut waiters = keyspace.waiters(db, key, ticket, matches!(found, Found::Nothing));
    waiters.find(|waiter| state.key_waits.ends(waiter, found)).copied()
}
