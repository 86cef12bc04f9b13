//! Entries against a plain struct that holds the same in safe types.

use super::*;
use crate::keyspace::tests::{object_len, object_of};

/// What an entry should say.
#[derive(Clone)]
struct Model {
    key: Vec<u8>,
    value: ModelValue,
    expiry_ms: Option<u64>,
    raw: bool,
    marks: u8,
    access: u32,
}

#[derive(Clone)]
enum ModelValue {
    Bytes(Vec<u8>),
    Int(i64),
    Object(usize),
}

impl Model {
    fn check(&self, entry: &Entry) {
        assert_eq!(entry.key(), self.key);
        assert_eq!(entry.expiry_ms(), self.expiry_ms);
        assert_eq!(entry.is_raw(), self.raw);
        assert_eq!(entry.marks(), self.marks);
        assert_eq!(entry.access(), self.access);
        match (&self.value, entry.value()) {
            (ModelValue::Bytes(expected), ValueRef::Str(bytes)) => assert_eq!(expected, bytes),
            (ModelValue::Int(expected), ValueRef::Int(number)) => assert_eq!(*expected, number),
            (ModelValue::Object(length), ValueRef::Object(object)) => {
                assert_eq!(object_len(object), *length);
            }
            (_, other) => panic!("another kind of value: {other:?}"),
        }
        assert!(entry.memory_usage() >= entry.own_bytes());
        assert!(entry.own_bytes() >= 8 + self.key.len());
    }

    fn set_value(&self, entry: &mut Entry, share: bool) {
        match &self.value {
            ModelValue::Bytes(bytes) if share => {
                entry.set_value(Value::Shared(Arc::new(bytes.clone())));
            }
            ModelValue::Bytes(bytes) => entry.set_value(Value::Str(bytes)),
            ModelValue::Int(number) => entry.set_value(Value::Int(*number)),
            ModelValue::Object(length) => entry.set_value(Value::Object(object_of(*length))),
        }
    }
}

fn random_bytes(rng: &mut fastrand::Rng, max: usize) -> Vec<u8> {
    let length = if rng.bool() { rng.usize(..=max) } else { rng.usize(..=max.min(40)) };
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

fn random_value(rng: &mut fastrand::Rng) -> ModelValue {
    match rng.u8(..4) {
        0 | 1 => ModelValue::Bytes(random_bytes(rng, 600)),
        2 => ModelValue::Int(rng.i64(..)),
        _ => ModelValue::Object(rng.usize(1..5)),
    }
}

fn mutate(entry: &mut Entry, model: &mut Model, rng: &mut fastrand::Rng) {
    match rng.u8(..7) {
        0 | 1 => {
            (model.value, model.raw) = (random_value(rng), false);
            model.set_value(entry, rng.bool());
        }
        2 => {
            model.expiry_ms = rng.bool().then(|| rng.u64(..));
            entry.set_expiry(model.expiry_ms);
        }
        3 => {
            model.marks = rng.u8(..);
            entry.set_marks(model.marks);
        }
        4 => {
            model.access = rng.u32(..1 << 24);
            entry.set_access(model.access);
        }
        5 => match entry.string_mut() {
            None => assert!(matches!(model.value, ModelValue::Object(_))),
            Some(buffer) => {
                buffer.push(b'!');
                let mut bytes = match &model.value {
                    ModelValue::Bytes(bytes) => bytes.clone(),
                    ModelValue::Int(number) => number.to_string().into_bytes(),
                    ModelValue::Object(_) => panic!("an object gave a string"),
                };
                bytes.push(b'!');
                (model.value, model.raw) = (ModelValue::Bytes(bytes), true);
            }
        },
        _ => {
            if let Some(object) = entry.object_mut() {
                *object = object_of(3);
                model.value = ModelValue::Object(3);
            }
        }
    }
}

fn scenario(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let key = random_bytes(&mut rng, if seed % 10 == 3 { 70_000 } else { 100 });
    let expiry_ms = rng.bool().then(|| rng.u64(..));
    let mut entry = Entry::new(&key, Value::Int(0), expiry_ms);
    let value = random_value(&mut rng);
    let mut model = Model { key, value, expiry_ms, raw: false, marks: 0, access: 0 };
    model.set_value(&mut entry, false);
    let mut copies = Vec::new();
    for _ in 0..30 {
        model.check(&entry);
        // What has been shared with a walk keeps its value whatever happens to the entry.
        copies.push((entry.copy_as(&model.key), model.clone()));
        mutate(&mut entry, &mut model, &mut rng);
    }
    model.check(&entry);
    for (copy, mut then) in copies {
        then.marks = 0;
        then.check(&copy);
    }
    drop(entry.into_shared());
}

#[test]
fn behaves_as_a_plain_struct() {
    for seed in 0..if cfg!(miri) { 15 } else { 2000 } {
        scenario(seed);
    }
}

#[test]
fn is_as_small_as_promised() {
    let own = |key: usize, value: usize, expiry| {
        Entry::new(&vec![b'k'; key], Value::Str(&vec![b'v'; value]), expiry).own_bytes()
    };
    assert_eq!(own(16, 32, None), 64);
    assert_eq!(own(16, 32, Some(1)), 64);
    assert_eq!(own(16, 8, None), 32);
    assert_eq!(Entry::new(&[b'k'; 16], Value::Int(7), None).own_bytes(), 32);
}

#[test]
fn growing_byte_by_byte_keeps_its_buffer() {
    let mut entry = Entry::new(b"k", Value::Str(b""), None);
    let mut moves = 0;
    let mut last = ptr::null();
    for _ in 0..if cfg!(miri) { 500 } else { 100_000 } {
        let buffer = entry.string_mut().unwrap();
        buffer.push(b'x');
        moves += usize::from(!ptr::eq(buffer.as_ptr(), last));
        last = buffer.as_ptr();
    }
    assert!(moves < 40, "{moves} moves");
}

#[test]
fn similar_lengths_replace_in_place() {
    let mut entry = Entry::new(b"key", Value::Str(b"0123456789"), Some(5));
    let before = entry.key().as_ptr();
    entry.set_value(Value::Str(b"abcdefg"));
    entry.set_expiry(Some(6));
    assert!(ptr::eq(before, entry.key().as_ptr()));
    assert!(matches!(entry.value(), ValueRef::Str(b"abcdefg")));
    assert_eq!(entry.expiry_ms(), Some(6));
}
