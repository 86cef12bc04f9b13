//! Measures the keyspace: memory per key, time per operation, the slowest insert, the length of a walk's step.
//!
//! `cargo run --release --example keyspace_bench -- [keys] [value bytes]`

use std::hint::black_box;

use highwater::alloc::used_memory;
use highwater::keyspace::{Access, HashKey, KeyRef, Keyspace, Ttl, Value, WalkBatch, WalkBudget};

const NOW_MS: u64 = 1_700_000_000_000;

/// Nanoseconds since some moment.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now_ns() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).expect("less than five hundred years")
}

/// Sixteen bytes, in no order that a table could profit from.
fn key(i: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut left = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for digit in &mut key[4..] {
        *digit = b"0123456789abcdefghijklmnopqrstuv"[(left % 32) as usize];
        left /= 32;
    }
    key
}

/// Calls `run` with each number, in random order, and prints the time per call and the slowest ones.
fn measure(name: &str, count: u64, mut run: impl FnMut(u64)) {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut order: Vec<u32> = (0..u32::try_from(count).expect("fewer than 2^32")).collect();
    rng.shuffle(&mut order);
    let start = now_ns();
    for &i in &order {
        run(u64::from(i));
    }
    let each = (now_ns() - start) as f64 / count as f64;
    report(&format!("{name}: {each:.0} ns"));
}

/// The same with a look at the clock around each call, and the whole done three times: of each call the fastest
/// of its three times counts, which leaves out what the scheduler did to one of them.
fn measure_slowest(name: &str, count: u64, mut run: impl FnMut(&mut Keyspace, u64)) {
    let mut times = vec![u64::MAX; usize::try_from(count).expect("it fits memory")];
    for _ in 0..3 {
        let mut keyspace = Keyspace::new(2, HashKey::from_seed(1), 1);
        for (i, time) in (0..).zip(&mut times) {
            let start = now_ns();
            run(&mut keyspace, i);
            *time = (*time).min(now_ns() - start);
        }
    }
    times.sort_unstable();
    let last = times.len() - 1;
    let before_last = |share: usize| times[last - last / share] as f64 / 1000.0;
    report(&format!(
        "{name}: p50 {:.2} us, p99.9 {:.1} us, p99.999 {:.1} us, worst {:.1} us",
        before_last(2),
        before_last(1000),
        before_last(100_000),
        times[last] as f64 / 1000.0
    ));
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn report(line: &str) {
    println!("{line}");
}

fn memory(count: u64, value: &[u8], ttl: Ttl) {
    let before = used_memory();
    let mut keyspace = Keyspace::new(16, HashKey::random(), 1);
    for i in 0..count {
        let bytes = key(i);
        let key = keyspace.key(&bytes);
        keyspace.insert(0, &key, Value::string(value), ttl);
    }
    let bytes = (used_memory() - before) as f64 / count as f64;
    let kind = if ttl == Ttl::Clear { "" } else { " with expiry" };
    report(&format!("memory at {count} keys{kind}: {bytes:.1} bytes per key"));
}

fn walk(keyspace: &mut Keyspace, batch_entries: usize, count: u64) {
    let id = keyspace.start_walk(&[0..=16383], 0).expect("none is running");
    let budget = WalkBudget { entries: batch_entries, bytes: 1 << 20 };
    let (mut batch, mut times, mut seen) = (WalkBatch::default(), Vec::new(), 0);
    loop {
        batch.clear();
        let start = now_ns();
        let progress = keyspace.walk_step(id, budget, &mut batch).expect("it runs");
        times.push(now_ns() - start);
        seen += batch.len() as u64;
        if progress.done {
            break;
        }
    }
    assert_eq!(seen, count);
    let total: u64 = times.iter().sum();
    times.sort_unstable();
    report(&format!(
        "walk by {batch_entries}: {:.0} ns per entry, step p50 {:.0} us, p99 {:.0} us, worst {:.0} us",
        total as f64 / count as f64,
        times[times.len() / 2] as f64 / 1000.0,
        times[times.len() * 99 / 100] as f64 / 1000.0,
        times[times.len() - 1] as f64 / 1000.0
    ));
}

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().expect("a number"));
    let count = args.next().unwrap_or(1_000_000);
    let value = vec![b'v'; usize::try_from(args.next().unwrap_or(32)).expect("it fits memory")];
    report(&format!("keys of 16 bytes, values of {}", value.len()));
    for count in [count / 10, count, count * 18 / 10] {
        memory(count, &value, Ttl::Clear);
    }
    memory(count, &value, Ttl::At(NOW_MS));

    let mut keyspace = Keyspace::new(16, HashKey::random(), 1);
    keyspace.begin(NOW_MS, 1);
    measure("insert", count, |i| {
        let bytes = key(i);
        let key = keyspace.key(&bytes);
        keyspace.insert(0, &key, Value::string(&value), Ttl::Clear);
    });
    measure("slot and hash alone", count, |i| {
        black_box(keyspace.key(&key(i)));
    });
    measure("lookup", count, |i| {
        let bytes = key(i);
        let key = keyspace.key(&bytes);
        let found = keyspace.lookup(0, &key, Access::READ).expect("it was inserted");
        black_box(found.value());
    });
    lookup_batches(&mut keyspace, count);
    measure("lookup of a missing key", count, |i| {
        let bytes = key(i + count);
        let key = keyspace.key(&bytes);
        black_box(keyspace.lookup(0, &key, Access::READ).is_none());
    });
    measure("overwrite", count, |i| {
        let bytes = key(i);
        let key = keyspace.key(&bytes);
        keyspace.insert(0, &key, Value::string(&value), Ttl::Clear);
    });
    measure("set an expiry", count, |i| {
        let bytes = key(i);
        let key = keyspace.key(&bytes);
        keyspace.set_expiry(0, &key, Some(NOW_MS + i));
    });
    measure("random key", count / 10, |_| {
        black_box(keyspace.random_key(0).is_some());
    });
    walk(&mut keyspace, 300, count);
    walk(&mut keyspace, 1000, count);
    measure("remove", count, |i| {
        let bytes = key(i);
        let key = keyspace.key(&bytes);
        assert!(keyspace.remove(0, &key));
    });
    drop(keyspace);
    measure_slowest("insert over all slots", count, |keyspace, i| {
        let bytes = key(i);
        let key = keyspace.key(&bytes);
        keyspace.insert(0, &key, Value::string(&value), Ttl::Clear);
    });
    measure_slowest("insert into one slot", count, |keyspace, i| {
        let mut bytes = *b"{tag}00000000000";
        bytes[5..].copy_from_slice(&key(i)[5..]);
        let key = keyspace.key(&bytes);
        keyspace.insert(0, &key, Value::string(&value), Ttl::Clear);
    });
}

/// Lookups of sixteen keys at a time, their memory fetched in advance.
fn lookup_batches(keyspace: &mut Keyspace, count: u64) {
    let hash_key = keyspace.hash_key();
    let mut rng = fastrand::Rng::with_seed(3);
    let start = now_ns();
    for _ in 0..count / 16 {
        let bytes: [[u8; 16]; 16] = std::array::from_fn(|_| key(rng.u64(..count)));
        let keys: [KeyRef<'_>; 16] = std::array::from_fn(|i| KeyRef::new(&hash_key, &bytes[i]));
        keyspace.prefetch(0, &keys);
        for key in &keys {
            let found = keyspace.lookup(0, key, Access::READ).expect("it was inserted");
            black_box(found.value());
        }
    }
    let each = (now_ns() - start) as f64 / count as f64;
    report(&format!("lookup, sixteen at a time: {each:.0} ns"));
}
