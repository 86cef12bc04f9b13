//! The log as the node sees it: replication ids, the offset, and bytes the committer has not taken yet.

use crate::resp::number::push_usize;

/// A point in the pending bytes at which the committer does something between two units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of `pending` before it.
    pub at: usize,
    /// Log offset there.
    pub offset: u64,
    /// Database selected in the stream there, if any.
    pub db: Option<u32>,
}

/// A change of ids between two units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewId {
    /// Bytes of `pending` before it.
    pub at: usize,
    /// Log offset there.
    pub offset: u64,
    /// The new id.
    pub id: String,
    /// The id before, and the offset up to which it is valid.
    pub former: Option<(String, u64)>,
}

/// The stream of effects.
#[derive(Debug)]
pub struct Stream {
    /// Replication id: 40 hex digits.
    pub id: String,
    /// The id before, and the offset up to which it is valid.
    pub former: Option<(String, u64)>,
    /// Whether another node may know of the id. If not, and nothing was written under it, the one before says the same.
    pub is_told: bool,
    /// Offset after the last byte.
    pub end: u64,
    /// Bytes not yet taken: whole execution units, maybe with timestamp lines between them.
    pub pending: Vec<u8>,
    /// Where the log is to go on in another file.
    pub cut: Option<Cut>,
    /// Where in `pending` ids change, in order.
    pub new_ids: Vec<NewId>,
    /// Lines in `pending` that are no part of the stream: start and length.
    pub comments: Vec<(usize, usize)>,
    /// Database selected in the stream; none: the next unit selects.
    pub db: Option<u32>,
    /// Whether anybody takes the bytes. If not, only the offset moves.
    pub recording: bool,
    /// Second of the last timestamp line.
    pub timestamp_s: u64,
}

impl Stream {
    /// An empty history under `id`.
    pub fn new(id: String) -> Self {
        Self {
            id,
            former: None,
            is_told: false,
            end: 0,
            pending: Vec::new(),
            cut: None,
            new_ids: Vec::new(),
            comments: Vec::new(),
            db: None,
            recording: false,
            timestamp_s: 0,
        }
    }

    /// Appends bytes that are part of the stream.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        if self.recording {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// Appends `SELECT db` if the stream is in another database.
    #[inline]
    pub fn select(&mut self, db: u32) {
        if self.db != Some(db) {
            self.append(&select_command(db));
            self.db = Some(db);
        }
    }

    /// Appends a timestamp line if the second has changed; the line is no part of the stream.
    pub fn timestamp(&mut self, now_s: u64) {
        if self.recording && self.timestamp_s != now_s {
            self.timestamp_s = now_s;
            let line = format!("#TS:{now_s}\r\n");
            self.comments.push((self.pending.len(), line.len()));
            self.pending.extend_from_slice(line.as_bytes());
        }
    }

    /// From here on the history has another id; that of the former one is valid up to `common`.
    pub fn change_id(&mut self, id: String, common: u64) {
        let former = std::mem::replace(&mut self.id, id);
        // An id that nobody was told of and under which nothing was written is forgotten: the one before it counts.
        let is_empty = self.former.as_ref().is_some_and(|(_, end)| *end == common);
        if self.is_told || !is_empty {
            self.former = Some((former, common));
        }
        self.is_told = false;
        if self.recording {
            let (id, former) = (self.id.clone(), self.former.clone());
            self.new_ids.push(NewId { at: self.pending.len(), offset: self.end, id, former });
        }
    }

    /// The id to go on with at another node: one that is known there, if any is.
    #[must_use]
    pub fn known_id(&self) -> &str {
        match &self.former {
            Some((id, common)) if !self.is_told && *common == self.end => id,
            _ => &self.id,
        }
    }

    /// What the node holds is no history that anybody has: from here on it has an id with nothing before it.
    pub fn disown(&mut self, id: String) {
        self.change_id(id, 0);
        self.former = None;
        if let Some(new) = self.new_ids.last_mut() {
            new.former = None;
        }
    }

    /// Forgets everything that nobody has taken: the stream goes on elsewhere.
    pub fn forget_pending(&mut self) {
        self.pending = Vec::new();
        self.comments.clear();
        self.new_ids.clear();
        self.cut = None;
    }

    /// Marks that the log goes on in another file from here.
    ///
    /// # Panics
    /// If a cut is still waiting: one rewrite runs at a time.
    pub fn cut_here(&mut self) -> Cut {
        assert!(self.cut.is_none(), "a cut is still waiting at {:?}", self.cut);
        let cut = Cut { at: self.pending.len(), offset: self.end, db: self.db };
        self.cut = Some(cut);
        cut
    }
}

/// `SELECT db` as a RESP array.
pub fn select_command(db: u32) -> Vec<u8> {
    let mut digits = Vec::with_capacity(10);
    push_usize(&mut digits, db as usize);
    crate::resp::inline::encode(&[b"SELECT", &digits[..]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_stream_bytes_only() {
        let mut stream = Stream::new("a".repeat(40));
        stream.recording = true;
        stream.timestamp(7);
        stream.select(0);
        stream.select(0);
        assert_eq!(stream.end, 23);
        assert_eq!(stream.pending, b"#TS:7\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n");
    }

    #[test]
    fn the_offset_moves_without_a_reader() {
        let mut stream = Stream::new("a".repeat(40));
        stream.select(11);
        assert_eq!((stream.end, stream.pending.len()), (24, 0));
    }

    #[test]
    fn an_id_that_nobody_knows_gives_way_to_the_one_before() {
        let mut stream = Stream::new("a".repeat(40));
        stream.select(0);
        assert_eq!(stream.known_id(), "a".repeat(40));
        stream.change_id("b".repeat(40), stream.end);
        assert_eq!(stream.known_id(), "a".repeat(40), "nothing was written since");
        let mut told = Stream { is_told: true, ..Stream::new(String::new()) };
        (told.id, told.former, told.end) = ("b".repeat(40), stream.former.clone(), stream.end);
        assert_eq!(told.known_id(), "b".repeat(40), "somebody may have gone on under it");
        stream.select(1);
        assert_eq!(stream.known_id(), "b".repeat(40), "the history has parted");
    }
}
