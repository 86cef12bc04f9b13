//! Reads one value, in any of its encodings, as events.
//!
//! A value comes in one of four forms: a string; elements one after the other (`Plain`); a whole collection packed
//! into one string (`Packed`); packed nodes, for lists and streams. Elements are checked one by one as they are
//! handed out, so an error can come behind good elements: the consumer then drops what it has built.

use std::io::Read;

use super::encoding::{Corrupt, Item, Packed, parse_score};
use super::format::{container, kind};
use super::source::{Source, Span};
use super::stream_reader::StreamReader;
use super::{EventOf, ModuleId, PackedShape, SnapshotError, Vendor};

/// An event whose bytes are named, not held.
pub(crate) type Token = EventOf<Span>;

/// Forms whose elements stand one after the other.
#[derive(Debug, Clone, Copy)]
enum Plain {
    List,
    Set,
    /// Scores are text.
    ZsetText,
    Zset,
    Hash,
    /// Fields with a lifetime: counted from the hash's earliest (Redis), or on its own as Unix time.
    HashTtlFirst {
        earliest: u64,
    },
    /// As Valkey 9 has it: the expiry, -1 for none, behind the value.
    HashTtlLast,
}

/// What the items of a packed collection mean.
#[derive(Debug, Clone, Copy)]
enum Shape {
    List,
    Set,
    Zset,
    Hash,
    /// Triples: field, value, Unix time in ms or 0.
    HashTtl,
}

impl Shape {
    fn items_per_element(self) -> u64 {
        match self {
            Self::List | Self::Set => 1,
            Self::Zset | Self::Hash => 2,
            Self::HashTtl => 3,
        }
    }
}

enum Stage {
    /// The type byte is known, nothing is read yet.
    Begin {
        code: u8,
    },
    Plain {
        form: Plain,
        left: u64,
    },
    Packed {
        shape: Shape,
        cursor: Packed,
    },
    /// Nodes of a list, handed out as they are.
    Blocks {
        left: u64,
    },
    /// Nodes of a list; `with_container` from Redis 7.0 on.
    Nodes {
        with_container: bool,
        left: u64,
        node: Option<Packed>,
    },
    Stream(Box<StreamReader>),
    /// All is read; `ValueEnd` is due.
    End,
}

/// Reads one value after another.
pub(crate) struct ValueReader {
    vendor: Vendor,
    stage: Stage,
    /// Offset of the type byte.
    began_at: u64,
    /// Collections are handed out in blocks, where they come in blocks of a kind that is still in use.
    blocks: bool,
    /// The packed collection, or node, being read.
    pub(crate) blob: Vec<u8>,
}

impl ValueReader {
    pub(crate) fn new(blocks: bool) -> Self {
        Self { vendor: Vendor::Redis, stage: Stage::End, began_at: 0, blocks, blob: Vec::new() }
    }

    /// Begins a value whose type byte has been read.
    pub(crate) fn begin(&mut self, vendor: Vendor, code: u8, offset: u64) {
        self.vendor = vendor;
        self.stage = Stage::Begin { code };
        self.began_at = offset;
    }

    /// The next event of the value; the last is `ValueEnd`.
    pub(crate) fn next<R: Read>(&mut self, src: &mut Source<R>) -> Result<Token, SnapshotError> {
        match &mut self.stage {
            Stage::Begin { code: kind::STRING } => {
                src.reading("string value");
                let value = src.string()?;
                self.stage = Stage::End;
                Ok(Token::String(value))
            }
            Stage::Begin { code } => {
                let code = *code;
                self.start(code, src)
            }
            Stage::End => Ok(Token::ValueEnd),
            Stage::Plain { left: 0, .. } => self.end(),
            Stage::Plain { form, left } => {
                *left -= 1;
                plain_element(*form, src)
            }
            Stage::Packed { shape, cursor } => {
                match packed_element(*shape, cursor, &self.blob, src)? {
                    Some(token) => Ok(token),
                    None => self.end(),
                }
            }
            Stage::Blocks { left: 0 } => self.end(),
            Stage::Blocks { left } => {
                *left -= 1;
                self.list_node(src)
            }
            Stage::Nodes { .. } => self.list_node_element(src),
            Stage::Stream(stream) => match stream.next(src, &mut self.blob)? {
                Some(token) => Ok(token),
                None => self.end(),
            },
        }
    }

    /// Nothing of the value is left but its end.
    pub(crate) fn pass(&mut self) {
        self.stage = Stage::End;
    }

    /// Vendor, type and offset of the type byte of a value that has just begun; `None` once something of it has been read.
    pub(crate) fn just_begun(&self) -> Option<(Vendor, u8, u64)> {
        match self.stage {
            Stage::Begin { code } => Some((self.vendor, code, self.began_at)),
            _ => None,
        }
    }

    fn end(&mut self) -> Result<Token, SnapshotError> {
        self.stage = Stage::End;
        if self.blob.capacity() > BLOB_KEPT_BYTES {
            self.blob = Vec::new();
        }
        Ok(Token::ValueEnd)
    }

    fn start<R: Read>(&mut self, code: u8, src: &mut Source<R>) -> Result<Token, SnapshotError> {
        if self.blocks
            && let Some(block) = Block::of(code)
        {
            return self.block(&block, src);
        }
        match (self.vendor, code) {
            (_, kind::LIST) => self.plain(Plain::List, "list", src),
            (_, kind::SET) => self.plain(Plain::Set, "set", src),
            (_, kind::ZSET) => self.plain(Plain::ZsetText, "sorted set", src),
            (_, kind::ZSET_2) => self.plain(Plain::Zset, "sorted set", src),
            (_, kind::HASH) => self.plain(Plain::Hash, "hash", src),
            (_, kind::HASH_ZIPMAP) => {
                self.packed(Shape::Hash, Packed::zipmap, "hash (zipmap)", src)
            }
            (_, kind::LIST_ZIPLIST) => {
                self.packed(Shape::List, Packed::ziplist, "list (ziplist)", src)
            }
            (_, kind::SET_INTSET) => self.packed(Shape::Set, Packed::intset, "set (intset)", src),
            (_, kind::ZSET_ZIPLIST) => {
                self.packed(Shape::Zset, Packed::ziplist, "sorted set (ziplist)", src)
            }
            (_, kind::HASH_ZIPLIST) => {
                self.packed(Shape::Hash, Packed::ziplist, "hash (ziplist)", src)
            }
            (_, kind::HASH_LISTPACK) => {
                self.packed(Shape::Hash, Packed::listpack, "hash (listpack)", src)
            }
            (_, kind::ZSET_LISTPACK) => {
                self.packed(Shape::Zset, Packed::listpack, "sorted set (listpack)", src)
            }
            (_, kind::SET_LISTPACK) => {
                self.packed(Shape::Set, Packed::listpack, "set (listpack)", src)
            }
            (_, kind::LIST_QUICKLIST) => self.nodes(false, src),
            (_, kind::LIST_QUICKLIST_2) => self.nodes(true, src),
            (_, kind::STREAM | kind::STREAM_2 | kind::STREAM_3)
            | (Vendor::Redis, kind::STREAM_4 | kind::STREAM_5) => {
                src.reading("stream");
                let nodes = src.length()?;
                src.check_count(nodes, 2)?;
                let stream = StreamReader::new(code, nodes, self.blocks);
                self.stage = Stage::Stream(Box::new(stream));
                Ok(if self.blocks { Token::StreamNodes { nodes } } else { Token::StreamBegin })
            }
            (Vendor::Valkey, kind::HASH_22) => self.plain(Plain::HashTtlLast, "hash", src),
            (Vendor::Redis, kind::HASH_22) => {
                // The hash's earliest expiry was not factored out before the release.
                self.plain(Plain::HashTtlFirst { earliest: 1 }, "hash", src)
            }
            (Vendor::Redis, kind::HASH_METADATA) => {
                src.reading("hash");
                let earliest = u64::from_le_bytes(src.array()?);
                self.plain(Plain::HashTtlFirst { earliest }, "hash", src)
            }
            (Vendor::Redis, kind::HASH_LISTPACK_EX) => {
                src.reading("hash (listpack)");
                let _earliest: [u8; 8] = src.array()?;
                self.packed(Shape::HashTtl, Packed::listpack, "hash (listpack)", src)
            }
            (Vendor::Redis, kind::HASH_LISTPACK_EX_PRE_RELEASE) => {
                self.packed(Shape::HashTtl, Packed::listpack, "hash (listpack)", src)
            }
            (_, kind::MODULE_2) => Err(self.module(src)?),
            _ => Err(self.unknown(code)),
        }
    }

    fn plain<R: Read>(
        &mut self,
        form: Plain,
        what: &'static str,
        src: &mut Source<R>,
    ) -> Result<Token, SnapshotError> {
        src.reading(what);
        let left = src.length()?;
        let bytes_each = match form {
            Plain::List | Plain::Set => 1,
            Plain::ZsetText | Plain::Hash => 2,
            Plain::HashTtlFirst { .. } => 3,
            Plain::Zset => 9,
            Plain::HashTtlLast => 10,
        };
        src.check_count(left, bytes_each)?;
        self.stage = Stage::Plain { form, left };
        let len = Some(left);
        Ok(match form {
            Plain::List => Token::ListBegin { len },
            Plain::Set => Token::SetBegin { len },
            Plain::ZsetText | Plain::Zset => Token::ZsetBegin { len },
            Plain::Hash | Plain::HashTtlFirst { .. } | Plain::HashTtlLast => {
                Token::HashBegin { len }
            }
        })
    }

    fn packed<R: Read>(
        &mut self,
        shape: Shape,
        open: fn(&[u8]) -> Result<Packed, Corrupt>,
        what: &'static str,
        src: &mut Source<R>,
    ) -> Result<Token, SnapshotError> {
        src.reading(what);
        src.string_into(&mut self.blob)?;
        let cursor = open(&self.blob).map_err(|corrupt| corrupt_error(src, corrupt))?;
        let len = cursor.count().map(|items| items / shape.items_per_element());
        self.stage = Stage::Packed { shape, cursor };
        Ok(match shape {
            Shape::List => Token::ListBegin { len },
            Shape::Set => Token::SetBegin { len },
            Shape::Zset => Token::ZsetBegin { len },
            Shape::Hash | Shape::HashTtl => Token::HashBegin { len },
        })
    }

    fn nodes<R: Read>(
        &mut self,
        with_container: bool,
        src: &mut Source<R>,
    ) -> Result<Token, SnapshotError> {
        src.reading("list (quicklist)");
        let left = src.length()?;
        src.check_count(left, 1)?;
        if self.blocks && with_container {
            self.stage = Stage::Blocks { left };
            return Ok(Token::ListNodes { nodes: left });
        }
        self.stage = Stage::Nodes { with_container, left, node: None };
        Ok(Token::ListBegin { len: None })
    }

    /// Reads a collection of one block, and checks all of it.
    fn block<R: Read>(
        &mut self,
        block: &Block,
        src: &mut Source<R>,
    ) -> Result<Token, SnapshotError> {
        src.reading(block.what);
        src.string_into(&mut self.blob)?;
        self.check_blob(block.shape, block.open, src)?;
        self.stage = Stage::Blocks { left: 0 };
        Ok(Token::Packed { shape: block.name, bytes: self.whole_blob() })
    }

    fn check_blob<R: Read>(
        &self,
        shape: Shape,
        open: fn(&[u8]) -> Result<Packed, Corrupt>,
        src: &mut Source<R>,
    ) -> Result<(), SnapshotError> {
        let mut cursor = open(&self.blob).map_err(|corrupt| corrupt_error(src, corrupt))?;
        while packed_element(shape, &mut cursor, &self.blob, src)?.is_some() {
            // The text of integers is of no use here.
            src.begin_event();
        }
        Ok(())
    }

    fn whole_blob(&self) -> Span {
        Span::Blob { start: 0, len: self.blob.len() }
    }

    /// Reads a node of a list, and checks all of it.
    fn list_node<R: Read>(&mut self, src: &mut Source<R>) -> Result<Token, SnapshotError> {
        src.reading("list node");
        match src.length()? {
            container::PLAIN => Ok(Token::ListNode { packed: false, bytes: src.string()? }),
            container::PACKED => {
                src.string_into(&mut self.blob)?;
                self.check_blob(Shape::List, Packed::listpack, src)?;
                Ok(Token::ListNode { packed: true, bytes: self.whole_blob() })
            }
            form => Err(src.malformed(format!("unknown container {form}"))),
        }
    }

    fn list_node_element<R: Read>(&mut self, src: &mut Source<R>) -> Result<Token, SnapshotError> {
        loop {
            let Stage::Nodes { with_container, left, node } = &mut self.stage else {
                return self.end();
            };
            if let Some(cursor) = node {
                if let Some(token) = packed_element(Shape::List, cursor, &self.blob, src)? {
                    return Ok(token);
                }
                *node = None;
            }
            if *left == 0 {
                return self.end();
            }
            *left -= 1;
            src.reading("list node");
            let form = if *with_container { src.length()? } else { container::PACKED };
            if form == container::PLAIN {
                return src.string().map(Token::ListItem);
            }
            if form != container::PACKED {
                return Err(src.malformed(format!("unknown container {form}")));
            }
            // Nothing of this event lies in the buffer yet, so the blob may replace what it held.
            src.string_into(&mut self.blob)?;
            let open = if *with_container { Packed::listpack } else { Packed::ziplist };
            *node = Some(open(&self.blob).map_err(|corrupt| corrupt_error(src, corrupt))?);
        }
    }

    fn unknown(&self, code: u8) -> SnapshotError {
        let what = match code {
            kind::MODULE_PRE_RELEASE => "a module's value in a format from before its release",
            28..=33 if self.vendor == Vendor::Redis => "a value type of a newer server",
            _ => "unknown value type",
        };
        SnapshotError::UnsupportedType { offset: self.began_at, code, what: what.to_owned() }
    }

    fn module<R: Read>(&self, src: &mut Source<R>) -> Result<SnapshotError, SnapshotError> {
        src.reading("module value");
        let name = ModuleId(src.length()?).name();
        let what = format!(
            "The RDB file contains module data I can't load: no matching module type '{name}'"
        );
        Ok(SnapshotError::UnsupportedType { offset: self.began_at, code: kind::MODULE_2, what })
    }
}

/// A collection that is one block.
struct Block {
    name: PackedShape,
    shape: Shape,
    open: fn(&[u8]) -> Result<Packed, Corrupt>,
    what: &'static str,
}

impl Block {
    /// The block that a value of this type consists of.
    fn of(code: u8) -> Option<Block> {
        let open = if code == kind::SET_INTSET { Packed::intset } else { Packed::listpack };
        let (name, shape, what) = match code {
            kind::SET_INTSET => (PackedShape::Intset, Shape::Set, "set (intset)"),
            kind::SET_LISTPACK => (PackedShape::Set, Shape::Set, "set (listpack)"),
            kind::HASH_LISTPACK => (PackedShape::Hash, Shape::Hash, "hash (listpack)"),
            kind::ZSET_LISTPACK => (PackedShape::Zset, Shape::Zset, "sorted set (listpack)"),
            _ => return None,
        };
        Some(Block { name, shape, open, what })
    }
}

/// A blob larger than this is given back when its value ends.
const BLOB_KEPT_BYTES: usize = 1024 * 1024;

/// What is wrong with a blob, as an error about the file.
pub(crate) fn corrupt_error<R: Read>(src: &Source<R>, corrupt: Corrupt) -> SnapshotError {
    src.malformed(format!("{} (byte {} of the packed value)", corrupt.what, corrupt.at))
}

/// The span of an item.
pub(crate) fn item_span<R: Read>(item: Item, src: &mut Source<R>) -> Span {
    match item {
        Item::Int(value) => src.integer(value),
        Item::Bytes { start, len } => Span::Blob { start, len },
    }
}

fn plain_element<R: Read>(form: Plain, src: &mut Source<R>) -> Result<Token, SnapshotError> {
    Ok(match form {
        Plain::List => {
            src.reading("list element");
            Token::ListItem(src.string()?)
        }
        Plain::Set => {
            src.reading("set member");
            Token::SetMember(src.string()?)
        }
        Plain::Hash => {
            src.reading("hash field");
            Token::HashField { field: src.string()?, value: src.string()?, expires_ms: None }
        }
        Plain::Zset | Plain::ZsetText => {
            src.reading("sorted set member");
            let member = src.string()?;
            let score = if matches!(form, Plain::Zset) {
                f64::from_le_bytes(src.array()?)
            } else {
                text_score(src)?
            };
            if score.is_nan() {
                return Err(src.malformed("the score is not a number"));
            }
            Token::ZsetMember { member, score }
        }
        Plain::HashTtlFirst { earliest } => {
            src.reading("hash field");
            let ttl = src.length()?;
            let expires_ms = if ttl == 0 {
                None
            } else {
                let at = earliest.checked_add(ttl - 1).filter(|at| *at <= FIELD_EXPIRY_MAX);
                Some(at.ok_or_else(|| src.malformed("a field's expiry is out of range"))?)
            };
            Token::HashField { field: src.string()?, value: src.string()?, expires_ms }
        }
        Plain::HashTtlLast => {
            src.reading("hash field");
            let (field, value) = (src.string()?, src.string()?);
            let expires_ms = match i64::from_le_bytes(src.array()?) {
                -1 => None,
                at => Some(
                    u64::try_from(at)
                        .map_err(|_| src.malformed("a field's expiry is out of range"))?,
                ),
            };
            Token::HashField { field, value, expires_ms }
        }
    })
}

/// Highest expiry of a hash field, by the format: milliseconds since 1970.
pub const FIELD_EXPIRY_MAX: u64 = (1 << 48) - 1;

/// A score as files before version 8 have it: a length byte, of which three values are numbers of their own.
fn text_score<R: Read>(src: &mut Source<R>) -> Result<f64, SnapshotError> {
    let len = src.byte()?;
    match len {
        253 => Ok(f64::NAN),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => {
            let mut text = [0; 252];
            let text = &mut text[..usize::from(len)];
            for byte in &mut *text {
                *byte = src.byte()?;
            }
            parse_score(text).ok_or_else(|| src.malformed("the score is not a number"))
        }
    }
}

/// The next element of a packed collection, if there is one.
fn packed_element<R: Read>(
    shape: Shape,
    cursor: &mut Packed,
    blob: &[u8],
    src: &mut Source<R>,
) -> Result<Option<Token>, SnapshotError> {
    let Some(first) = cursor.next(blob).map_err(|corrupt| corrupt_error(src, corrupt))? else {
        return Ok(None);
    };
    let mut second = || match cursor.next(blob) {
        Ok(Some(item)) => Ok(item),
        Ok(None) => Err(Corrupt::new(blob.len(), "the last element is not complete")),
        Err(corrupt) => Err(corrupt),
    };
    let token = match shape {
        Shape::List => Token::ListItem(item_span(first, src)),
        Shape::Set => Token::SetMember(item_span(first, src)),
        Shape::Hash => {
            let value = second().map_err(|corrupt| corrupt_error(src, corrupt))?;
            Token::HashField {
                field: item_span(first, src),
                value: item_span(value, src),
                expires_ms: None,
            }
        }
        Shape::HashTtl => {
            let value = second().map_err(|corrupt| corrupt_error(src, corrupt))?;
            let at = second().map_err(|corrupt| corrupt_error(src, corrupt))?;
            let at = match at {
                Item::Int(at) => u64::try_from(at).ok().filter(|at| *at <= FIELD_EXPIRY_MAX),
                Item::Bytes { .. } => None,
            };
            let at = at.ok_or_else(|| src.malformed("a field's expiry is out of range"))?;
            Token::HashField {
                field: item_span(first, src),
                value: item_span(value, src),
                expires_ms: (at != 0).then_some(at),
            }
        }
        Shape::Zset => {
            let score = match second().map_err(|corrupt| corrupt_error(src, corrupt))? {
                #[expect(clippy::cast_precision_loss, reason = "as the servers convert it")]
                Item::Int(value) => Some(value as f64),
                Item::Bytes { start, len } => parse_score(&blob[start..start + len]),
            };
            let score = score.ok_or_else(|| src.malformed("the score is not a number"))?;
            Token::ZsetMember { member: item_span(first, src), score }
        }
    };
    Ok(Some(token))
}
