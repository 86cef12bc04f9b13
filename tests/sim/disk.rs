//! What a machine keeps when its process dies, and what of that a power cut takes.

use highwater::state::stream::NewId;

/// Ids of a history: the one in force, and the one before with the offset up to which it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) id: String,
    pub(crate) former: Option<(String, u64)>,
}

/// One thing appended to the log, in order. Whole ones survive, or none of it.
#[derive(Debug, Clone)]
enum Mark {
    /// A batch that ends at this offset.
    Batch(u64),
    /// From here on the history has other ids.
    Ids(Ids),
}

/// The log: the stream from offset 0 on. It is never rewritten here, so that logs can be compared byte by byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// How many of the marks are on disk for good.
    synced: usize,
}

impl Log {
    /// An empty log of a history.
    pub(crate) fn new(id: String) -> Self {
        Self::copied(Vec::new(), id)
    }

    /// A log that holds a copy of somebody's, synced.
    pub(crate) fn copied(bytes: Vec<u8>, id: String) -> Self {
        let end = bytes.len() as u64;
        let marks = vec![Mark::Batch(end), Mark::Ids(Ids { id, former: None })];
        Self { bytes, marks, synced: 2 }
    }

    pub(crate) fn end(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Appends what a node has for its log.
    pub(crate) fn append(&mut self, bytes: &[u8], new_ids: &[NewId]) {
        let mut done = 0;
        for new in new_ids {
            self.batch(&bytes[done..new.at]);
            done = new.at;
            self.ids(Ids { id: new.id.clone(), former: new.former.clone() });
        }
        self.batch(&bytes[done..]);
    }

    fn batch(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes.extend_from_slice(bytes);
            self.marks.push(Mark::Batch(self.end()));
        }
    }

    /// The history has other ids from here on.
    pub(crate) fn ids(&mut self, ids: Ids) {
        self.marks.push(Mark::Ids(ids));
    }

    /// A sync that begins now covers so much.
    pub(crate) fn sync_begins(&self) -> usize {
        self.marks.len()
    }

    /// It has ended.
    pub(crate) fn sync_ends(&mut self, marks: usize) {
        self.synced = self.synced.max(marks.min(self.marks.len()));
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.synced == self.marks.len()
    }

    /// Up to which offset the log is on disk for good.
    pub(crate) fn durable(&self) -> u64 {
        self.end_of(self.synced)
    }

    fn end_of(&self, marks: usize) -> u64 {
        let ends = self.marks[..marks].iter().rev();
        ends.filter_map(|mark| if let Mark::Batch(end) = mark { Some(*end) } else { None })
            .next()
            .unwrap_or(0)
    }

    /// The power is cut: of what was not synced some whole batches stay, in order.
    pub(crate) fn cut(&mut self, rng: &mut fastrand::Rng) {
        let kept = rng.usize(self.synced..=self.marks.len());
        self.truncate(kept);
    }

    fn truncate(&mut self, marks: usize) {
        let end = self.end_of(marks);
        self.marks.truncate(marks);
        self.synced = self.synced.min(marks);
        self.bytes.truncate(usize::try_from(end).expect("small"));
    }

    /// Somebody has put an older copy of the log in its place.
    pub(crate) fn roll_back(&mut self, rng: &mut fastrand::Rng) {
        let kept = rng.usize(2.min(self.marks.len())..=self.marks.len());
        self.truncate(kept);
        self.synced = self.marks.len();
    }

    /// The ids in force at its end.
    pub(crate) fn lineage(&self) -> Ids {
        let mut marks = self.marks.iter().rev();
        let found = marks.find_map(|mark| match mark {
            Mark::Ids(ids) => Some(ids.clone()),
            Mark::Batch(_) => None,
        });
        found.expect("a log begins with its id")
    }
}

/// A disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// `nodes.conf`, synced.
    pub(crate) conf: Option<String>,
    pub(crate) log: Log,
    /// Nothing can be saved.
    pub(crate) is_full: bool,
}
