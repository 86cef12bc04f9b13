//! Values: plain collections that know their encodings and nothing of keys, clients or time.
//!
//! | file | what it is |
//! |---|---|
//! | `object.rs` | a collection of any type: its size, memory, and the encoding a stock server would have chosen |
//! | `limits.rs` | up to which sizes collections are packed |
//! | `list.rs` | items from head to tail |
//! | `listpack.rs` | small collections as one block |
//! | `set.rs` | members, each once |
//! | `hash.rs` | fields with values |
//! | `ordered.rs` | a map that remembers the order in which keys came |
//! | `zset/` | members by score and by name |
//! | `stream.rs` | entries, groups, consumers and what they have not acknowledged |
//! | `convert/` | values from and to the events of snapshots and DUMP payloads |
//! | `digest.rs` | the checksum of values that DEBUG DIGEST answers |

pub mod convert;
pub mod digest;
mod hash;
mod limits;
mod list;
pub mod listpack;
mod object;
mod ordered;
mod set;
mod stream;
mod zset;

pub use hash::{FieldValue, Hash};
pub use limits::{Limits, limits};
pub use list::List;
pub use object::Object;
pub use ordered::OrderedMap;
pub use set::Set;
pub use stream::{Consumer, Fields, Group, Pending, Stream};
pub use zset::{LexBound, LexRange, ScoreBound, ScoreRange, Zset};
