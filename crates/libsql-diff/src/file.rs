//! A diff as a file: header, records, checksum. `docs/format.md` describes it.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::codec::{Decoder, Encoder, check_row, check_table, kind};
use crate::diff::Sink;
use crate::error::{Error, Result};
use crate::operation::{Operation, TableChange};
use crate::sqlite::Encoding;
use crate::summary::Summary;

/// The first bytes of a diff file. The line ends and the NUL show a transfer that alters them.
pub(crate) const MAGIC: [u8; 16] = *b"libsql-diff\0\r\n\x1a\n";
/// The format version that is written, and the newest that is read.
pub const FORMAT_VERSION: u16 = 1;
const HEADER_LENGTH: u64 = 24;
const CHECKSUM_LENGTH: u8 = 32;
/// Above this, a diff that is not yet saved moves from memory into a temporary file.
const MEMORY_BYTES_MAX: usize = 16 << 20;
/// How much of a file is read at once.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug)]
enum Storage {
    Memory(Vec<u8>),
    File { file: File, length: u64 },
}

impl Storage {
    fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Fills as much of `buffer` as there is from `offset` on.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let length = buffer.len().min(bytes.len() - from);
                buffer[..length].copy_from_slice(&bytes[from..from + length]);
                Ok(length)
            }
            Self::File { file, .. } => {
                let mut filled = 0;
                while filled < buffer.len() {
                    let at = offset + filled as u64;
                    match read_file_at(file, &mut buffer[filled..], at) {
                        Ok(0) => break,
                        Ok(length) => filled += length,
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(filled)
            }
        }
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// What differs between two databases: a list of [`Operation`]s, in memory or in a file.
///
/// Made by [`crate::diff`], read back by [`Diff::open`]. However large, it is read piece by
/// piece; only one row at a time is held in memory.
#[derive(Debug)]
pub struct Diff {
    storage: Storage,
    /// Where records end and the checksum's record begins.
    end: u64,
    subject: String,
    encodings: (Encoding, Encoding),
    summary: Summary,
}

impl Diff {
    /// Opens a diff file and verifies all of it.
    ///
    /// Fails with [`Error::Format`] if it is not one, is cut off or was altered, and with
    /// [`Error::Version`] if a later version of this crate wrote it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |doing| move |source| Error::Io { path: path.to_owned(), doing, source };
        let file = File::open(path).map_err(io("opening the diff"))?;
        let length = file.metadata().map_err(io("reading the diff"))?.len();
        Self::verified(Storage::File { file, length }, path.display().to_string())
    }

    /// Reads a diff from memory; as [`Diff::open`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::verified(Storage::Memory(bytes), "diff".to_owned())
    }

    fn verified(storage: Storage, subject: String) -> Result<Self> {
        let broken = |offset: u64, what: &str| Error::Format {
            subject: subject.clone(),
            offset,
            what: what.to_owned(),
        };
        let read = Error::stream("reading the diff");
        let mut header = [0; 24];
        let length = storage.read_at(&mut header, 0).map_err(read)?;
        if length < header.len() || header[..16] != MAGIC {
            return Err(broken(0, "not a diff file"));
        }
        let version = u16::from_le_bytes([header[16], header[17]]);
        if version > FORMAT_VERSION {
            return Err(Error::Version {
                subject: subject.clone(),
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        let encodings = match (encoding_of(header[18]), encoding_of(header[19])) {
            (Some(a), Some(b)) => (a, b),
            _ => return Err(broken(18, "an unknown encoding")),
        };
        // The checksum first: nothing of an altered file is looked at any closer.
        let mut last = [0; CHECKSUM_LENGTH as usize + 2];
        let end = storage.length().checked_sub(last.len() as u64).unwrap_or(HEADER_LENGTH);
        let read = storage.read_at(&mut last, end).map_err(Error::stream("reading the diff"))?;
        let is_end = read == last.len() && last[0] == CHECKSUM_LENGTH + 1 && last[1] == kind::END;
        if end < HEADER_LENGTH || !is_end {
            return Err(broken(storage.length(), "the file is cut off"));
        }
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < end {
            let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(buffer.len());
            let read = storage
                .read_at(&mut buffer[..length], offset)
                .map_err(Error::stream("reading the diff"))?;
            if read == 0 {
                return Err(broken(offset, "the file is cut off"));
            }
            hasher.update(&buffer[..read]);
            offset += read as u64;
        }
        if hasher.finalize().as_bytes()[..] != last[2..] {
            return Err(broken(end, "the checksum does not match; the file was altered"));
        }
        let mut diff = Self { storage, end, subject, encodings, summary: Summary::default() };
        let mut summary = Summary::default();
        for operation in diff.operations() {
            summary.add(&operation?);
        }
        diff.summary = summary;
        Ok(diff)
    }

    /// The operations, in order. An error ends the iteration.
    pub fn operations(&self) -> Operations<'_> {
        self.operations_from(HEADER_LENGTH, None)
    }

    pub(crate) fn operations_from(
        &self,
        offset: u64,
        table: Option<Box<TableChange>>,
    ) -> Operations<'_> {
        Operations { diff: self, offset, chunk: Vec::new(), chunk_start: 0, table }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.end == HEADER_LENGTH
    }

    /// What differs, counted.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// How the two databases store text: the one to change, and the one that it becomes equal to.
    pub fn encodings(&self) -> (Encoding, Encoding) {
        self.encodings
    }

    /// The size as a file, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.storage.length()
    }

    /// Writes the diff as a file's content.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < self.storage.length() {
            let length = self
                .storage
                .read_at(&mut buffer, offset)
                .map_err(Error::stream("reading the diff"))?;
            if length == 0 {
                return Err(self.broken(offset, "the file is cut off"));
            }
            out.write_all(&buffer[..length]).map_err(Error::stream("writing the diff"))?;
            offset += length as u64;
        }
        Ok(())
    }

    /// Writes a diff file. It appears under its name only when it is complete and on disk; a file
    /// of that name is replaced.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save_atomically(path.as_ref(), "writing the diff", &mut |out| self.write_to(out))
    }

    fn broken(&self, offset: u64, what: &str) -> Error {
        Error::Format { subject: self.subject.clone(), offset, what: what.to_owned() }
    }
}

/// Writes a file beside `path` and renames it into place.
pub(crate) fn save_atomically(
    path: &Path,
    doing: &'static str,
    content: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), doing, source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut builder = tempfile::Builder::new();
    // As for any other file: the user's mask says who else may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(io)?;
    let mut out = BufWriter::new(file.as_file_mut());
    content(&mut out)?;
    out.flush().map_err(io)?;
    drop(out);
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

/// Reads the operations of a [`Diff`].
#[derive(Debug)]
pub struct Operations<'d> {
    diff: &'d Diff,
    offset: u64,
    chunk: Vec<u8>,
    chunk_start: u64,
    /// The table whose section is open.
    table: Option<Box<TableChange>>,
}

impl Operations<'_> {
    /// Where the next operation begins.
    pub(crate) fn next_offset(&self) -> u64 {
        self.offset
    }

    /// Goes on at another operation of the open table.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Makes `length` bytes at the offset available, or as many as there are.
    fn fill(&mut self, length: usize) -> Result<&[u8]> {
        let available = |operations: &Self| {
            let skip = operations.offset.checked_sub(operations.chunk_start)?;
            let skip = usize::try_from(skip).ok()?;
            operations.chunk.get(skip..).map(|rest| (skip, rest.len()))
        };
        let (skip, available) = match available(self) {
            Some((skip, available)) if available >= length => (skip, available),
            _ => {
                let left = usize::try_from(self.diff.end - self.offset).unwrap_or(usize::MAX);
                self.chunk.resize(length.max(CHUNK_BYTES).min(left), 0);
                let read = self
                    .diff
                    .storage
                    .read_at(&mut self.chunk, self.offset)
                    .map_err(Error::stream("reading the diff"))?;
                self.chunk.truncate(read);
                self.chunk_start = self.offset;
                (0, read)
            }
        };
        Ok(&self.chunk[skip..skip + length.min(available)])
    }

    fn read(&mut self) -> Result<Operation> {
        let start = self.offset;
        let broken = |diff: &Diff, what: &str| diff.broken(start, what);
        let mut length = 0_u64;
        let mut prefix = 0;
        for (index, byte) in self.fill(10)?.iter().enumerate() {
            length |= u64::from(byte & 0x7f) << (7 * index).min(63);
            if *byte < 0x80 {
                prefix = index + 1;
                break;
            }
        }
        let rest = self.diff.end - start;
        if prefix == 0 || length > rest - (prefix as u64).min(rest) {
            return Err(broken(self.diff, "a record is cut off"));
        }
        self.offset += prefix as u64;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let record = self.fill(length)?;
        if record.len() < length {
            return Err(broken(self.diff, "a record is cut off"));
        }
        let operation = Decoder::new(record).operation();
        self.offset += length as u64;
        let checked = operation.and_then(|operation| {
            match (&operation, &self.table) {
                (Operation::Row(row), Some(table)) => check_row(table, row),
                (Operation::EndTable(_), Some(_)) => Ok(()),
                (_, Some(_)) => Err("a table's section does not end"),
                (Operation::Table(table), None) => check_table(table),
                (Operation::Row(_), None) => Err("a row outside of a table"),
                (Operation::EndTable(_), None) => Err("a table ends that did not begin"),
                _ => Ok(()),
            }?;
            Ok(operation)
        });
        let operation = checked.map_err(|what| broken(self.diff, what))?;
        match &operation {
            Operation::Table(table) => self.table = Some(table.clone()),
            Operation::EndTable(_) => self.table = None,
            _ => {}
        }
        Ok(operation)
    }
}

impl Iterator for Operations<'_> {
    type Item = Result<Operation>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.diff.end {
            let unfinished = self.table.take()?;
            let what = format!("the section of table {} does not end", unfinished.name);
            return Some(Err(self.diff.broken(self.offset, &what)));
        }
        let result = self.read();
        if result.is_err() {
            self.offset = self.diff.end;
            self.table = None;
        }
        Some(result)
    }
}

/// Takes operations and makes a [`Diff`] of them.
///
/// Small diffs stay in memory, large ones go into a temporary file that vanishes with them.
#[derive(Debug)]
pub struct DiffWriter {
    memory: Vec<u8>,
    file: Option<BufWriter<File>>,
    length: u64,
    hasher: blake3::Hasher,
    encodings: (Encoding, Encoding),
    summary: Summary,
    scratch: Vec<u8>,
}

impl DiffWriter {
    /// A diff from a database of the first encoding to one of the second.
    pub fn new(from: Encoding, to: Encoding) -> Self {
        let mut writer = Self {
            memory: Vec::new(),
            file: None,
            length: 0,
            hasher: blake3::Hasher::new(),
            encodings: (from, to),
            summary: Summary::default(),
            scratch: Vec::new(),
        };
        let mut header = Vec::with_capacity(24);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        header.extend_from_slice(&[encoding_byte(from), encoding_byte(to), 0, 0, 0, 0]);
        writer.hasher.update(&header);
        writer.length = header.len() as u64;
        writer.memory = header;
        writer
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let write = Error::stream("writing a temporary file");
        self.length += bytes.len() as u64;
        if let Some(file) = &mut self.file {
            return file.write_all(bytes).map_err(write);
        }
        if self.memory.len() + bytes.len() <= MEMORY_BYTES_MAX {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let spill = || -> std::io::Result<BufWriter<File>> {
            let mut file = BufWriter::with_capacity(CHUNK_BYTES, tempfile::tempfile()?);
            file.write_all(&self.memory)?;
            file.write_all(bytes)?;
            Ok(file)
        };
        self.file = Some(spill().map_err(write)?);
        self.memory = Vec::new();
        Ok(())
    }

    /// Ends the diff.
    pub fn finish(mut self) -> Result<Diff> {
        let end = self.length;
        let checksum = *self.hasher.finalize().as_bytes();
        let mut record = vec![CHECKSUM_LENGTH + 1, kind::END];
        record.extend_from_slice(&checksum);
        self.append(&record)?;
        let storage = match self.file {
            None => Storage::Memory(self.memory),
            Some(file) => {
                let write = |source| Error::Stream { doing: "writing a temporary file", source };
                let mut file = file.into_inner().map_err(|error| write(error.into_error()))?;
                file.seek(SeekFrom::Start(0)).map_err(write)?;
                Storage::File { file, length: self.length }
            }
        };
        let (subject, encodings) = ("diff".to_owned(), self.encodings);
        Ok(Diff { storage, end, subject, encodings, summary: self.summary })
    }
}

impl Sink for DiffWriter {
    fn operation(&mut self, operation: Operation) -> Result<()> {
        self.summary.add(&operation);
        let mut record = Encoder { bytes: std::mem::take(&mut self.scratch) };
        record.bytes.clear();
        record.operation(&operation);
        let mut prefix = Encoder::default();
        prefix.number(record.bytes.len() as u64);
        self.hasher.update(&prefix.bytes);
        self.hasher.update(&record.bytes);
        self.append(&prefix.bytes)?;
        self.append(&record.bytes)?;
        self.scratch = record.bytes;
        Ok(())
    }
}

fn encoding_byte(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Utf8 => 1,
        Encoding::Utf16le => 2,
        Encoding::Utf16be => 3,
    }
}

fn encoding_of(byte: u8) -> Option<Encoding> {
    match byte {
        1 => Some(Encoding::Utf8),
        2 => Some(Encoding::Utf16le),
        3 => Some(Encoding::Utf16be),
        _ => None,
    }
}

/// What a file given to "apply" is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A diff file, see [`Diff::open`].
    Diff,
    /// A diff as JSON, see [`Diff::read_json`].
    Json,
    /// A changeset or patchset of SQLite's session extension, see [`crate::Changeset`].
    Changeset,
    /// Anything else: SQL text, see [`crate::apply_script`].
    Sql,
}

impl FileKind {
    /// Tells by the first bytes what the file at `path` is.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io = |source| Error::Io { path: path.to_owned(), doing: "opening the file", source };
        let mut start = Vec::new();
        File::open(path).map_err(io)?.take(64).read_to_end(&mut start).map_err(io)?;
        Ok(Self::of_bytes(&start))
    }

    /// Tells by the first bytes of its content what a file is; 64 are enough.
    pub fn of_bytes(start: &[u8]) -> Self {
        if start.starts_with(&MAGIC) {
            return Self::Diff;
        }
        // A table's head: the letter, the number of columns (above 127 in several bytes), for each
        // its place in the key. No SQL statement has a byte below 9 so early, and none that begins
        // with these letters goes on beyond ASCII.
        match start {
            [b'T' | b'P', columns, flags @ ..]
                if *columns < 9
                    || *columns >= 0x80
                    || flags.iter().take(1).any(|flag| *flag < 9) =>
            {
                Self::Changeset
            }
            // No SQL statement begins with a brace.
            _ if start.trim_ascii_start().starts_with(b"{") => Self::Json,
            _ => Self::Sql,
        }
    }
}
