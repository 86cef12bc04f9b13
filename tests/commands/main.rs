//! Transcripts of commands: requests in, replies and log out, on a node in this process whose clock stands still.

mod bench;
mod bitmaps;
mod strings;
