//! An entry: key, value and everything known about the key, in one allocation behind one thin pointer.
//!
//! ```text
//!   0  tag      u8   kind of value (2 bits), flags
//!   1  marks    u8   one bit per running walk
//!   2  access   u24  LRU clock or LFU counter
//!   5  embedded u8   length of an embedded string
//!   6  key_len  u16  (LONG_KEY: the word below counts instead)
//!   8  expiry   u64  milliseconds since 1970, only with HAS_EXPIRY
//!   +  key_len  u64  only with LONG_KEY
//!   +  value    u64  integer or pointer; absent for embedded strings; the whole [`Object`] of a collection
//!   +  key bytes
//!   +  bytes of an embedded string
//! ```
//!
//! A key of 16 bytes with a string of 32 takes one allocation of 56 bytes and 8 for the pointer. Separate
//! boxes for key and value, each with length and capacity, would take twice as much. This is the only module of
//! the keyspace with `unsafe`; all offsets are computed in one place, [`Entry::offset`], from the header.

#![expect(
    unsafe_code,
    reason = "a thin pointer to a header with bytes behind it; halves the memory per key"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::value::{Value, ValueRef};
use crate::alloc::{arc_bytes, size_class};
use crate::prefetch::{LINE, prefetch};
use crate::types::Object;

/// Longest string kept inside the entry; longer ones are shared with walks and replies.
pub const EMBEDDED_BYTES_MAX: usize = 255;

const KIND_MASK: u8 = 0b11;
const EMBEDDED: u8 = 0;
const INTEGER: u8 = 1;
const SHARED: u8 = 2;
const OBJECT: u8 = 3;
const HAS_EXPIRY: u8 = 1 << 2;
const RAW: u8 = 1 << 3;
const LONG_KEY: u8 = 1 << 4;

const WORD: usize = 8;
const ALIGN: usize = 8;

// The value is an integer or one of these.
const _: () = assert!(size_of::<Arc<Vec<u8>>>() <= WORD && align_of::<Arc<Vec<u8>>>() <= ALIGN);
const _: () = assert!(size_of::<Object>() <= 3 * WORD && align_of::<Object>() <= ALIGN);
const _: () = assert!(size_of::<Header>() == 8 && align_of::<Header>() <= ALIGN);
const _: () = assert!(size_of::<Option<Entry>>() == 8);

#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    tag: u8,
    marks: u8,
    access: [u8; 3],
    embedded: u8,
    key_len: u16,
}

/// A key with its value. Eight bytes, and so is an `Option` of it.
pub struct Entry {
    block: NonNull<Header>,
}

// SAFETY: the entry owns its allocation alone, and what it holds in it (bytes, integers, `Arc`s of `Send + Sync`
// types) may move to and be read from other threads.
unsafe impl Send for Entry {}
// SAFETY: as above; nothing changes behind a shared reference.
unsafe impl Sync for Entry {}

impl Entry {
    /// A new entry without marks and with access clock 0. Strings up to [`EMBEDDED_BYTES_MAX`] are copied
    /// into it, longer ones into a buffer of their own.
    pub fn new(key: &[u8], value: Value<'_>, expiry_ms: Option<u64>) -> Entry {
        let kind = match &value {
            Value::Str(bytes) if bytes.len() <= EMBEDDED_BYTES_MAX => EMBEDDED,
            Value::Str(_) | Value::Shared(_) => SHARED,
            Value::Int(_) => INTEGER,
            Value::Object(_) => OBJECT,
        };
        let embedded: &[u8] = match &value {
            Value::Str(bytes) if kind == EMBEDDED => bytes,
            _ => &[],
        };
        let expiry_flag = if expiry_ms.is_some() { HAS_EXPIRY } else { 0 };
        let (key_len, long_flag) = match u16::try_from(key.len()) {
            Ok(length) => (length, 0),
            Err(_) => (0, LONG_KEY),
        };
        let header = Header {
            tag: kind | expiry_flag | long_flag,
            marks: 0,
            access: [0; 3],
            embedded: u8::try_from(embedded.len()).expect("embedded strings are short"),
            key_len,
        };
        let mut entry = Entry::allocate(header, key.len());
        if let Some(when) = expiry_ms {
            entry.write_word(WORD, when);
        }
        if long_flag != 0 {
            entry.write_word(entry.long_key_offset(), key.len() as u64);
        }
        match value {
            Value::Str(bytes) if kind == SHARED => {
                entry.write_value(Arc::new(bytes.to_vec()));
            }
            Value::Shared(bytes) => entry.write_value(bytes),
            Value::Object(object) => entry.write_value(object),
            Value::Int(number) => entry.write_word(entry.value_offset(), number.cast_unsigned()),
            Value::Str(_) => {}
        }
        entry.write_bytes(entry.key_offset(), key);
        let embedded_at = entry.key_offset() + key.len();
        entry.write_bytes(embedded_at, embedded);
        entry
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        self.bytes(self.key_offset(), self.key_len())
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        match self.kind() {
            EMBEDDED => ValueRef::Str(self.embedded()),
            INTEGER => ValueRef::Int(self.read_word(self.value_offset()).cast_signed()),
            SHARED => ValueRef::Str(self.string().as_slice()),
            _ => ValueRef::Object(self.object()),
        }
    }

    /// The value as something that can be put into another entry or given to a walk: large strings and
    /// objects are shared, not copied.
    pub fn share(&self) -> Value<'_> {
        match self.kind() {
            EMBEDDED => Value::Str(self.embedded()),
            INTEGER => Value::Int(self.read_word(self.value_offset()).cast_signed()),
            SHARED => Value::Shared(Arc::clone(self.string())),
            _ => Value::Object(self.object().clone()),
        }
    }

    /// The buffer of a string too long to be embedded, for replies that go out without copying it.
    pub fn shared_string(&self) -> Option<&Arc<Vec<u8>>> {
        (self.kind() == SHARED).then(|| self.string())
    }

    /// Whether the value is a collection.
    #[inline]
    pub fn is_object(&self) -> bool {
        self.kind() == OBJECT
    }

    /// Whether this string was changed in place, which OBJECT ENCODING shows as `raw` at any length.
    #[inline]
    pub fn is_raw(&self) -> bool {
        self.header().tag & RAW != 0
    }

    /// When the key expires, in milliseconds since 1970.
    #[inline]
    pub fn expiry_ms(&self) -> Option<u64> {
        (self.header().tag & HAS_EXPIRY != 0).then(|| self.read_word(WORD))
    }

    /// Sets or takes away the expiry. Allocates anew when the word for it comes or goes and the entry then falls into
    /// another size class.
    pub fn set_expiry(&mut self, expiry_ms: Option<u64>) {
        if !self.make_room_for_expiry(expiry_ms.is_some()) {
            self.move_for_expiry();
        }
        if let Some(when) = expiry_ms {
            self.write_word(WORD, when);
        }
    }

    /// Replaces the value; key, expiry, marks and access clock stay. A string is no longer raw.
    pub fn set_value(&mut self, value: Value<'_>) {
        match value {
            Value::Int(number) if self.kind() == INTEGER => {
                self.write_word(self.value_offset(), number.cast_unsigned());
            }
            Value::Str(bytes) if self.fits_in_place(bytes) => {
                let at = self.key_offset() + self.key_len();
                self.header_mut().embedded = u8::try_from(bytes.len()).expect("it fits");
                self.write_bytes(at, bytes);
            }
            Value::Str(bytes) if self.kind() == SHARED && bytes.len() > EMBEDDED_BYTES_MAX => {
                replace_string(self.string_slot(), bytes);
            }
            Value::Shared(bytes) if self.kind() == SHARED => *self.string_slot() = bytes,
            Value::Object(object) if self.kind() == OBJECT => *self.object_slot() = object,
            value => {
                let expiry_ms = self.expiry_ms();
                self.rebuild(|entry| Entry::new(entry.key(), value, expiry_ms));
                return;
            }
        }
        self.header_mut().tag &= !RAW;
    }

    /// The string as a buffer that can grow, for APPEND, SETRANGE and SETBIT: growing it byte by byte does not
    /// copy it each time. An embedded string or integer moves out into a buffer first; one that a walk or a reply
    /// still reads is copied. The string is raw from now on. `None` if the value is not a string.
    pub fn string_mut(&mut self) -> Option<&mut Vec<u8>> {
        if self.kind() == OBJECT {
            return None;
        }
        if self.kind() != SHARED {
            let bytes = self.value().to_string_bytes().expect("not an object").into_owned();
            let expiry_ms = self.expiry_ms();
            let value = Value::Shared(Arc::new(bytes));
            self.rebuild(|entry| Entry::new(entry.key(), value, expiry_ms));
        }
        self.header_mut().tag |= RAW;
        Some(Arc::make_mut(self.string_slot()))
    }

    /// The collection, to be changed. `None` if the value is a string.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        (self.kind() == OBJECT).then(|| self.object_slot())
    }

    /// The same value under another key: expiry, rawness and access clock come along, marks do not.
    pub fn copy_as(&self, key: &[u8]) -> Entry {
        let mut copy = Entry::new(key, self.share(), self.expiry_ms());
        copy.header_mut().access = self.header().access;
        copy.header_mut().tag |= self.header().tag & RAW;
        copy
    }

    /// Bytes of memory, rounded as the allocator rounds, without what a collection holds.
    #[inline]
    pub fn own_bytes(&self) -> usize {
        let heap = match self.kind() {
            SHARED => arc_bytes::<Vec<u8>>() + size_class(self.string().capacity()),
            _ => 0,
        };
        self.layout().size() + heap
    }

    /// All bytes of memory, rounded as the allocator rounds. May walk through a collection.
    pub fn memory_usage(&self) -> usize {
        self.own_bytes()
            + if let ValueRef::Object(object) = self.value() { object.memory_usage() } else { 0 }
    }

    /// The marks of running walks, one bit each.
    #[inline]
    pub(super) fn marks(&self) -> u8 {
        self.header().marks
    }

    #[inline]
    pub(super) fn set_marks(&mut self, marks: u8) {
        self.header_mut().marks = marks;
    }

    /// The 24 bits of the access clock; what they mean is up to `access`.
    #[inline]
    pub fn access(&self) -> u32 {
        let [a, b, c] = self.header().access;
        u32::from_le_bytes([a, b, c, 0])
    }

    /// Sets the access clock to the low 24 bits of `clock`. Leaves the memory alone if it is there already.
    #[inline]
    pub fn set_access(&mut self, clock: u32) {
        let [a, b, c, _] = clock.to_le_bytes();
        if self.header().access != [a, b, c] {
            self.header_mut().access = [a, b, c];
        }
    }

    /// Asks the processor to fetch the entry, for loops that will look at it soon: header and key, and the line behind them,
    /// where an embedded string goes on.
    #[inline]
    pub(super) fn prefetch(&self) {
        let start = self.block.as_ptr().cast::<u8>();
        prefetch(start);
        prefetch(start.wrapping_add(LINE));
    }
}

/// Replaces a long string: in its own buffer, if nobody else reads it and the size is about right.
fn replace_string(string: &mut Arc<Vec<u8>>, bytes: &[u8]) {
    match Arc::get_mut(string) {
        Some(buffer) if (buffer.capacity() / 2..=buffer.capacity()).contains(&bytes.len()) => {
            buffer.clear();
            buffer.extend_from_slice(bytes);
        }
        _ => *string = Arc::new(bytes.to_vec()),
    }
}

/// What a value of this kind takes in front of the key.
#[inline]
const fn value_bytes(kind: u8) -> usize {
    match kind {
        EMBEDDED => 0,
        OBJECT => size_of::<Object>(),
        _ => WORD,
    }
}

/// Layout: everything from here on knows where things lie.
impl Entry {
    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: `block` points to an initialized header for as long as the entry lives.
        unsafe { self.block.as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above, and the entry is borrowed exclusively.
        unsafe { self.block.as_mut() }
    }

    #[inline]
    fn kind(&self) -> u8 {
        self.header().tag & KIND_MASK
    }

    #[inline]
    fn long_key_offset(&self) -> usize {
        WORD + if self.header().tag & HAS_EXPIRY != 0 { WORD } else { 0 }
    }

    #[inline]
    fn value_offset(&self) -> usize {
        self.long_key_offset() + if self.header().tag & LONG_KEY != 0 { WORD } else { 0 }
    }

    #[inline]
    fn key_offset(&self) -> usize {
        self.value_offset() + value_bytes(self.kind())
    }

    #[inline]
    fn key_len(&self) -> usize {
        if self.header().tag & LONG_KEY == 0 {
            return usize::from(self.header().key_len);
        }
        usize::try_from(self.read_word(self.long_key_offset())).expect("it was a usize")
    }

    #[inline]
    fn embedded(&self) -> &[u8] {
        let at = self.key_offset() + self.key_len();
        self.bytes(at, usize::from(self.header().embedded))
    }

    /// The allocation: rounded up to a size class, so that strings of similar length replace one another in place.
    #[inline]
    fn layout(&self) -> Layout {
        Entry::layout_for(self.total_bytes())
    }

    #[inline]
    fn total_bytes(&self) -> usize {
        self.key_offset() + self.key_len() + usize::from(self.header().embedded)
    }

    #[inline]
    fn layout_for(bytes: usize) -> Layout {
        Layout::from_size_align(size_class(bytes), ALIGN)
            .expect("keys are far below half the memory")
    }

    /// Makes the word for the expiry come or go by moving everything behind it. `false` if the block is too small for
    /// that, or larger than it would be.
    fn make_room_for_expiry(&mut self, wanted: bool) -> bool {
        let present = self.header().tag & HAS_EXPIRY != 0;
        if present == wanted {
            return true;
        }
        let bytes = self.total_bytes();
        let (source, target) = if wanted { (WORD, 2 * WORD) } else { (2 * WORD, WORD) };
        if Entry::layout_for(bytes + target - source) != self.layout() {
            return false;
        }
        // SAFETY: both ranges lie within the block: it is as large as the larger of the two totals asks for. What
        // moves is plain bytes, integers, `Arc`s and an `Object`, which may be moved.
        unsafe { ptr::copy(self.at(source), self.at(target), bytes - source) };
        self.header_mut().tag ^= HAS_EXPIRY;
        true
    }

    fn fits_in_place(&self, bytes: &[u8]) -> bool {
        self.kind() == EMBEDDED
            && bytes.len() <= EMBEDDED_BYTES_MAX
            && Entry::layout_for(self.key_offset() + self.key_len() + bytes.len()) == self.layout()
    }

    /// Memory for `header` and what it says follows; the rest of it is not initialized yet.
    fn allocate(header: Header, key_len: usize) -> Entry {
        let words =
            1 + usize::from(header.tag & HAS_EXPIRY != 0) + usize::from(header.tag & LONG_KEY != 0);
        let fixed = words * WORD + value_bytes(header.tag & KIND_MASK);
        let layout = Entry::layout_for(fixed + key_len + usize::from(header.embedded));
        // SAFETY: the size is at least that of the header, so never zero.
        let block = unsafe { alloc(layout) }.cast::<Header>();
        let Some(block) = NonNull::new(block) else { handle_alloc_error(layout) };
        // SAFETY: the block is large enough and aligned for a header, and nobody else knows it.
        unsafe { block.write(header) };
        Entry { block }
    }

    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: callers stay within the layout that the header describes, which is one allocation.
        unsafe { self.block.as_ptr().cast::<u8>().add(offset) }
    }

    #[inline]
    fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        // SAFETY: only key and embedded string are read this way, both initialized by `new` with these lengths
        // and changed only through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.at(offset), length) }
    }

    #[inline]
    fn write_bytes(&mut self, offset: usize, bytes: &[u8]) {
        // SAFETY: the layout has room for `bytes` at `offset` (the header was set first); they cannot overlap because
        // the entry is borrowed exclusively.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(offset), bytes.len()) };
    }

    #[inline]
    fn read_word(&self, offset: usize) -> u64 {
        // SAFETY: the header says that there is a word at `offset`; words are aligned and initialized by `new`.
        unsafe { self.at(offset).cast::<u64>().read() }
    }

    #[inline]
    fn write_word(&mut self, offset: usize, word: u64) {
        // SAFETY: the header says that there is a word at `offset`, aligned.
        unsafe { self.at(offset).cast::<u64>().write(word) };
    }

    fn write_value<T>(&mut self, value: T) {
        // SAFETY: the header says that there is a value of this type; its place holds nothing that would have to be dropped.
        unsafe { self.at(self.value_offset()).cast::<T>().write(value) };
    }

    /// The place of the value.
    #[inline]
    fn value_at<T>(&self, kind: u8) -> *mut T {
        assert_eq!(self.kind(), kind, "kind of value");
        self.at(self.value_offset()).cast::<T>()
    }

    #[inline]
    fn string(&self) -> &Arc<Vec<u8>> {
        // SAFETY: SHARED entries hold an `Arc<Vec<u8>>`, and the kind has been checked.
        unsafe { &*self.value_at(SHARED) }
    }

    #[inline]
    fn string_slot(&mut self) -> &mut Arc<Vec<u8>> {
        // SAFETY: as above, and the entry is borrowed exclusively.
        unsafe { &mut *self.value_at(SHARED) }
    }

    #[inline]
    fn object(&self) -> &Object {
        // SAFETY: OBJECT entries hold an `Object`, and the kind has been checked.
        unsafe { &*self.value_at(OBJECT) }
    }

    #[inline]
    fn object_slot(&mut self) -> &mut Object {
        // SAFETY: as above, and the entry is borrowed exclusively.
        unsafe { &mut *self.value_at(OBJECT) }
    }

    /// Moves into another block, which has a word for the expiry if this one has none, and none if it has.
    fn move_for_expiry(&mut self) {
        let header = Header { tag: self.header().tag ^ HAS_EXPIRY, ..*self.header() };
        let mut next = Entry::allocate(header, self.key_len());
        if header.tag & LONG_KEY != 0 {
            next.write_word(next.long_key_offset(), self.key_len() as u64);
        }
        let (from, to) = (self.value_offset(), next.value_offset());
        // SAFETY: value, key and embedded string lie behind one another in both blocks, and both headers say the same of them.
        // The value moves: the old block is given back without dropping it.
        unsafe { ptr::copy_nonoverlapping(self.at(from), next.at(to), self.total_bytes() - from) };
        let old = ManuallyDrop::new(std::mem::replace(self, next));
        // SAFETY: the block was allocated with this layout and is not used any more.
        unsafe { dealloc(old.block.as_ptr().cast(), old.layout()) };
    }

    /// Puts what `build` makes of this entry in its place, with its marks and access clock.
    fn rebuild(&mut self, build: impl FnOnce(&Entry) -> Entry) {
        let mut next = build(self);
        let old = *self.header();
        next.header_mut().marks = old.marks;
        next.header_mut().access = old.access;
        *self = next;
    }

    /// Drops what the value word holds.
    fn drop_value(&mut self) {
        match self.kind() {
            // SAFETY: the word holds an initialized `Arc` of this type, and is not read again.
            SHARED => unsafe { ptr::drop_in_place(self.string_slot()) },
            // SAFETY: as above.
            OBJECT => unsafe { ptr::drop_in_place(self.object_slot()) },
            _ => {}
        }
    }

    /// The value, with the entry's memory given back.
    pub(super) fn into_shared(self) -> Option<SharedValue> {
        let entry = ManuallyDrop::new(self);
        let value = match entry.kind() {
            // SAFETY: the `Arc` is read once and not dropped by the entry, which is forgotten.
            SHARED => Some(SharedValue::String(unsafe { ptr::read(entry.string()) })),
            // SAFETY: as above.
            OBJECT => Some(SharedValue::Object(unsafe { ptr::read(entry.object()) })),
            _ => None,
        };
        // SAFETY: the block was allocated with this layout and is not used any more.
        unsafe { dealloc(entry.block.as_ptr().cast(), entry.layout()) };
        value
    }
}

/// The part of a value that lives outside of its entry.
#[derive(Debug)]
pub(super) enum SharedValue {
    /// A long string.
    String(Arc<Vec<u8>>),
    /// A collection.
    Object(Object),
}

impl Drop for Entry {
    fn drop(&mut self) {
        let layout = self.layout();
        self.drop_value();
        // SAFETY: the block was allocated with this layout (`set_value` changes lengths only within it).
        unsafe { dealloc(self.block.as_ptr().cast(), layout) };
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("value", &self.value())
            .field("expiry_ms", &self.expiry_ms())
            .field("marks", &self.marks())
            .finish()
    }
}

#[cfg(test)]
mod tests;
