//! One message on its way to many clients.

use std::sync::atomic::{AtomicU64, Ordering};

/// A frame that is shared by the mailboxes of all who get it, whichever protocol they speak: a push of RESP3 and the array
/// of RESP2 differ in their first byte only.
#[derive(Debug)]
pub struct Post {
    frame: Vec<u8>,
    /// Log offset that must be released before the frame leaves. Written once, behind the node's lock, when the unit ends
    /// that the message comes from.
    hold: AtomicU64,
}

impl Post {
    /// A frame that waits for the end of its unit.
    pub fn new(frame: Vec<u8>) -> Self {
        debug_assert!(matches!(frame.first(), Some(b'>' | b'*')), "a push");
        Self { frame, hold: AtomicU64::new(u64::MAX) }
    }

    /// Says what the frame waits for.
    pub fn settle(&self, hold: u64) {
        self.hold.store(hold, Ordering::Relaxed);
    }

    /// Log offset that must be released before the frame leaves, with the log's end at `end`: a frame that nobody has
    /// settled waits for everything there is.
    pub fn hold(&self, end: u64) -> u64 {
        self.hold.load(Ordering::Relaxed).min(end)
    }

    /// Bytes of the frame.
    pub fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// Appends the frame for a client.
    pub fn write_to(&self, out: &mut Vec<u8>, resp3: bool) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        out[start] = if resp3 { b'>' } else { b'*' };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_serves_both_protocols() {
        let post = Post::new(b">1\r\n$1\r\na\r\n".to_vec());
        let mut out = Vec::new();
        post.write_to(&mut out, false);
        post.write_to(&mut out, true);
        assert_eq!(out, b"*1\r\n$1\r\na\r\n>1\r\n$1\r\na\r\n");
    }

    #[test]
    fn what_nobody_settled_waits_for_everything() {
        let post = Post::new(b">0\r\n".to_vec());
        assert_eq!(post.hold(17), 17);
        post.settle(5);
        assert_eq!(post.hold(17), 5);
    }
}
