//! Clients that take too much memory: output that nobody fetches (`client-output-buffer-limit`), and all clients together
//! (`maxmemory-clients`).

use crate::commands::describe_client;
use crate::state::output_limit::OutputVerdict;
use crate::state::{Client, ClientId, State};

use super::{Node, note, warning};

impl Node {
    /// Closes clients that are past a limit. Sizes are those that the driver last told.
    pub(super) fn close_heavy_clients(&mut self) {
        let state = &mut self.state;
        let waiting: Vec<(ClientId, u64)> = state
            .clients
            .iter()
            .filter(|client| client.output_bytes > 0 || client.soft_limit_since_ms.is_some())
            .map(|client| (client.id, client.output_bytes as u64))
            .collect();
        for (client, bytes) in waiting {
            close_if_past_limit(state, client, bytes, "closed");
        }
        evict(state);
    }

    /// `bytes` wait for a client by now, as much as its hard limit or more: it is closed, if that limit still holds.
    pub fn output_has_grown(&mut self, client: ClientId, bytes: u64) {
        close_if_past_limit(&mut self.state, client, bytes, "scheduled to be closed ASAP");
    }

    /// A client's requests wait for more bytes than `client-query-buffer-limit` allows: its connection closes.
    pub fn query_is_endless(&mut self, client: ClientId) {
        let state = &mut self.state;
        state.stats.query_limit_disconnections += 1;
        let Some(known) = state.clients.get(client) else { return };
        let line = describe_client(known, state.time);
        let text = format!("Closing client that reached max query buffer length: {line}");
        state.outputs.push(warning(text));
    }

    /// So much waits for a client that reads nothing of what it is told unasked that it is closed without any limit set.
    pub fn output_is_endless(&mut self, client: ClientId) {
        self.state.stats.output_limit_disconnections += 1;
        close_for_output(&mut self.state, client, "scheduled to be closed ASAP");
    }
}

/// Closes a client if `bytes` of waiting output are past its limit.
fn close_if_past_limit(state: &mut State, id: ClientId, bytes: u64, how: &str) {
    let Some(client) = state.clients.get_mut(id).filter(|client| !client.killed) else { return };
    client.output_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if state.judge_output(id, bytes) == OutputVerdict::Close {
        close_for_output(state, id, how);
    }
}

fn close_for_output(state: &mut State, id: ClientId, how: &str) {
    let now = state.time;
    let Some(client) = state.clients.get(id) else { return };
    let line = describe_client(client, now);
    state
        .outputs
        .push(warning(format!("Client {line} {how} for overcoming of output buffer limits.")));
    state.kill(id);
}

/// Closes the largest clients until all together are within `maxmemory-clients`.
fn evict(state: &mut State) {
    let limit = state.config.maxmemory_clients.bytes(state.config.maxmemory);
    if limit == 0 {
        return;
    }
    let counts = |client: &&Client| !client.no_evict && !client.killed;
    let mut sizes: Vec<(usize, ClientId)> = state
        .clients
        .iter()
        .filter(counts)
        .map(|client| (client.memory_usage(), client.id))
        .collect();
    let mut sum: u64 = sizes.iter().map(|(bytes, _)| *bytes as u64).sum();
    sizes.sort_unstable();
    while sum > limit
        && let Some((bytes, id)) = sizes.pop()
    {
        sum -= bytes as u64;
        if let Some(client) = state.clients.get(id) {
            let line = format!("Evicting client: {}", describe_client(client, state.time));
            state.stats.evicted_clients += 1;
            state.outputs.push(note(line));
            state.kill(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::node::tests::Bench;
    use crate::state::client::Peer;
    use crate::state::{ClientId, Output};

    /// Two clients more, with so many bytes of waiting output; who is closed by a tick.
    fn closed(setting: &str, bytes: [usize; 2]) -> Vec<u64> {
        let mut bench = Bench::new();
        bench.run(setting);
        for bytes in bytes {
            let id = bench.node.connect(Peer::default(), bench.clock.0).unwrap_or(ClientId(0));
            if let Some(client) = bench.node.state.clients.get_mut(id) {
                client.output_bytes = bytes;
            }
        }
        bench.node.take_outputs();
        bench.node.tick(bench.clock.0);
        let closed = |output: Output| match output {
            Output::Close { client } => Some(client.0),
            _ => None,
        };
        bench.node.take_outputs().into_iter().filter_map(closed).collect()
    }

    #[test]
    fn output_past_its_limit_closes_the_client() {
        let setting = "config set protected-mode no client-output-buffer-limit \"normal 1mb 0 0\"";
        assert_eq!(closed(setting, [1 << 20, (1 << 20) - 1]), [2]);
        assert_eq!(closed("config set protected-mode no", [1 << 30, 1 << 30]), [] as [u64; 0]);
    }

    #[test]
    fn the_largest_clients_are_evicted_first() {
        let setting = "config set protected-mode no maxmemory-clients 3mb";
        assert_eq!(closed(setting, [1 << 20, 4 << 20]), [3]);
        assert_eq!(closed(setting, [4 << 20, 5 << 20]), [3, 2]);
        let spared = "client no-evict on\nconfig set protected-mode no maxmemory-clients 1gb";
        assert_eq!(closed(spared, [1 << 20, 4 << 20]), [] as [u64; 0]);
    }
}
