//! From a request to its reply: lookup, gates, execution, statistics, propagation.

use crate::clock::{Clock, Time};
use crate::commands::transaction::end_transaction;
use crate::commands::{Context, Entry, Flag, Then, table};
use crate::config::{CommandNames, Reached};
use crate::resp::{Args, CommandError, Reply, Requests, errors};
use crate::state::client::{Blocked, Client, ReplyMode};
use crate::state::cluster::SlotCost;
use crate::state::{ClientId, State};

use super::Node;
use super::gates::{self, Gate};
use super::prefetch::{AHEAD, prefetch};

/// Bytes of replies after which a batch is broken off, so that a client that asks for much and reads nothing can be made
/// to wait. A single request, or an EXEC, may pass it.
const REPLIES_MAX: usize = 1 << 20;

/// What a client's connection does next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Goes on reading.
    #[default]
    Go,
    /// Waits for `Output::Resume` before its next request runs.
    Blocked,
    /// Closes once its replies are out.
    Close,
}

/// The result of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Requests executed; fewer than given when the client was blocked, is to be closed, or the replies are many: call
    /// again for the rest.
    pub executed: usize,
    /// Log offset that must be released before the replies leave.
    pub hold: u64,
    /// What comes next.
    pub status: Status,
    /// Whether the client has authenticated, or need not.
    pub authenticated: bool,
    /// Bytes of waiting output at which the client is to be closed at once; 0 for no such limit.
    pub output_bytes_max: u64,
    /// Replicas are asked for what they have got: the stream is to be handed on though no reply waits for it.
    pub asks: bool,
}

impl Node {
    /// Executes requests of a client from index `from` on and appends the replies to `out`.
    pub fn execute(
        &mut self,
        id: ClientId,
        (requests, buffer): (&Requests, &[u8]),
        from: usize,
        out: &mut Vec<u8>,
        clock: &mut dyn Clock,
    ) -> Outcome {
        let closed = Outcome { status: Status::Close, ..Outcome::default() };
        let Some(mut client) = self.state.clients.take(id) else { return closed };
        if client.killed {
            self.state.clients.put(client);
            return closed;
        }
        // What was published before these requests run is told before their replies.
        let mut observed = self.own_mail(&mut client, out);
        self.state.time = clock.now();
        client.last_interaction = self.state.time;
        let before = self.state.stream.end;
        let mut started_us = self.state.time.mono_us;
        let mut executed = from;
        while executed < requests.len() && !client.close_after_reply && client.blocked.is_none() {
            if (executed - from).is_multiple_of(AHEAD) {
                prefetch(&self.state.keyspace, client.db, (requests, buffer), executed);
            }
            let args = requests.get(executed, buffer);
            let time = Time { mono_us: started_us, ..self.state.time };
            // The end of one request is the start of the next: reading the clock costs as much as finding a key.
            match self.request(&mut client, args, out, time, clock) {
                Ran::Until(now_us) => started_us = now_us,
                Ran::Postponed => break,
            }
            observed = observed.max(self.state.keyspace.observed);
            executed += 1;
            if out.len() >= REPLIES_MAX || self.state.ends_batch {
                break;
            }
        }
        self.state.ends_batch = false;
        let status = match &client {
            client if client.close_after_reply || client.killed => Status::Close,
            client if client.blocked.is_some() => Status::Blocked,
            _ => Status::Go,
        };
        let end = self.state.stream.end;
        let hold = if end > before { end } else { observed.min(end) };
        if let Some(Blocked::Waiting { until_ms, .. }) = client.blocked {
            self.state.waiting.push(id);
            self.state.note_deadline(until_ms);
        }
        let authenticated = client.authenticated;
        let output_bytes_max = self.state.output_limit(&client).hard;
        self.state.clients.put(client);
        let asks = self.ask_for_acks();
        Outcome { executed: executed - from, hold, status, authenticated, output_bytes_max, asks }
    }

    /// One request, gates and all.
    fn request(
        &mut self,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
        time: Time,
        clock: &mut dyn Clock,
    ) -> Ran {
        let position = out.len();
        let gate = gates::pass(&mut self.state, client, args);
        let asks_on = !client.asking || matches!(gate, Gate::Postponed) || is_asking(&gate);
        let ran = match gate {
            Gate::Open(entry) => Ran::Until(self.run_unit(client, entry, args, out, time, clock)),
            Gate::Queued => {
                Reply::new(out, client.resp3).simple("QUEUED");
                Ran::Until(time.mono_us)
            }
            Gate::Refused(entry, error) => {
                self.refuse(client, entry, &error, out);
                Ran::Until(time.mono_us)
            }
            Gate::Redirected(entry, error) => {
                self.redirect(client, entry, &error, out);
                Ran::Until(time.mono_us)
            }
            Gate::Postponed => Ran::Postponed,
        };
        if !asks_on && client.transaction.is_none() {
            client.asking = false;
        }
        if ran != Ran::Postponed {
            silence(client, out, position);
        }
        // What a request publishes to its own client follows the reply, whatever it holds back of that.
        self.own_mail(client, out);
        ran
    }

    /// Appends what waits in the mailbox of the client that executes. Returns the log offset that it waits for; what the
    /// client has published itself waits for no more than the reply does.
    #[inline]
    fn own_mail(&mut self, client: &mut Client, out: &mut Vec<u8>) -> u64 {
        if !self.state.clients.has_mail() {
            return 0;
        }
        let Some(mail) = self.state.take_own_mail(client) else { return 0 };
        if client.is_replica {
            return 0;
        }
        mail.write_to(out);
        mail.hold
    }

    /// The request's keys are not served here.
    #[cold]
    fn redirect(
        &mut self,
        client: &mut Client,
        entry: &Entry,
        error: &CommandError,
        out: &mut Vec<u8>,
    ) {
        self.state.stats.command(entry.id).rejected += 1;
        self.state.stats.count_error(error.code());
        // That keys are missing may follow from writes that nobody has been told of yet.
        self.state.keyspace.observe_all();
        if entry.command.name == "exec" {
            end_transaction(&mut self.state, client);
        } else if let Some(transaction) = &mut client.transaction {
            transaction.refused = true;
        }
        Reply::new(out, client.resp3).error(error);
    }

    fn refuse(
        &mut self,
        client: &mut Client,
        entry: Option<&Entry>,
        error: &CommandError,
        out: &mut Vec<u8>,
    ) {
        if let Some(entry) = entry {
            self.state.stats.command(entry.id).rejected += 1;
        }
        self.state.stats.count_error(error.code());
        if let Some(transaction) = &mut client.transaction {
            transaction.refused = true;
        }
        if entry.is_some_and(|entry| entry.command.name == "exec") {
            // An EXEC that may not run ends the transaction, and says so even where there is none.
            end_transaction(&mut self.state, client);
            let text = error.text();
            let reason = text.strip_prefix("ERR ").unwrap_or(text);
            let text = format!("EXECABORT Transaction discarded because of: {reason}");
            return Reply::new(out, client.resp3).error(&CommandError::owned(text));
        }
        Reply::new(out, client.resp3).error(error);
    }

    /// Runs a command, or the transaction it asks for, as one execution unit and propagates its effects. Returns the
    /// monotonic time of its end.
    fn run_unit(
        &mut self,
        client: &mut Client,
        entry: &'static Entry,
        args: Args<'_>,
        out: &mut Vec<u8>,
        time: Time,
        clock: &mut dyn Clock,
    ) -> u64 {
        let (before, reply_from) = (self.state.stream.end, out.len());
        self.state.keyspace.no_touch = client.no_touch;
        self.state.keyspace.begin(time.unix_ms(), before + 1);
        let ran = call(&mut self.state, client, entry, args, out, time);
        let mut cluster_changed = false;
        match ran.then {
            Then::Nothing => {}
            Then::Exec => cluster_changed = self.exec(client, out, time, clock),
            Then::SettingsChanged => self.apply_settings(),
            Then::ClusterChanged => cluster_changed = true,
            Then::ApplyBatch => self.apply_batch(client, args, out),
        }
        super::monitor::feed(&mut self.state, client, entry, args);
        super::propagate::unit(&mut self.state, ran.own_effect.then_some((client.db, args)));
        if cluster_changed {
            self.settle_cluster();
        }
        let end = self.state.stream.end;
        // Also what others have written, if the client has seen it.
        let seen = if end > before { end } else { self.state.keyspace.observed.min(end) };
        client.wait_offset = client.wait_offset.max(seen);
        self.state.settle_messages(seen);
        let now_us = clock.mono_us();
        let elapsed_us = now_us.saturating_sub(time.mono_us);
        // A command that waits for keys is counted when it is served, or is not.
        if client.blocked != Some(Blocked::OnKeys) {
            account(&mut self.state, client, entry, args, &ran, elapsed_us, true);
        }
        if self.state.config.cluster_slot_stats_enabled
            && let Some(slot) = client.slot
        {
            let request =
                args.raw().map_or_else(|| args.iter().map(<[u8]>::len).sum(), <[u8]>::len);
            let reply = out.len().saturating_sub(reply_from);
            let cost =
                SlotCost { cpu_us: elapsed_us, bytes_in: request as u64, bytes_out: reply as u64 };
            self.state.add_slot_cost(slot, cost);
        }
        if self.state.keyspace.has_ready() {
            self.serve_waiting(clock);
        }
        self.tell_watchers_and(Some(client));
        now_us
    }

    /// Marks the clients whose watched keys were changed.
    pub(super) fn tell_watchers(&mut self) {
        self.tell_watchers_and(None);
    }

    /// As [`Node::tell_watchers`], while `own` executes and is not among the others.
    #[inline]
    fn tell_watchers_and(&mut self, mut own: Option<&mut Client>) {
        if !self.state.keyspace.has_touched() {
            return;
        }
        for id in self.state.keyspace.take_touched() {
            if let Some(own) = own.as_deref_mut().filter(|own| own.id.0 == id) {
                own.watch_broken = true;
            } else if let Some(client) = self.state.clients.get_mut(ClientId(id)) {
                client.watch_broken = true;
            }
        }
    }
}

/// Whether a request was dealt with or has to be tried again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// It was, until this moment in monotonic microseconds; it is the start of the time of the next one.
    Until(u64),
    Postponed,
}

/// What a command's function did.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) then: Then,
    /// The request itself is an effect.
    pub(super) own_effect: bool,
    pub(super) failed: bool,
}

/// Calls a command's function, writes its reply or error, and finds out whether the request is its own effect.
#[inline]
pub(super) fn call(
    state: &mut State,
    client: &mut Client,
    entry: &'static Entry,
    args: Args<'_>,
    out: &mut Vec<u8>,
    time: Time,
) -> Called {
    let dirty = state.keyspace.dirty;
    let resp3 = client.resp3;
    let mut ctx = Context {
        state,
        client,
        reply: Reply::new(out, resp3),
        time,
        entry,
        effect_given: false,
        then: Then::Nothing,
    };
    let start = ctx.reply.position();
    let result = (entry.command.run)(&mut ctx, args);
    let mut failed = false;
    if let Err(error) = result {
        failed = true;
        ctx.reply.truncate(start);
        ctx.reply.error(&error);
        ctx.state.stats.count_error(error.code());
    }
    let (then, given) = (ctx.then, ctx.effect_given);
    state.publish_key_events();
    let changed = state.keyspace.dirty != dirty;
    debug_assert!(
        !(failed && changed),
        "'{}' has changed something and answers an error",
        entry.full_name
    );
    let mut own_effect = changed && !given;
    if own_effect && failed {
        super::remains::note(state, client.db, entry, args);
        own_effect = false;
    }
    state.persistence.dirty += state.keyspace.dirty - dirty;
    let forced = state.keyspace.effects.take_verbatim();
    Called { then, own_effect: forced || own_effect, failed }
}

/// Counts a call and notes it where it was slow. `elapsed_us` is wall time.
pub(super) fn account(
    state: &mut State,
    client: &mut Client,
    entry: &'static Entry,
    args: Args<'_>,
    called: &Called,
    elapsed_us: u64,
    alone: bool,
) {
    state.stats.commands += 1;
    let latency_tracking = state.config.latency_tracking;
    let stats = state.stats.command(entry.id);
    stats.calls += 1;
    stats.usec += elapsed_us;
    stats.failed += u64::from(called.failed);
    if latency_tracking {
        stats.record(elapsed_us);
    }
    client.last_command = &entry.full_name;
    if i64::try_from(elapsed_us).unwrap_or(i64::MAX) >= state.config.slowlog_log_slower_than
        && state.config.slowlog_log_slower_than >= 0
        && !entry.flags.has(Flag::SkipSlowlog)
    {
        note_slow(state, client, entry, args, elapsed_us);
    }
    let threshold_ms = state.config.latency_monitor_threshold;
    if alone && threshold_ms > 0 && elapsed_us >= threshold_ms * 1000 {
        let event = if entry.flags.has(Flag::Fast) { "fast-command" } else { "command" };
        state.latency.add(event, state.time.unix_s(), elapsed_us / 1000);
    }
}

#[cold]
fn note_slow(state: &mut State, client: &Client, entry: &Entry, args: Args<'_>, elapsed_us: u64) {
    let secret = |index| crate::commands::auth::is_secret(&entry.full_name, args, index);
    let shown = |(index, arg)| if secret(index) { &b"(redacted)"[..] } else { arg };
    let words: Vec<&[u8]> = args.iter().enumerate().map(shown).collect();
    let max = usize::try_from(state.config.slowlog_max_len).unwrap_or(usize::MAX);
    let from = (client.peer.address.as_str(), &client.name[..]);
    state.slowlog.push(state.time.unix_s(), elapsed_us, words.into_iter(), from, max);
}

/// Whether the request is ASKING itself.
#[cold]
fn is_asking(gate: &Gate) -> bool {
    match gate {
        Gate::Open(entry) | Gate::Refused(Some(entry), _) => entry.command.name == "asking",
        _ => false,
    }
}

/// Takes back the reply of a client that wants none.
#[inline]
fn silence(client: &mut Client, out: &mut Vec<u8>, position: usize) {
    if client.is_replica || client.answers_nothing {
        client.answers_nothing = false;
        out.truncate(position);
    }
    match client.reply_mode {
        ReplyMode::On => {}
        ReplyMode::Off => out.truncate(position),
        ReplyMode::SkipNext => {
            // CLIENT REPLY SKIP itself answers nothing; the next command is the one skipped.
            out.truncate(position);
            client.reply_mode = ReplyMode::SkipThis;
        }
        ReplyMode::SkipThis => {
            out.truncate(position);
            // A command that waits is answered later.
            if client.blocked.is_none() {
                client.reply_mode = ReplyMode::On;
            }
        }
    }
}

/// The command that an entry of a log or of a primary's stream names.
///
/// # Errors
/// There is no such command, or it does not take these arguments: the log is not one this node can play.
pub(super) fn resolve_effect(
    names: &CommandNames,
    args: Args<'_>,
) -> Result<&'static Entry, CommandError> {
    // Requests are logged as they came, under a new name too; effects of the node's own have the commands' own names.
    let found = match names.reached(&args[0]) {
        Reached::Other(own) => table().find(own.as_bytes()),
        Reached::Itself | Reached::Nothing => table().find(&args[0]),
    };
    let Some(mut entry) = found else {
        return Err(errors::unknown_command(&args[0], args.iter_from(1)));
    };
    if !entry.subcommands.is_empty() && args.len() > 1 {
        entry = entry
            .subcommand(&args[1])
            .ok_or_else(|| errors::unknown_subcommand(entry.command.name, &args[1]))?;
    }
    if !entry.arity.fits(args.len()) {
        return Err(errors::wrong_arity(&entry.full_name));
    }
    Ok(entry)
}

/// The command that `args` name, a container's subcommand where it has one.
///
/// # Errors
/// There is no such command or subcommand, or the number of arguments does not fit.
/// A request that names no command, or one that takes other arguments.
pub(super) type Unresolved = (Option<&'static Entry>, CommandError);

pub(super) fn resolve(names: &CommandNames, args: Args<'_>) -> Result<&'static Entry, Unresolved> {
    let found = match names.reached(&args[0]) {
        Reached::Itself => table().find(&args[0]),
        Reached::Other(own) => table().find(own.as_bytes()),
        Reached::Nothing => None,
    };
    let Some(mut entry) = found else {
        return Err((None, errors::unknown_command(&args[0], args.iter_from(1))));
    };
    if !entry.subcommands.is_empty() && args.len() > 1 {
        match entry.subcommand(&args[1]) {
            Some(subcommand) => entry = subcommand,
            None => {
                let error = errors::unknown_subcommand(entry.command.name, &args[1]);
                return Err((None, error));
            }
        }
    }
    if !entry.arity.fits(args.len()) {
        return Err((Some(entry), errors::wrong_arity(&entry.full_name)));
    }
    Ok(entry)
}
