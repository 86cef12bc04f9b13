//! The checksum of values that DEBUG DIGEST and DIGEST-VALUE answer: equal for equal data, whatever the encoding.
//!
//! Two operations on 20 bytes, both with SHA-1: *adding* something (exclusive or with its hash), where order must not
//! matter, and *chaining* something (the hash of the sum), where it must. A list chains its items; a set adds its members;
//! a pair is chained on its own and then added.

use sha1::{Digest as _, Sha1};

use super::{Object, member_bytes};
use crate::resp::number::{push_f64, push_f64_of_17_digits};

/// How scores are turned into text before they are hashed: servers differ by version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreText {
    /// Shortest digits: Redis 7.2.
    Shortest,
    /// Seventeen digits: Redis 7.0 and before.
    Seventeen,
}

/// Twenty bytes that stand for some data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest([u8; 20]);

/// Numbers of types, as they go into a digest.
mod number {
    pub(super) const STRING: u32 = 0;
    pub(super) const LIST: u32 = 1;
    pub(super) const SET: u32 = 2;
    pub(super) const ZSET: u32 = 3;
    pub(super) const HASH: u32 = 4;
    pub(super) const STREAM: u32 = 6;
}

impl Digest {
    /// The digest of nothing.
    pub const ZERO: Self = Self([0; 20]);

    /// Adds `data`; the order of additions does not matter.
    pub fn add(&mut self, data: &[u8]) {
        let hash: [u8; 20] = Sha1::digest(data).into();
        for (byte, other) in self.0.iter_mut().zip(hash) {
            *byte ^= other;
        }
    }

    /// Chains `data`; the order matters.
    pub fn chain(&mut self, data: &[u8]) {
        self.add(data);
        self.0 = Sha1::digest(self.0).into();
    }

    /// Chains two things and adds the result, as one.
    fn add_pair(&mut self, first: &[u8], second: &[u8]) {
        let mut pair = Self::ZERO;
        pair.chain(first);
        pair.chain(second);
        self.add(&pair.0);
    }

    /// Chains a string value.
    pub fn string(&mut self, bytes: &[u8], expires: bool) {
        self.chain(&number::STRING.to_be_bytes());
        self.chain(bytes);
        self.expiry(expires);
    }

    /// Chains a collection.
    pub fn object(&mut self, object: &Object, expires: bool, scores: ScoreText) {
        let mut text = Vec::new();
        match object {
            Object::List(list) => {
                self.chain(&number::LIST.to_be_bytes());
                list.iter().for_each(|item| self.chain(&item));
            }
            Object::Set(set) => {
                self.chain(&number::SET.to_be_bytes());
                let mut buffer = itoa::Buffer::new();
                set.iter().for_each(|member| self.add(member_bytes(member, &mut buffer)));
            }
            Object::Zset(members) => {
                self.chain(&number::ZSET.to_be_bytes());
                for (member, score) in members.iter() {
                    text.clear();
                    push_score(&mut text, score, scores);
                    self.add_pair(&member, &text);
                }
            }
            Object::Hash(hash) => {
                self.chain(&number::HASH.to_be_bytes());
                hash.iter().for_each(|(field, value)| self.add_pair(&field, &value.bytes));
            }
            Object::Stream(stream) => {
                self.chain(&number::STREAM.to_be_bytes());
                for entry in stream.entries.iter() {
                    self.chain(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                    for (field, value) in entry.fields() {
                        self.chain(&field.to_bytes());
                        self.chain(&value.to_bytes());
                    }
                }
            }
        }
        self.expiry(expires);
    }

    /// Only that a key expires goes in, not when: copies may differ in it by a little.
    fn expiry(&mut self, expires: bool) {
        if expires {
            self.add(b"!!expire!!");
        }
    }

    /// Adds a key of a database whose value's digest, begun with [`Digest::of_key`], is `key`.
    pub fn add_key(&mut self, key: Self) {
        self.add(&key.0);
    }

    /// Begins the digest of a key: its value is to be chained.
    pub fn of_key(key: &[u8]) -> Self {
        let mut digest = Self::ZERO;
        digest.chain(key);
        digest
    }

    /// Chains the number of a database that is not empty; its keys are to be added.
    pub fn database(&mut self, db: u32) {
        self.chain(&db.to_be_bytes());
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn push_score(text: &mut Vec<u8>, score: f64, scores: ScoreText) {
    match scores {
        ScoreText::Shortest => push_f64(text, score),
        ScoreText::Seventeen => push_f64_of_17_digits(text, score),
    }
}
