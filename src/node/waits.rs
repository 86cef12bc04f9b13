//! Commands that wait for keys are run again when a key of theirs has changed.

use crate::clock::Clock;
use crate::commands::Group;
use crate::keyspace::ValueRef;
use crate::state::client::{Blocked, ReplyMode};
use crate::state::key_waits::Woken;
use crate::state::{ClientId, Output};

use super::dispatch::{account, call, resolve_effect};
use super::{Node, propagate};

impl Node {
    /// Serves the clients that wait for keys which have changed, in the order in which the keys changed and the clients came,
    /// each in a unit of its own. What one leaves behind may serve the next.
    pub(super) fn serve_waiting(&mut self, clock: &mut dyn Clock) {
        // Each run is a unit: what the unit before has seen still holds back the reply to that.
        let observed = self.state.keyspace.observed;
        while let Some((db, key, sessions)) = self.state.keyspace.take_ready() {
            for session in sessions {
                self.serve(ClientId(session), db, &key, clock);
            }
        }
        self.state.keyspace.observed = observed;
    }

    /// Runs the request of one client again, if `key` now has what it waits for.
    fn serve(&mut self, id: ClientId, db: u32, key: &[u8], clock: &mut dyn Clock) {
        let state = &mut self.state;
        let Some(wait) = state.key_waits.get(id) else { return };
        let args = wait.request.args();
        let entry = resolve_effect(&state.command_names, args)
            .expect("a request that waits was resolved when it came");
        let wanted = match entry.command.group {
            Group::SortedSet => "zset",
            group => group.name(),
        };
        let found = state.keyspace.peek(db, &state.keyspace.key(key));
        let is_wanted = found.is_some_and(|found| match found.value() {
            ValueRef::Object(object) => object.type_name() == wanted,
            _ => false,
        });
        if !is_wanted && wait.woken == Woken::ByData {
            return;
        }
        // It is not there while it executes itself: then it began to wait after the change.
        let Some(mut client) = state.clients.take(id) else { return };
        let request = wait.request.clone();
        let args = request.args();
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
        if end > before {
            client.write_offset = end;
        }
        let elapsed_us = clock.mono_us().saturating_sub(started_us);
        account(state, &mut client, entry, args, &ran, elapsed_us, true);
        let silent = client.reply_mode == ReplyMode::Off;
        state.clients.put(client);
        state.end_key_wait(id);
        if !silent {
            state.outputs.push(Output::Answer { client: id, bytes: out, hold });
        }
        state.outputs.push(Output::Resume { client: id });
    }

    /// Answers the clients that wait for keys of slots which are served elsewhere, or nowhere, by now.
    pub(super) fn redirect_waiting(&mut self) {
        let state = &mut self.state;
        if state.key_waits.is_empty() || state.cluster.is_none() {
            return;
        }
        let ids: Vec<ClientId> = state.key_waits.clients().map(|(id, _)| id).collect();
        for id in ids {
            let Some(wait) = state.key_waits.get(id) else { continue };
            let request = wait.request.clone();
            let args = request.args();
            let entry = resolve_effect(&state.command_names, args)
                .expect("a request that waits was resolved when it came");
            let Some(mut client) = state.clients.take(id) else { continue };
            // Keys on their way here may still come to this node, and those on their way from here are here.
            let asking = std::mem::replace(&mut client.asking, true);
            let routed = super::routing::route(state, &mut client, entry, args);
            client.asking = asking;
            state.clients.put(client);
            if let Err(error) = routed
                && matches!(error.code(), "MOVED" | "CLUSTERDOWN")
            {
                let reply = format!("-{}\r\n", error.text());
                state.break_key_wait(id, Some(reply.as_bytes()));
            }
        }
    }

    /// Ends the waits that are over, and says when the next one is: milliseconds since 1970.
    pub fn end_due_waits(&mut self, clock: &mut dyn Clock) -> Option<u64> {
        self.state.time = clock.now();
        self.state.end_due_waits();
        self.state.take_deadline()
    }
}
