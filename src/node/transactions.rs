//! EXEC: the queued commands as one execution unit.

use crate::clock::{Clock, Time};
use crate::commands::Then;
use crate::resp::Reply;
use crate::state::client::Client;

use super::dispatch::{account, call, resolve};
use super::{Node, monitor};

impl Node {
    /// Runs the client's queue. All effects join the unit that is open; nobody sees half of it. Whether the cluster was
    /// changed: what follows is to be done when the unit is complete.
    pub(super) fn exec(
        &mut self,
        client: &mut Client,
        out: &mut Vec<u8>,
        time: Time,
        clock: &mut dyn Clock,
    ) -> bool {
        let Some(transaction) = client.transaction.take() else { return false };
        if std::mem::take(&mut client.watching) {
            self.state.keyspace.unwatch(client.id.0);
        }
        Reply::new(out, client.resp3).array(transaction.queue.len());
        client.in_exec = true;
        let mut started_us = time.mono_us;
        let mut cluster_changed = false;
        for queued in &transaction.queue {
            let args = queued.args();
            let entry = resolve(&self.state.command_names, args)
                .expect("a queued command was resolved when it was queued");
            let db = client.db;
            let called = call(&mut self.state, client, entry, args, out, time);
            monitor::feed(&mut self.state, client, entry, args);
            match called.then {
                Then::SettingsChanged => self.apply_settings(),
                Then::ClusterChanged => cluster_changed = true,
                Then::Nothing | Then::Exec | Then::ApplyBatch => {}
            }
            if called.own_effect {
                super::propagate::own_effect(&mut self.state, db, args);
            }
            let now_us = clock.mono_us();
            let elapsed_us = now_us.saturating_sub(started_us);
            account(&mut self.state, client, entry, args, &called, elapsed_us, false);
            started_us = now_us;
        }
        client.in_exec = false;
        cluster_changed
    }
}
