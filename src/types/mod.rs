//! Values: plain collections that know their encodings and nothing of keys, clients or time.
//!
//! | file | what it is |
//! |---|---|
//! | `object.rs` | a collection of any type: its size, memory, and the encoding a stock server would have chosen |
//! | `ordered.rs` | a map that remembers the order in which keys came |
//! | `zset.rs` | members by score and by name |
//! | `stream.rs` | entries, groups, consumers and what they have not acknowledged |
//! | `convert.rs` | values from and to the events of snapshots and DUMP payloads |
//! | `digest.rs` | the checksum of values that DEBUG DIGEST answers |

pub mod convert;
pub mod digest;
mod object;
mod ordered;
mod stream;
mod thresholds;
mod zset;

pub use object::{FieldValue, Object};
pub use ordered::OrderedMap;
pub use stream::{Consumer, Fields, Group, Pending, Stream};
pub use thresholds::thresholds;
pub use zset::Zset;
