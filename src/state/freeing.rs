//! Memory that the node has given up and another thread frees: what eviction may count on although it is still in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::keyspace::Garbage;

/// Values on their way to the thread that frees. Dropping it frees them and then says so.
#[derive(Debug, Default)]
pub struct Waste {
    garbage: Vec<Garbage>,
    // Behind the garbage: fields are dropped in their order.
    _owed: Option<Owed>,
}

impl Waste {
    /// Garbage that nobody counts on.
    pub fn uncounted(garbage: Vec<Garbage>) -> Self {
        Self { garbage, _owed: None }
    }

    /// Values in it; a database counts for its keys.
    pub fn objects(&self) -> u64 {
        let objects = |garbage: &Garbage| match garbage {
            Garbage::Db(db) => db.stored().0,
            Garbage::String(_) | Garbage::Object(_) => 1,
        };
        self.garbage.iter().map(objects).sum()
    }
}

/// A promise that bytes will be freed; kept when it is dropped.
#[derive(Debug)]
struct Owed {
    bytes: usize,
    sum: Arc<AtomicUsize>,
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the node has given up and counts on.
#[derive(Debug, Default)]
pub struct Freeing {
    waiting: Vec<Waste>,
    sum: Arc<AtomicUsize>,
}

impl Freeing {
    /// Bytes that are going to be freed soon.
    pub fn owed_bytes(&self) -> usize {
        self.sum.load(Ordering::Relaxed)
    }

    /// Gives up `garbage`, some `bytes` of memory.
    pub fn add(&mut self, garbage: Vec<Garbage>, bytes: usize) {
        self.sum.fetch_add(bytes, Ordering::Relaxed);
        let _owed = Some(Owed { bytes, sum: Arc::clone(&self.sum) });
        self.waiting.push(Waste { garbage, _owed });
    }

    /// Whether there is something for the driver to free.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What the driver is to drop outside of the node's lock.
    pub fn take(&mut self) -> Vec<Waste> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_owed_until_the_waste_is_dropped() {
        let mut freeing = Freeing::default();
        freeing.add(vec![Garbage::String(Arc::new(vec![0; 100]))], 100);
        freeing.add(Vec::new(), 7);
        assert_eq!(freeing.owed_bytes(), 107);
        let mut taken = freeing.take();
        assert!(freeing.is_empty());
        assert_eq!((freeing.owed_bytes(), taken[0].objects()), (107, 1));
        drop(taken.remove(0));
        assert_eq!(freeing.owed_bytes(), 7);
    }
}
