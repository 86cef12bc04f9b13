//! `maxmemory` and its policies, in a process of its own: memory in use is a number of the whole process, so all
//! scenarios are played one after the other by one test.

use highwater::alloc::used_memory;
use highwater::clock::ManualClock;
use highwater::config::Config;
use highwater::config::choices::EvictionPolicy;
use highwater::keyspace::{HashKey, Keyspace};
use highwater::node::Node;
use highwater::resp::inline::encode;
use highwater::resp::{RequestLimits, RequestParser, Requests};
use highwater::state::ClientId;
use highwater::state::client::Peer;
use highwater::state::run::Run;

/// Room for data in each scenario.
const ROOM_BYTES: usize = 3 << 20;

/// How far memory in use may be above the limit after a command: the command's own key, buffers, and what the threads of
/// the test's harness hold.
const SLACK_BYTES: usize = 128 << 10;

/// Keys of each scenario; at some 330 bytes each, about half of them have room.
const KEYS: usize = 18_000;

struct Bench {
    node: Node,
    client: ClientId,
    clock: ManualClock,
    limit: usize,
}

impl Bench {
    fn start(policy: EvictionPolicy) -> Bench {
        let mut clock = ManualClock::default();
        clock.advance_ms(1_000_000_000_000);
        let mut config = Config::default();
        let values = config.values_mut();
        values.maxmemory_policy = policy;
        values.lfu_decay_time = 0;
        let keyspace = Keyspace::new(4, HashKey::from_seed(1), 1);
        let run = Run { first_replication_id: "a".repeat(40), ..Run::default() };
        let mut node = Node::new(config, keyspace, run, clock.0);
        let peer = Peer { loopback: true, ..Peer::default() };
        let client = node.connect(peer, clock.0).expect("there is room");
        let mut bench = Bench { node, client, clock, limit: 0 };
        // The tables of a database exist before the first key of it counts.
        bench.run(&["SET", "first", "1"]);
        bench.run(&["DEL", "first"]);
        bench.limit = used_memory() + ROOM_BYTES;
        bench.node.state.config.values_mut().maxmemory = bench.limit as u64;
        bench
    }

    fn run(&mut self, words: &[&str]) -> String {
        let bytes = encode(words);
        let mut requests = Requests::default();
        let limits = RequestLimits::default();
        RequestParser::default().parse(&bytes, limits, &mut requests).expect("well formed");
        let mut out = Vec::new();
        self.node.execute(self.client, (&requests, &bytes), 0, &mut out, &mut self.clock);
        String::from_utf8(out).expect("text")
    }

    /// Sets key `i` one second after what came before, and looks at the memory.
    fn set(&mut self, i: usize, expires_s: Option<usize>) -> String {
        self.clock.advance_ms(1000);
        let (name, value) = (name(i), "v".repeat(200));
        let reply = match expires_s {
            None => self.run(&["SET", &name, &value]),
            Some(after_s) => {
                let reply = self.run(&["SET", &name, &value]);
                self.run(&["EXPIRE", &name, &after_s.to_string()]);
                reply
            }
        };
        let used = used_memory();
        assert!(used < self.limit + SLACK_BYTES, "{used} of {} at key {i}", self.limit);
        reply
    }

    fn has(&mut self, i: usize) -> bool {
        let name = name(i);
        let key = self.node.state.keyspace.key(name.as_bytes());
        self.node.state.keyspace.peek(0, &key).is_some()
    }

    fn evicted(&self) -> u64 {
        self.node.state.keyspace.stats.evicted
    }
}

fn name(i: usize) -> String {
    format!("key:{i}")
}

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

fn noeviction_refuses_what_grows() {
    let mut bench = Bench::start(EvictionPolicy::NoEviction);
    let full = (0..KEYS).find(|&i| bench.set(i, None) == OOM).expect("memory is full at last");
    assert!(full > KEYS / 4, "{full}");
    assert_eq!(bench.run(&["EXISTS", "key:0"]), ":1\r\n");
    assert_eq!(bench.run(&["COPY", "key:0", "copy"]), OOM);
    assert_eq!(bench.run(&["MULTI"]), "+OK\r\n");
    assert_eq!(bench.run(&["SET", "a", "1"]), OOM);
    assert!(bench.run(&["EXEC"]).starts_with("-EXECABORT"));
    for i in 0..2000 {
        assert_eq!(bench.run(&["DEL", &name(i)]), ":1\r\n");
    }
    assert_eq!(bench.set(0, None), "+OK\r\n");
    assert_eq!(bench.evicted(), 0);
}

/// The first keys are used again and again; they stay, the others go.
fn ranking_policies_keep_what_is_used(policy: EvictionPolicy) {
    const HOT: usize = 1000;
    let mut bench = Bench::start(policy);
    let expires = policy.is_volatile().then_some(100_000_000);
    for i in 0..KEYS {
        assert_eq!(bench.set(i, expires), "+OK\r\n", "{policy:?}");
        if i > HOT {
            // Each hot key is read once in 200 writes.
            for step in 0..5 {
                bench.run(&["GET", &name((i * 5 + step) % HOT)]);
            }
        }
    }
    let kept = (0..HOT).filter(|&i| bench.has(i)).count();
    assert!(bench.evicted() > 4000, "{policy:?}: {}", bench.evicted());
    assert!(kept > HOT * 97 / 100, "{policy:?}: {kept} of {HOT} hot keys are left");
}

fn random_policies_take_any(policy: EvictionPolicy) {
    let mut bench = Bench::start(policy);
    let expires = policy.is_volatile().then_some(100_000_000);
    for i in 0..KEYS {
        assert_eq!(bench.set(i, expires), "+OK\r\n", "{policy:?}");
    }
    let evicted = usize::try_from(bench.evicted()).expect("a count");
    assert!(evicted > 4000, "{policy:?}: {evicted}");
    let left = KEYS - evicted;
    let old = (0..KEYS / 2).filter(|&i| bench.has(i)).count();
    assert!(old > left / 10, "{policy:?}: {old} old keys of {left} are left");
}

fn ttl_takes_what_ends_soonest() {
    let mut bench = Bench::start(EvictionPolicy::VolatileTtl);
    for i in 0..KEYS {
        // Late ones first, so that age and ttl disagree.
        assert_eq!(bench.set(i, Some(100_000_000 - 1000 * i)), "+OK\r\n");
    }
    let early = (0..2500).filter(|&i| bench.has(i)).count();
    assert!(early > 2400, "{early} of the 2500 keys that live longest are left");
}

/// Keys without expiry are never taken, and when only such are left, writes are refused.
fn volatile_policies_leave_what_stays(policy: EvictionPolicy) {
    let mut bench = Bench::start(policy);
    let stay: Vec<usize> = (0..2000).step_by(2).collect();
    for i in 0..KEYS {
        let expires = if i < 2000 && i % 2 == 0 { None } else { Some(100_000_000) };
        assert_eq!(bench.set(i, expires), "+OK\r\n");
    }
    assert!(bench.evicted() > 4000);
    assert!(stay.iter().all(|&i| bench.has(i)), "{policy:?}");
    let refused = (KEYS..2 * KEYS).find(|&i| bench.set(i, None) == OOM);
    assert!(refused.is_some(), "{policy:?}");
    assert_eq!(bench.node.state.keyspace.volatile(0), 0);
    assert!(stay.iter().all(|&i| bench.has(i)), "{policy:?}");
}

/// Each eviction is an effect of its own, before the unit of the command that needed the room.
fn evictions_are_logged_one_by_one() {
    let mut bench = Bench::start(EvictionPolicy::AllkeysLru);
    let mut i = 0;
    while bench.evicted() == 0 {
        bench.set(i, None);
        i += 1;
    }
    bench.node.state.stream.recording = true;
    for (lazy, verb) in [(false, "DEL"), (true, "UNLINK")] {
        bench.node.state.config.values_mut().lazyfree_lazy_eviction = lazy;
        bench.node.apply_settings();
        bench.node.state.stream.pending.clear();
        let before = bench.evicted();
        bench.run(&["MULTI"]);
        bench.run(&["SET", "big:1", &"x".repeat(20_000)]);
        bench.run(&["SET", "big:2", &"x".repeat(20_000)]);
        bench.run(&["EXEC"]);
        assert!(bench.evicted() > before);
        let log = String::from_utf8_lossy(&bench.node.state.stream.pending).into_owned();
        let evictions = format!("\r\n{verb}\r\n");
        let unit = log.find("MULTI").expect("a unit");
        assert!(log[..unit].contains(&evictions), "made room first");
        assert!(!log[unit..].contains(&evictions), "not inside the unit");
    }
}

/// Large values wait for the driver, up to a share of the limit, and are counted as freed; a flushed database waits too.
fn lazily_evicted_values_are_freed_by_the_driver() {
    const LARGE: usize = 160 << 10;
    let mut bench = Bench::start(EvictionPolicy::AllkeysLru);
    bench.limit += 16 << 20;
    let limit = bench.limit;
    let values = bench.node.state.config.values_mut();
    values.maxmemory = limit as u64;
    values.lazyfree_lazy_eviction = true;
    bench.node.apply_settings();
    let mut most_owed = 0;
    for i in 0..1000 {
        assert_eq!(bench.run(&["SET", &name(i), &"v".repeat(LARGE)]), "+OK\r\n");
        let owed = bench.node.state.freeing.owed_bytes();
        most_owed = owed.max(most_owed);
        assert!(used_memory() < limit + owed + 2 * LARGE, "{owed} at key {i}");
        if i % 50 == 49 {
            drop(bench.node.state.freeing.take());
            assert_eq!(bench.node.state.freeing.owed_bytes(), 0);
        }
    }
    assert!(most_owed > LARGE, "something waited: {most_owed}");
    assert!(most_owed < limit / 16 + 20 * LARGE, "not without bound: {most_owed}");
    let evicted = bench.evicted();
    assert!(evicted > 800, "{evicted}");
    bench.run(&["FLUSHALL"]);
    bench.node.state.config.values_mut().maxmemory = (used_memory() - (1 << 20)) as u64;
    assert_eq!(bench.run(&["SET", "a", "1"]), "+OK\r\n");
    assert!(bench.node.state.freeing.owed_bytes() > 10 << 20, "the database waits");
    assert_eq!(bench.evicted(), evicted, "and its memory counts as free");
}

#[test]
fn memory_stays_below_its_limit_under_every_policy() {
    use EvictionPolicy::{
        AllkeysLfu, AllkeysLru, AllkeysRandom, VolatileLfu, VolatileLru, VolatileRandom,
        VolatileTtl,
    };
    noeviction_refuses_what_grows();
    for policy in [AllkeysLru, AllkeysLfu, VolatileLru, VolatileLfu] {
        ranking_policies_keep_what_is_used(policy);
    }
    for policy in [AllkeysRandom, VolatileRandom] {
        random_policies_take_any(policy);
    }
    ttl_takes_what_ends_soonest();
    for policy in [VolatileLru, VolatileLfu, VolatileRandom, VolatileTtl] {
        volatile_policies_leave_what_stays(policy);
    }
    evictions_are_logged_one_by_one();
    lazily_evicted_values_are_freed_by_the_driver();
}
