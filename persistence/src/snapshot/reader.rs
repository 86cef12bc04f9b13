//! Reads a snapshot as a stream of events.

use std::io::Read;

use super::format::{CHECKSUM_SINCE, MAGIC_BYTES, kind, module_opcode, opcode, parse_magic};
use super::raw_value::{self, RawValue};
use super::source::{Source, Span};
use super::value_reader::{Token, ValueReader};
use super::{Checksum, Event, KeyMeta, ModuleId, SnapshotError, Vendor};

/// How a snapshot is read.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// Size of the input in bytes, where it is known: lengths that reach past it are then refused at once.
    pub total: Option<u64>,
    /// Longest string; one in a file that claims more is refused. Collections have no limit, their elements do.
    pub string_bytes_max: u64,
    /// Whether the footer is compared.
    pub verify_checksum: bool,
    /// Whether collections come in the blocks of which the file consists, where a [`EditableListpack`](super::EditableListpack)
    /// can be made of them, instead of element by element.
    pub blocks: bool,
}

/// Longest string unless told otherwise: packed values hold elements of up to 512 MiB and their own overhead, and
/// cannot be longer than this. It protects nothing but common sense: memory is taken as bytes arrive.
pub(crate) const STRING_BYTES_MAX: u64 = 1 << 32;

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            total: None,
            string_bytes_max: STRING_BYTES_MAX,
            verify_checksum: true,
            blocks: false,
        }
    }
}

enum Stage {
    Magic,
    Records,
    /// A key was handed out; its value is being read.
    Value,
    /// Ranges of a slot import.
    SlotRanges {
        left: u64,
    },
    End,
}

/// Reads a snapshot from any source of bytes.
///
/// ```
/// use highwater_persistence::snapshot::{Event, SnapshotReader};
///
/// let file = b"REDIS0003\xfe\x00\x00\x01k\x05hello\xff";
/// let mut reader = SnapshotReader::new(&file[..]);
/// let mut values = Vec::new();
/// while let Some(event) = reader.next()? {
///     if let Event::String(value) = event {
///         values.push(value.to_vec());
///     }
/// }
/// assert_eq!(values, [b"hello"]);
/// # Ok::<(), highwater_persistence::snapshot::SnapshotError>(())
/// ```
pub struct SnapshotReader<R> {
    src: Source<R>,
    values: ValueReader,
    stage: Stage,
    vendor: Vendor,
    version: u32,
    verify_checksum: bool,
    meta: KeyMeta,
}

impl<R: Read> SnapshotReader<R> {
    /// Reads from `inner`, of unknown size, with the usual limits.
    pub fn new(inner: R) -> Self {
        Self::with_options(inner, &ReaderOptions::default())
    }

    /// Reads from `inner`. It needs no buffering of its own.
    pub fn with_options(inner: R, options: &ReaderOptions) -> Self {
        let ReaderOptions { total, string_bytes_max, verify_checksum, blocks } = *options;
        Self {
            src: Source::new(inner, total, string_bytes_max, verify_checksum),
            values: ValueReader::new(blocks),
            stage: Stage::Magic,
            vendor: Vendor::Redis,
            version: 0,
            verify_checksum,
            meta: KeyMeta::default(),
        }
    }

    /// How many bytes have been used. After `Eof` this is the snapshot's length.
    ///
    /// More may have been taken from the source: what follows a snapshot in the same file is found by seeking there.
    pub fn offset(&self) -> u64 {
        self.src.offset()
    }

    /// Gives the source back.
    pub fn into_inner(self) -> R {
        self.src.into_inner()
    }

    /// The next event, or none behind `Eof`.
    ///
    /// # Errors
    /// Any [`SnapshotError`] but `Unwritable`. The reader is then of no further use; an error inside a value comes
    /// after the good events of its beginning.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's items could not borrow from the reader"
    )]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, SnapshotError> {
        self.src.begin_event();
        let Some(token) = self.step()? else { return Ok(None) };
        let Self { src, values, .. } = self;
        Ok(Some(token.map(|span| src.bytes(span, &values.blob))))
    }

    /// Passes over the value of the key that has just been handed out, and says where it lies: a
    /// [`RawValueReader`](super::RawValueReader) can read it later, or on another thread. The next event is the one behind the value.
    ///
    /// Most values are passed over by their lengths alone, so that damage inside them is not noticed here. If the end
    /// cannot be found, the place returned reaches to the end of the input: reading it finds what is wrong.
    ///
    /// # Panics
    /// If the last event was not `Key`.
    pub fn pass_value(&mut self) -> (RawValue, Result<(), SnapshotError>) {
        assert!(matches!(self.stage, Stage::Value), "a key comes before its value");
        self.stage = Stage::Records;
        self.src.begin_event();
        raw_value::pass(&mut self.values, &mut self.src)
    }

    fn step(&mut self) -> Result<Option<Token>, SnapshotError> {
        match &mut self.stage {
            Stage::Value => {
                let token = self.values.next(&mut self.src)?;
                if matches!(token, Token::ValueEnd) {
                    self.stage = Stage::Records;
                }
                Ok(Some(token))
            }
            Stage::Records => self.record().map(Some),
            Stage::SlotRanges { left } => {
                *left -= 1;
                if *left == 0 {
                    self.stage = Stage::Records;
                }
                self.src.reading("slot range");
                let (start, end) = (self.src.length()?, self.src.length()?);
                Ok(Some(Token::SlotRange { start, end }))
            }
            Stage::Magic => self.magic().map(Some),
            Stage::End => Ok(None),
        }
    }

    fn magic(&mut self) -> Result<Token, SnapshotError> {
        self.src.reading("header");
        let magic: [u8; MAGIC_BYTES] = self.src.array()?;
        (self.vendor, self.version) = parse_magic(magic)?;
        self.stage = Stage::Records;
        Ok(Token::Header { version: self.version, vendor: self.vendor })
    }

    fn record(&mut self) -> Result<Token, SnapshotError> {
        loop {
            self.src.reading("record");
            let offset = self.src.offset();
            match self.src.byte()? {
                opcode::EXPIRE_MS => {
                    self.meta.expires_ms = Some(i64::from_le_bytes(self.src.array()?));
                }
                opcode::EXPIRE_S => {
                    let seconds = i32::from_le_bytes(self.src.array()?);
                    self.meta.expires_ms = Some(i64::from(seconds) * 1000);
                }
                opcode::IDLE => self.meta.idle_s = Some(self.src.length()?),
                opcode::FREQ => self.meta.freq = Some(self.src.byte()?),
                opcode::EOF => return self.footer(),
                code @ opcode::SLOT_IMPORT_OR_KEY_META.. => return self.other_record(code, offset),
                code if code <= kind::HIGHEST_NAMED => return self.key(code, offset),
                code => return Err(unknown_record(code, offset)),
            }
        }
    }

    fn key(&mut self, code: u8, offset: u64) -> Result<Token, SnapshotError> {
        self.src.reading("key");
        let key = self.src.string()?;
        let KeyMeta { expires_ms, idle_s, freq } = std::mem::take(&mut self.meta);
        self.values.begin(self.vendor, code, offset);
        self.stage = Stage::Value;
        Ok(Token::Key { key, expires_ms, idle_s, freq })
    }

    /// Records that are neither keys nor belong to one.
    fn other_record(&mut self, code: u8, offset: u64) -> Result<Token, SnapshotError> {
        let src = &mut self.src;
        match code {
            opcode::AUX => {
                src.reading("auxiliary field");
                Ok(Token::Aux { key: src.string()?, value: src.string()? })
            }
            opcode::SELECT_DB => {
                src.reading("database number");
                let db = src.length()?;
                let db = u32::try_from(db).map_err(|_| src.malformed("it is out of range"))?;
                Ok(Token::SelectDb(db))
            }
            opcode::RESIZE_DB => {
                src.reading("database size");
                Ok(Token::ResizeDb { keys: src.length()?, expires: src.length()? })
            }
            opcode::SLOT_INFO => {
                src.reading("slot size");
                let (slot, keys) = (src.length()?, src.length()?);
                Ok(Token::SlotInfo { slot, keys, expires: src.length()? })
            }
            opcode::FUNCTION2 => {
                src.reading("function library");
                src.string().map(Token::Function)
            }
            opcode::FUNCTION_PRE_RELEASE => Err(SnapshotError::UnsupportedType {
                offset,
                code,
                what: "Pre-release function format not supported.".to_owned(),
            }),
            opcode::MODULE_AUX => {
                src.reading("module data");
                let module = ModuleId(src.length()?);
                if src.length()? != module_opcode::UNSIGNED {
                    return Err(src.malformed("it does not say when it is due"));
                }
                let _when = src.length()?;
                skip_module_data(src)?;
                Ok(Token::ModuleAux { module })
            }
            opcode::SLOT_IMPORT_OR_KEY_META if self.vendor == Vendor::Valkey => self.slot_import(),
            opcode::SLOT_IMPORT_OR_KEY_META if self.version >= KEY_META_SINCE => {
                skip_key_metadata(src)?;
                Ok(Token::Skipped { what: "metadata of a key" })
            }
            _ => Err(unknown_record(code, offset)),
        }
    }

    fn slot_import(&mut self) -> Result<Token, SnapshotError> {
        self.src.reading("slot import");
        let job = self.src.string()?;
        let ranges = self.src.length()?;
        self.src.check_count(ranges, 2)?;
        if ranges > 0 {
            self.stage = Stage::SlotRanges { left: ranges };
        }
        Ok(Token::SlotImport { job, ranges })
    }

    fn footer(&mut self) -> Result<Token, SnapshotError> {
        self.stage = Stage::End;
        if self.version < CHECKSUM_SINCE {
            return Ok(Token::Eof { checksum: Checksum::Absent });
        }
        let computed = self.src.checksum();
        self.src.reading("footer");
        let offset = self.src.offset();
        let stored = u64::from_le_bytes(self.src.array()?);
        let checksum = match computed {
            Some(computed) if self.verify_checksum && stored != 0 => {
                if stored != computed {
                    return Err(SnapshotError::WrongChecksum { offset, stored, computed });
                }
                Checksum::Verified
            }
            _ => Checksum::Disabled,
        };
        Ok(Token::Eof { checksum })
    }
}

/// First version in which record 243 is the metadata of a key.
const KEY_META_SINCE: u32 = 13;

fn unknown_record(code: u8, offset: u64) -> SnapshotError {
    SnapshotError::UnsupportedType { offset, code, what: "unknown record".to_owned() }
}

/// Passes over what modules noted about a key (Redis 8.6 and later).
pub(crate) fn skip_key_metadata<R: Read>(src: &mut Source<R>) -> Result<(), SnapshotError> {
    src.reading("key metadata");
    for _ in 0..src.length()? {
        let _class: [u8; 4] = src.array()?;
        skip_module_data(src)?;
    }
    Ok(())
}

/// Passes over data of a module up to its end mark.
fn skip_module_data<R: Read>(src: &mut Source<R>) -> Result<(), SnapshotError> {
    loop {
        match src.length()? {
            module_opcode::EOF => return Ok(()),
            module_opcode::SIGNED | module_opcode::UNSIGNED => {
                let _number = src.length()?;
            }
            module_opcode::FLOAT => {
                let _number: [u8; 4] = src.array()?;
            }
            module_opcode::DOUBLE => {
                let _number: [u8; 8] = src.array()?;
            }
            module_opcode::STRING => {
                let _string: Span = src.string()?;
            }
            code => return Err(src.malformed(format!("unknown module opcode {code}"))),
        }
        // Nothing of it is handed out, so its bytes need not stay.
        src.begin_event();
    }
}
