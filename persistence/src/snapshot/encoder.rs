//! Encodes one value: events in, type byte and payload out.
//!
//! Which form a collection takes depends on all of its elements, and those come one by one. So the first ones are
//! held back in packed form; when one comes that does not fit the packed form, or one too many, all are written in
//! the plain form, and the rest follows directly. What is held back is bounded by the thresholds.

mod blocks;

use super::encoding::{
    IntsetWriter, Item, Listpack, ListpackWriter, encoded_bytes, parse_integer, push_integer,
    push_score,
};
use super::format::{VERSION_DEFAULT, container, kind};
use super::primitive::{StringWriter, push_length};
use super::stream_encoder::StreamEncoder;
use super::{Event, SnapshotError, Thresholds};

/// How values are encoded.
#[derive(Debug, Clone)]
pub struct EncoderOptions {
    /// Format version: 10 (Redis 7.0 and later read it), 11 (7.2), or 12 (7.4, for hashes whose fields expire).
    pub version: u32,
    /// Whether strings are compressed where that saves space (`rdbcompression`).
    pub compress: bool,
    /// When collections are packed.
    pub thresholds: Thresholds,
    /// Before version 12 a hash is written in the form that has a place for the expiry of its fields (which servers before
    /// 7.4 refuse) only if a field that expires comes among the first ones. This is what happens to the expiry of one that
    /// comes too late: the field is written without it if this is set, otherwise the value is refused.
    pub drop_field_expiry: bool,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self {
            version: VERSION_DEFAULT,
            compress: true,
            thresholds: Thresholds::default(),
            drop_field_expiry: false,
        }
    }
}

/// A list of known length is written element by element once this much of it has been held back.
const LIST_HELD_BYTES: usize = 1024 * 1024;
/// Elements from this size on get a list node of their own, unpacked.
const LIST_PLAIN_BYTES: usize = LISTPACK_BYTES_MAX;
/// Servers refuse listpacks longer than this, whatever the thresholds say.
pub(crate) const LISTPACK_BYTES_MAX: usize = 1 << 30;

enum Form {
    /// Waiting for a value.
    Idle,
    /// The value is complete.
    Complete,
    /// Elements are appended as they come. Without `left` the count is filled in at the end.
    Plain {
        left: Option<u64>,
        count: u64,
    },
    List {
        len: Option<u64>,
        count: u64,
        /// Finished nodes: container and content.
        nodes: Vec<(u64, Vec<u8>)>,
        held_bytes: usize,
    },
    Intset {
        len: Option<u64>,
    },
    SetListpack {
        len: Option<u64>,
    },
    HashListpack {
        len: Option<u64>,
    },
    /// Members and their scores, in the order they came.
    ZsetListpack {
        len: Option<u64>,
        members: Vec<(f64, Vec<u8>)>,
        held_bytes: usize,
    },
    Stream(Box<StreamEncoder>),
    /// Nodes of a list or stream, appended as they come.
    Nodes {
        of_stream: bool,
        left: u64,
    },
}

/// Encodes values, one after the other, into a buffer of its own.
///
/// ```
/// use highwater_persistence::snapshot::{EncoderOptions, Event, ValueEncoder};
///
/// let mut encoder = ValueEncoder::new(&EncoderOptions::default());
/// encoder.put(Event::ListBegin { len: Some(1) })?;
/// encoder.put(Event::ListItem(b"a"))?;
/// encoder.put(Event::ValueEnd)?;
/// assert_eq!(encoder.record()[0], 18, "a quicklist of listpacks");
/// # Ok::<(), highwater_persistence::snapshot::SnapshotError>(())
/// ```
pub struct ValueEncoder {
    options: EncoderOptions,
    form: Form,
    output: Vec<u8>,
    strings: StringWriter,
    listpack: ListpackWriter,
    intset: IntsetWriter,
    /// The hash that has begun is written with the expiry of its fields.
    timed: bool,
}

/// A plain collection of unknown length has this in place of its count until the end: nine bytes.
const COUNT_PLACEHOLDER: [u8; 9] = [super::format::length::BITS_64, 0, 0, 0, 0, 0, 0, 0, 0];

fn unwritable(problem: impl Into<String>) -> SnapshotError {
    SnapshotError::Unwritable { problem: problem.into() }
}

fn out_of_order() -> SnapshotError {
    unwritable("an event that does not continue the value")
}

fn within(len: Option<u64>, max: u64) -> bool {
    len.is_none_or(|len| len <= max)
}

impl ValueEncoder {
    /// An encoder that waits for its first value.
    #[must_use]
    pub fn new(options: &EncoderOptions) -> Self {
        Self {
            options: options.clone(),
            form: Form::Idle,
            output: Vec::new(),
            strings: StringWriter::new(options.compress),
            listpack: ListpackWriter::new(),
            intset: IntsetWriter::default(),
            timed: false,
        }
    }

    /// What has been encoded and not been taken: type byte and payload, when the value is complete.
    #[must_use]
    pub fn record(&self) -> &[u8] {
        &self.output
    }

    /// Whether the value is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.form, Form::Complete)
    }

    /// Whether no value has begun.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.form, Form::Idle)
    }

    /// Forgets the value, so that the next one can begin; the memory stays.
    pub fn clear(&mut self) {
        self.form = Form::Idle;
        self.output.clear();
        self.listpack.clear();
        self.intset.clear();
    }

    /// The complete record; the encoder is ready for the next value.
    pub fn take_record(&mut self) -> Vec<u8> {
        let record = std::mem::take(&mut self.output);
        self.clear();
        record
    }

    /// The part of an incomplete record that will not change any more; it is forgotten by [`Self::drained`].
    pub(crate) fn drainable(&self) -> &[u8] {
        match self.form {
            Form::Complete | Form::Plain { left: Some(_), .. } | Form::Nodes { .. } => &self.output,
            _ => &[],
        }
    }

    /// Forgets what [`Self::drainable`] lent.
    pub(crate) fn drained(&mut self) {
        self.output.clear();
    }

    /// Takes the next event of the value.
    ///
    /// # Errors
    /// `Unwritable` if the event does not belong there, or says something the version has no place for. The
    /// encoder must then be cleared.
    pub fn put(&mut self, event: Event<'_>) -> Result<(), SnapshotError> {
        match event {
            Event::String(value) if matches!(self.form, Form::Idle) => {
                self.output.push(kind::STRING);
                self.strings.push(value, &mut self.output);
                self.form = Form::Complete;
                Ok(())
            }
            // The end of a string is no news.
            Event::ValueEnd if self.is_complete() => Ok(()),
            Event::ValueEnd => self.finish(),
            Event::ListItem(item) => self.list_item(item),
            Event::SetMember(member) => self.set_member(member),
            Event::HashField { field, value, expires_ms } => {
                self.hash_field(field, value, expires_ms)
            }
            Event::ZsetMember { member, score } => self.zset_member(member, score),
            Event::Packed { shape, bytes } if matches!(self.form, Form::Idle) => {
                self.packed(shape, bytes)
            }
            event if matches!(self.form, Form::Nodes { .. }) => self.node(event),
            event if matches!(self.form, Form::Idle) => self.begin(&event),
            event => match &mut self.form {
                Form::Stream(stream) => stream.put(event),
                _ => Err(out_of_order()),
            },
        }
    }

    fn begin(&mut self, event: &Event<'_>) -> Result<(), SnapshotError> {
        let limits = &self.options.thresholds;
        match *event {
            Event::ListBegin { len } => {
                self.form = Form::List { len, count: 0, nodes: Vec::new(), held_bytes: 0 };
            }
            Event::SetBegin { len } if within(len, limits.set_intset_entries_max) => {
                self.form = Form::Intset { len };
            }
            Event::SetBegin { len } if self.sets_can_be_listpacks(len) => {
                self.form = Form::SetListpack { len };
            }
            Event::SetBegin { len } => self.begin_plain(kind::SET, len),
            // Whether it fits, and whether its fields expire, is seen from the first field on.
            Event::HashBegin { len } => {
                self.timed = self.options.version >= FIELD_EXPIRY_SINCE;
                self.form = Form::HashListpack { len };
            }
            Event::ZsetBegin { len } if within(len, limits.zset_entries_max) => {
                self.form = Form::ZsetListpack { len, members: Vec::new(), held_bytes: 0 };
            }
            Event::ZsetBegin { len } => self.begin_plain(kind::ZSET_2, len),
            Event::StreamBegin => {
                let stream = StreamEncoder::new(self.options.version, &self.options.thresholds);
                self.form = Form::Stream(Box::new(stream));
            }
            Event::ListNodes { nodes } => self.begin_nodes(false, nodes),
            Event::StreamNodes { nodes } => self.begin_nodes(true, nodes),
            _ => return Err(out_of_order()),
        }
        Ok(())
    }

    fn begin_plain(&mut self, code: u8, len: Option<u64>) {
        debug_assert!(self.output.is_empty());
        self.output.push(code);
        match len {
            Some(len) => push_length(len, &mut self.output),
            None => self.output.extend_from_slice(&COUNT_PLACEHOLDER),
        }
        self.form = Form::Plain { left: len, count: 0 };
    }

    fn begin_plain_hash(&mut self, len: Option<u64>) {
        if !self.timed {
            return self.begin_plain(kind::HASH, len);
        }
        self.begin_plain(kind::HASH_METADATA, len);
        // The earliest expiry from which the fields' count; 1 makes the fields' numbers the times themselves.
        self.output.splice(1..1, 1_u64.to_le_bytes());
    }

    /// Counts an element of a plain collection.
    fn count_plain(&mut self) -> Result<(), SnapshotError> {
        let Form::Plain { left, count } = &mut self.form else { return Err(out_of_order()) };
        if let Some(left) = left {
            *left = left.checked_sub(1).ok_or_else(|| unwritable("more elements than said"))?;
        }
        *count += 1;
        Ok(())
    }

    fn list_item(&mut self, item: &[u8]) -> Result<(), SnapshotError> {
        let Form::List { len, count, nodes, held_bytes } = &mut self.form else {
            self.count_plain()?;
            self.strings.push(item, &mut self.output);
            return Ok(());
        };
        let bytes = self.listpack.bytes() + encoded_bytes(item);
        let plain = item.len() >= LIST_PLAIN_BYTES;
        let fits = self.options.thresholds.list_node_fits(self.listpack.count() + 1, bytes);
        if self.listpack.count() > 0 && (plain || !fits) {
            nodes.push((container::PACKED, self.listpack.finish().to_vec()));
            self.listpack.clear();
        }
        *count += 1;
        *held_bytes += item.len() + 2;
        if plain {
            nodes.push((container::PLAIN, item.to_vec()));
        } else {
            self.listpack.push(item);
        }
        if *held_bytes > LIST_HELD_BYTES && len.is_some() {
            return self.spill_list();
        }
        Ok(())
    }

    /// Goes over to writing a list element by element.
    fn spill_list(&mut self) -> Result<(), SnapshotError> {
        let Form::List { len, nodes, .. } = std::mem::replace(&mut self.form, Form::Idle) else {
            return Err(out_of_order());
        };
        let last = self.listpack.finish().to_vec();
        self.listpack.clear();
        self.begin_plain(kind::LIST, len);
        for (form, node) in nodes.into_iter().chain([(container::PACKED, last)]) {
            if form == container::PLAIN {
                self.list_item(&node)?;
            } else {
                for_each(&node, |item| self.list_item(item))?;
            }
        }
        Ok(())
    }

    fn sets_can_be_listpacks(&self, len: Option<u64>) -> bool {
        self.options.version >= SET_LISTPACK_SINCE
            && within(len, self.options.thresholds.set_entries_max)
    }

    fn set_member(&mut self, member: &[u8]) -> Result<(), SnapshotError> {
        let limits = self.options.thresholds;
        match &self.form {
            Form::Intset { len } => {
                let len = *len;
                let count = self.intset.values().len() as u64;
                if let Some(value) = parse_integer(member)
                    && count < limits.set_intset_entries_max
                {
                    self.intset.push(value);
                    return Ok(());
                }
                self.spill_intset(len, count)?;
                self.set_member(member)
            }
            Form::SetListpack { len } => {
                let len = *len;
                let small = member.len() <= limits.set_value_bytes_max
                    && self.listpack_has_room(member.len());
                if small && self.listpack.count() < limits.set_entries_max {
                    self.listpack.push(member);
                    return Ok(());
                }
                let held = self.listpack.finish().to_vec();
                self.listpack.clear();
                self.begin_plain(kind::SET, len);
                for_each(&held, |item| self.set_member(item))?;
                self.set_member(member)
            }
            _ => {
                self.count_plain()?;
                self.strings.push(member, &mut self.output);
                Ok(())
            }
        }
    }

    /// Whether `bytes` more bytes may go into the listpack, with what two items cost beside.
    fn listpack_has_room(&self, bytes: usize) -> bool {
        self.listpack.bytes().saturating_add(bytes).saturating_add(20) <= LISTPACK_BYTES_MAX
    }

    /// Goes over from a set of integers to the next wider form.
    fn spill_intset(&mut self, len: Option<u64>, count: u64) -> Result<(), SnapshotError> {
        let values = self.intset.values().to_vec();
        self.intset.clear();
        // One more is about to come.
        if self.sets_can_be_listpacks(len) && count < self.options.thresholds.set_entries_max {
            self.form = Form::SetListpack { len };
        } else {
            self.begin_plain(kind::SET, len);
        }
        let mut text = Vec::new();
        for value in values {
            text.clear();
            push_integer(value, &mut text);
            self.set_member(&text)?;
        }
        Ok(())
    }

    fn hash_field(
        &mut self,
        field: &[u8],
        value: &[u8],
        expires_ms: Option<u64>,
    ) -> Result<(), SnapshotError> {
        self.timed |= expires_ms.is_some() && matches!(self.form, Form::HashListpack { .. });
        let with_expiry = self.timed;
        if expires_ms.is_some() && !with_expiry && !self.options.drop_field_expiry {
            return Err(unwritable("a hash field that expires, behind too many others"));
        }
        let expires_ms = expires_ms.filter(|_| with_expiry);
        if let Form::HashListpack { len } = self.form {
            let limits = &self.options.thresholds;
            let small = field.len().max(value.len()) <= limits.hash_value_bytes_max
                && self.listpack_has_room(field.len().saturating_add(value.len()));
            let room = within(len, limits.hash_entries_max)
                && self.listpack.count() / 2 < limits.hash_entries_max;
            if small && room && expires_ms.is_none() {
                self.listpack.push(field);
                self.listpack.push(value);
                return Ok(());
            }
            let held = self.listpack.finish().to_vec();
            self.listpack.clear();
            self.begin_plain_hash(len);
            let mut name: Option<Vec<u8>> = None;
            for_each(&held, |item| match name.take() {
                None => {
                    name = Some(item.to_vec());
                    Ok(())
                }
                Some(name) => self.hash_field(&name, item, None),
            })?;
        }
        self.count_plain()?;
        if with_expiry {
            push_length(expires_ms.unwrap_or(0), &mut self.output);
        }
        self.strings.push(field, &mut self.output);
        self.strings.push(value, &mut self.output);
        Ok(())
    }

    fn zset_member(&mut self, member: &[u8], score: f64) -> Result<(), SnapshotError> {
        if score.is_nan() {
            return Err(unwritable("a score that is not a number"));
        }
        if let Form::ZsetListpack { len, members, held_bytes } = &mut self.form {
            let limits = &self.options.thresholds;
            let room = (members.len() as u64) < limits.zset_entries_max;
            // A score takes 26 bytes of text or less.
            *held_bytes = held_bytes.saturating_add(member.len() + 50);
            let small = member.len() <= limits.zset_value_bytes_max;
            if room && small && *held_bytes <= LISTPACK_BYTES_MAX {
                members.push((score, member.to_vec()));
                return Ok(());
            }
            let (len, held) = (*len, std::mem::take(members));
            self.begin_plain(kind::ZSET_2, len);
            for (score, member) in held {
                self.zset_member(&member, score)?;
            }
        }
        self.count_plain()?;
        self.strings.push(member, &mut self.output);
        self.output.extend_from_slice(&score.to_le_bytes());
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SnapshotError> {
        let form = std::mem::replace(&mut self.form, Form::Idle);
        let check = |len: Option<u64>, count: u64| match len {
            Some(len) if len != count => Err(unwritable(format!("{count} of {len} elements"))),
            _ => Ok(()),
        };
        match form {
            Form::Idle | Form::Complete => return Err(out_of_order()),
            Form::Plain { left: Some(left), count } => check(Some(left + count), count)?,
            Form::Plain { left: None, count } => self.fill_in_count(count),
            Form::List { len, count, nodes, .. } => {
                check(len, count)?;
                self.finish_list(nodes);
            }
            Form::Intset { len } => {
                check(len, self.intset.values().len() as u64)?;
                let blob = self.intset.finish();
                self.finish_packed(kind::SET_INTSET, &blob);
            }
            Form::SetListpack { len } => {
                check(len, self.listpack.count())?;
                self.finish_listpack(kind::SET_LISTPACK);
            }
            Form::HashListpack { len } => {
                check(len, self.listpack.count() / 2)?;
                self.finish_listpack(kind::HASH_LISTPACK);
            }
            Form::ZsetListpack { len, members, .. } => {
                check(len, members.len() as u64)?;
                self.finish_zset(members);
            }
            Form::Stream(stream) => stream.finish(&mut self.strings, &mut self.output)?,
            Form::Nodes { of_stream: false, left: 0 } => {}
            Form::Nodes { .. } => return Err(unwritable("fewer nodes than said")),
        }
        self.form = Form::Complete;
        Ok(())
    }

    fn fill_in_count(&mut self, count: u64) {
        let at = if self.output.first() == Some(&kind::HASH_METADATA) { 9 } else { 1 };
        self.output[at + 1..at + COUNT_PLACEHOLDER.len()].copy_from_slice(&count.to_be_bytes());
    }

    fn finish_list(&mut self, mut nodes: Vec<(u64, Vec<u8>)>) {
        if self.listpack.count() > 0 {
            nodes.push((container::PACKED, self.listpack.finish().to_vec()));
        }
        self.output.push(kind::LIST_QUICKLIST_2);
        push_length(nodes.len() as u64, &mut self.output);
        for (form, node) in nodes {
            push_length(form, &mut self.output);
            self.strings.push(&node, &mut self.output);
        }
    }

    fn finish_zset(&mut self, mut members: Vec<(f64, Vec<u8>)>) {
        // Readers rely on the order in this form.
        members.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        let mut text = Vec::new();
        for (score, member) in members {
            self.listpack.push(&member);
            match exact_integer(score) {
                Some(value) => self.listpack.push_integer(value),
                None => {
                    text.clear();
                    push_score(score, &mut text);
                    self.listpack.push(&text);
                }
            }
        }
        self.finish_listpack(kind::ZSET_LISTPACK);
    }

    fn finish_listpack(&mut self, code: u8) {
        self.output.push(code);
        self.strings.push(self.listpack.finish(), &mut self.output);
    }

    fn finish_packed(&mut self, code: u8, blob: &[u8]) {
        self.output.push(code);
        self.strings.push(blob, &mut self.output);
    }
}

/// First version in which sets may be listpacks.
const SET_LISTPACK_SINCE: u32 = 11;
/// First version in which any hash may have fields that expire.
const FIELD_EXPIRY_SINCE: u32 = 12;

/// The integer that `score` is, if the conversion loses nothing (not even the sign of zero).
fn exact_integer(score: f64) -> Option<i64> {
    // Doubles of this size and more are all integers, but not all of them fit.
    const LIMIT: f64 = 4_611_686_018_427_387_904.0;
    if score.fract() != 0.0 || score.abs() >= LIMIT || (score == 0.0 && score.is_sign_negative()) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^62")]
    Some(score as i64)
}

/// Calls `each` with the items of a listpack of our own.
fn for_each(
    blob: &[u8],
    mut each: impl FnMut(&[u8]) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    let mut text = Vec::new();
    let mut cursor = Listpack::open(blob).expect("the writer's listpacks are whole");
    while let Some(item) = cursor.next(blob).expect("the writer's listpacks are whole") {
        match item {
            Item::Int(value) => {
                text.clear();
                push_integer(value, &mut text);
                each(&text)?;
            }
            Item::Bytes { start, len } => each(&blob[start..start + len])?,
        }
    }
    Ok(())
}

impl std::fmt::Debug for ValueEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValueEncoder").field("options", &self.options).finish_non_exhaustive()
    }
}
