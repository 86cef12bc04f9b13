//! Values: plain collections that know their encodings and nothing of keys, clients or time.
//!
//! | file | what it is |
//! |---|---|
//! | `object.rs` | a collection of any type: its size, memory, and the encoding a stock server would have chosen |
//! | `limits.rs` | up to which sizes collections are packed |
//! | `list.rs` | items from head to tail, in one block or in a row of nodes (`list/`) |
//! | `listpack.rs` | small collections as one block |
//! | `set.rs` | members, each once |
//! | `intset.rs` | sets of integers as one block |
//! | `set_table.rs` | large sets |
//! | `set_algebra.rs` | what sets have in common, together, or apart |
//! | `set_sample.rs` | members picked at random |
//! | `hash/` | fields with values |
//! | `pages/` | the table of large sets and hashes: packed pages, cheap to clone |
//! | `hyperloglog/` | strings that estimate how many different elements were added to them |
//! | `stream/` | entries, groups, consumers and what they have not acknowledged |
//! | `zset/` | members by score and by name |
//! | `convert/` | values from and to the events of snapshots and DUMP payloads |
//! | `digest.rs` | the checksum of values that DEBUG DIGEST answers |

pub mod convert;
pub mod digest;
mod hash;
pub mod hyperloglog;
mod intset;
mod limits;
mod list;
pub mod listpack;
mod object;
mod pages;
mod seen;
mod set;
pub mod set_algebra;
mod set_sample;
mod set_table;
mod stream;
mod zset;

pub use hash::{Field, FieldValue, Hash};
pub use limits::{Limits, limits};
pub use list::{End, List, Taken};
pub use object::Object;
pub use pages::{Record, fix_order};
pub use set::{Member, Set, member_bytes};
pub use stream::{
    COUNT_MAX, Consumer, ConsumerNumber, Entries, Entry, Group, Keep, MAX_ID, Pending, Range,
    Refused, Stream, Trim,
};
pub use zset::{Elements, Gathered, LexBound, LexRange, ScoreBound, ScoreRange, Zset};
