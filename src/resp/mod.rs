//! The Redis protocol: requests in, replies out. No sockets here.
//!
//! [`request`] finds complete requests in a buffer without copying them, [`reply`] writes RESP2 and RESP3 into a buffer,
//! [`limits`] holds the bounds that keep a client from making the node allocate, and [`number`] the strict text forms of
//! numbers that the protocol and the commands share.

pub mod errors;
pub mod inline;
pub mod limits;
pub mod number;
mod quoted;
pub mod reply;
pub mod request;

pub use errors::CommandError;
pub use limits::RequestLimits;
pub use quoted::quoted;
pub use reply::Reply;
pub use request::{Args, ProtocolError, RequestParser, Requests};
