//! Writes a snapshot from a stream of events.

use std::io::Write;

use super::encoder::{EncoderOptions, ValueEncoder};
use super::format::opcode;
use super::primitive::{StringWriter, push_length};
use super::{Event, KeyMeta, SnapshotError};
use crate::checksum::SnapshotCrc;

/// The server version that snapshots name as their writer: what our behaviour follows.
const REDIS_VERSION: &[u8] = b"7.2.4";

/// Output is handed on in pieces of about this size.
const FLUSH_BYTES: usize = 256 * 1024;

/// How a snapshot is written.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// How values are encoded; its version is the file's.
    pub encoder: EncoderOptions,
    /// Whether the footer is computed; otherwise it is 0, which readers accept unchecked (`rdbchecksum`).
    pub checksum: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { encoder: EncoderOptions::default(), checksum: true }
    }
}

/// Writes a snapshot into any sink of bytes.
///
/// Order of calls: `aux` and `function` first; per database `select_db`, `resize_db`, and for each key either
/// `key` and the events of its value, or `record`; at last `finish`.
///
/// ```
/// use highwater_persistence::snapshot::{Event, KeyMeta, SnapshotWriter, WriterOptions};
///
/// let mut writer = SnapshotWriter::new(Vec::new(), &WriterOptions::default());
/// writer.standard_aux(1_700_000_000, 1_000_000)?;
/// writer.select_db(0)?;
/// writer.key(b"greeting", KeyMeta::default())?;
/// writer.value(Event::String(b"hello"))?;
/// writer.value(Event::ValueEnd)?;
/// let file = writer.finish()?;
/// assert!(file.starts_with(b"REDIS0010"));
/// # Ok::<(), highwater_persistence::snapshot::SnapshotError>(())
/// ```
pub struct SnapshotWriter<W> {
    inner: W,
    crc: Option<SnapshotCrc>,
    buffer: Vec<u8>,
    /// Bytes handed to `inner`.
    written: u64,
    strings: StringWriter,
    encoder: ValueEncoder,
    /// A key whose value has not begun to come out of the encoder: the type byte stands before the key.
    key: Vec<u8>,
    key_due: bool,
}

impl<W: Write> SnapshotWriter<W> {
    /// Begins a snapshot. Nothing is written to `inner` yet.
    pub fn new(inner: W, options: &WriterOptions) -> Self {
        let version = options.encoder.version;
        Self {
            inner,
            crc: options.checksum.then(SnapshotCrc::new),
            buffer: format!("REDIS{version:04}").into_bytes(),
            written: 0,
            strings: StringWriter::new(options.encoder.compress),
            encoder: ValueEncoder::new(&options.encoder),
            key: Vec::new(),
            key_due: false,
        }
    }

    /// How long the snapshot is so far.
    pub fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes a fact about the snapshot.
    ///
    /// # Errors
    /// `Io`.
    pub fn aux(&mut self, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        self.buffer.push(opcode::AUX);
        self.strings.push(key, &mut self.buffer);
        self.strings.push(value, &mut self.buffer);
        self.flush_full()
    }

    /// Writes the four facts every snapshot has: server version, word size, `ctime` (Unix seconds), and used memory
    /// in bytes.
    ///
    /// # Errors
    /// `Io`.
    pub fn standard_aux(&mut self, ctime: u64, used_mem: u64) -> Result<(), SnapshotError> {
        self.aux(b"redis-ver", REDIS_VERSION)?;
        self.aux(b"redis-bits", usize::BITS.to_string().as_bytes())?;
        self.aux(b"ctime", ctime.to_string().as_bytes())?;
        self.aux(b"used-mem", used_mem.to_string().as_bytes())
    }

    /// Writes the source of a function library.
    ///
    /// # Errors
    /// `Io`.
    pub fn function(&mut self, code: &[u8]) -> Result<(), SnapshotError> {
        self.buffer.push(opcode::FUNCTION2);
        self.strings.push(code, &mut self.buffer);
        self.flush_full()
    }

    /// The keys that follow belong to database `db`.
    ///
    /// # Errors
    /// `Io`.
    pub fn select_db(&mut self, db: u32) -> Result<(), SnapshotError> {
        self.buffer.push(opcode::SELECT_DB);
        push_length(u64::from(db), &mut self.buffer);
        self.flush_full()
    }

    /// Says how many keys the database holds, and how many of them expire: a hint for the reader.
    ///
    /// # Errors
    /// `Io`.
    pub fn resize_db(&mut self, keys: u64, expires: u64) -> Result<(), SnapshotError> {
        self.buffer.push(opcode::RESIZE_DB);
        push_length(keys, &mut self.buffer);
        push_length(expires, &mut self.buffer);
        self.flush_full()
    }

    /// Begins a key; the events of its value follow.
    ///
    /// # Errors
    /// `Unwritable` inside a value.
    pub fn key(&mut self, key: &[u8], meta: KeyMeta) -> Result<(), SnapshotError> {
        self.check_between_keys()?;
        self.push_meta(meta);
        self.key.clear();
        self.key.extend_from_slice(key);
        self.key_due = true;
        self.encoder.clear();
        Ok(())
    }

    /// Writes the next event of a value, up to `ValueEnd`.
    ///
    /// # Errors
    /// `Io`; `Unwritable` as [`ValueEncoder::put`] says. The snapshot cannot be continued then.
    pub fn value(&mut self, event: Event<'_>) -> Result<(), SnapshotError> {
        self.encoder.put(event)?;
        if matches!(event, Event::ValueEnd) || self.encoder.drainable().len() >= FLUSH_BYTES {
            self.drain()?;
        }
        Ok(())
    }

    /// Writes a key whose value was encoded elsewhere, by a [`ValueEncoder`] with the same options.
    ///
    /// # Errors
    /// `Io`; `Unwritable` inside a value, or if `record` is empty.
    pub fn record(
        &mut self,
        key: &[u8],
        meta: KeyMeta,
        record: &[u8],
    ) -> Result<(), SnapshotError> {
        self.check_between_keys()?;
        let (&code, payload) = record.split_first().ok_or_else(|| SnapshotError::Unwritable {
            problem: "a record without a type".to_owned(),
        })?;
        self.push_meta(meta);
        self.buffer.push(code);
        self.strings.push(key, &mut self.buffer);
        self.append(payload)
    }

    /// Writes any event where the method of its kind would; `Header` and `Eof` are ignored, so that the events of a
    /// reader can be passed on. Records that have no place in the versions written are left out: they are hints.
    ///
    /// # Errors
    /// Those of the other methods.
    pub fn put(&mut self, event: Event<'_>) -> Result<(), SnapshotError> {
        match event {
            Event::Header { .. } | Event::Eof { .. } => Ok(()),
            Event::SlotInfo { .. } | Event::SlotImport { .. } | Event::SlotRange { .. } => Ok(()),
            Event::ModuleAux { .. } | Event::Skipped { .. } => Ok(()),
            Event::Aux { key, value } => self.aux(key, value),
            Event::Function(code) => self.function(code),
            Event::SelectDb(db) => self.select_db(db),
            Event::ResizeDb { keys, expires } => self.resize_db(keys, expires),
            Event::Key { key, expires_ms, idle_s, freq } => {
                self.key(key, KeyMeta { expires_ms, idle_s, freq })
            }
            event => self.value(event),
        }
    }

    /// Writes the footer and hands everything on; the sink is flushed, syncing it is the caller's.
    ///
    /// # Errors
    /// `Io`; `Unwritable` inside a value.
    pub fn finish(mut self) -> Result<W, SnapshotError> {
        self.check_between_keys()?;
        self.buffer.push(opcode::EOF);
        self.hand_on()?;
        let footer = self.crc.take().map_or(0, |crc| crc.value());
        self.buffer.extend_from_slice(&footer.to_le_bytes());
        self.hand_on()?;
        let offset = self.written;
        self.inner.flush().map_err(|error| SnapshotError::Io { offset, error })?;
        Ok(self.inner)
    }

    fn check_between_keys(&self) -> Result<(), SnapshotError> {
        if self.key_due || !(self.encoder.is_idle() || self.encoder.is_complete()) {
            let problem = "the value before is not complete".to_owned();
            return Err(SnapshotError::Unwritable { problem });
        }
        Ok(())
    }

    fn push_meta(&mut self, meta: KeyMeta) {
        if let Some(at) = meta.expires_ms {
            self.buffer.push(opcode::EXPIRE_MS);
            self.buffer.extend_from_slice(&at.to_le_bytes());
        }
        if let Some(idle) = meta.idle_s {
            self.buffer.push(opcode::IDLE);
            push_length(idle, &mut self.buffer);
        }
        if let Some(freq) = meta.freq {
            self.buffer.extend_from_slice(&[opcode::FREQ, freq]);
        }
    }

    /// Moves what the encoder has ready behind the key.
    fn drain(&mut self) -> Result<(), SnapshotError> {
        let mut ready = self.encoder.drainable();
        if ready.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.key_due) {
            self.buffer.push(ready[0]);
            self.strings.push(&self.key, &mut self.buffer);
            ready = &ready[1..];
        }
        self.buffer.extend_from_slice(ready);
        self.encoder.drained();
        self.flush_full()
    }

    /// Appends bytes, around the buffer if they are many.
    fn append(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        if bytes.len() < FLUSH_BYTES {
            self.buffer.extend_from_slice(bytes);
            return self.flush_full();
        }
        self.hand_on()?;
        self.write(bytes)
    }

    fn flush_full(&mut self) -> Result<(), SnapshotError> {
        if self.buffer.len() >= FLUSH_BYTES { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), SnapshotError> {
        let buffer = std::mem::take(&mut self.buffer);
        let done = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        done
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
        let offset = self.written;
        self.inner.write_all(bytes).map_err(|error| SnapshotError::Io { offset, error })?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
