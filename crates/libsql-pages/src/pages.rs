//! Pages as the open read transaction sees them: the file itself, overlaid with its log.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::{Damaged, file::MainFile};

const FRAME_HEADER: usize = 24;
/// Where pages follow each other, this many bytes are read at once.
const STRETCH_BYTES: usize = 64 * 1024;
/// Pages are taken to follow each other if at most this many others lie between them.
const STRIDE_MAX: u32 = 16;
/// Others hold the lock that counting the frames takes for a moment only.
const COUNT_ATTEMPTS: u32 = 50;

/// How a database stores text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// UTF-16, little end first.
    Utf16le,
    /// UTF-16, big end first.
    Utf16be,
}

impl Encoding {
    /// Whether it is one of the two with units of 16 bits.
    pub fn is_utf16(self) -> bool {
        self != Self::Utf8
    }
}

/// What the file's header says of its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// 512 to 65,536 bytes.
    pub page_size: usize,
    /// Bytes at the end of each page that extensions use.
    pub reserved: usize,
    /// Since format 4, 0 and 1 take no byte, and descending keys are stored so.
    pub schema_format: u32,
    /// How texts are stored.
    pub encoding: Encoding,
}

impl Layout {
    fn of(page_size: usize, first: &[u8]) -> Option<Self> {
        if !first.starts_with(b"SQLite format 3\0") {
            return None;
        }
        let number = |at: usize| {
            u32::from_be_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]])
        };
        let encoding = match number(56) {
            // 0: nothing was stored yet.
            0 | 1 => Encoding::Utf8,
            2 => Encoding::Utf16le,
            3 => Encoding::Utf16be,
            _ => return None,
        };
        let reserved = usize::from(first[20]);
        let layout = Self { page_size, reserved, schema_format: number(44), encoding };
        (layout.usable() >= 480).then_some(layout)
    }

    /// Bytes of a page that hold something.
    pub fn usable(self) -> usize {
        self.page_size - self.reserved
    }
}

/// One generation of a write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark(Option<[u8; 8]>);

impl LogMark {
    /// The log as it is now. To be taken before the read transaction begins.
    pub fn of(conn: &Connection) -> Self {
        Self::read(conn).unwrap_or(Self(None))
    }

    fn read(conn: &Connection) -> Option<Self> {
        // The file and its log are opened by the first statement that reads.
        conn.prepare_cached("SELECT 1 FROM main.sqlite_schema LIMIT 1").ok()?.exists([]).ok()?;
        let file = MainFile::of(conn)?;
        let mut frame = vec![0; FRAME_HEADER + page_size(conn)?];
        file.log_frame(1, &mut frame).then(|| Self(Some(salt_of(&frame))))
    }
}

fn page_size(conn: &Connection) -> Option<usize> {
    let size: i64 = conn
        .prepare_cached("PRAGMA main.page_size")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .ok()?;
    usize::try_from(size).ok().filter(|size| (512..=65_536).contains(size))
}

fn salt_of(frame: &[u8]) -> [u8; 8] {
    let mut salt = [0; 8];
    salt.copy_from_slice(&frame[8..16]);
    salt
}

/// The pages of a database file, as the read transaction sees them that is open on its connection.
///
/// The file does not change under such a transaction, whose frames of the log either stay, or were
/// all in the file before it began.
#[derive(Debug)]
pub struct Pages<'c> {
    file: MainFile<'c>,
    layout: Layout,
    /// For each page in the log, the last frame that holds it.
    frames: HashMap<u32, u32>,
    salt: [u8; 8],
}

impl<'c> Pages<'c> {
    /// `None` where the pages cannot be read with certainty, and where the log has more than
    /// `frames_max` frames: each is looked at here, while SQLite has an index of them.
    ///
    /// The caller is inside a read transaction that has read something, has written nothing in it,
    /// and took `mark` before it began.
    pub fn open(conn: &'c Connection, mark: LogMark, frames_max: u32) -> Option<Self> {
        let file = MainFile::of(conn)?;
        let page_size = page_size(conn)?;
        let mut attempts = 0;
        let count = loop {
            if let Some(count) = file.log_frames() {
                break count;
            }
            attempts += 1;
            if attempts == COUNT_ATTEMPTS {
                return None;
            }
            std::thread::yield_now();
        };
        if count > frames_max {
            return None;
        }
        // What is not known yet is in the first page.
        let layout = Layout { page_size, reserved: 0, schema_format: 0, encoding: Encoding::Utf8 };
        let mut pages = Self { file, layout, frames: HashMap::new(), salt: [0; 8] };
        if count > 0 {
            // Without the mark it is not known whether these are the frames that are seen.
            pages.salt = mark.0?;
            let mut frame = vec![0; FRAME_HEADER + page_size];
            for number in 1..=count {
                if !pages.file.log_frame(number, &mut frame) || salt_of(&frame) != pages.salt {
                    return None;
                }
                let page = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
                pages.frames.insert(page, number);
            }
        }
        let mut first = Vec::new();
        pages.read(1, &mut first, &mut Stretch::default()).ok()?;
        pages.layout = Layout::of(page_size, &first)?;
        Some(pages)
    }

    /// How the pages are laid out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes of a page that hold something.
    pub(crate) fn usable(&self) -> usize {
        self.layout.usable()
    }

    /// Fills `page` with page `number`, counted from 1. `stretch` is what was read last for the same
    /// purpose.
    ///
    /// # Errors
    /// [`Damaged`] if there is no such page.
    pub fn read(
        &self,
        number: u32,
        page: &mut Vec<u8>,
        stretch: &mut Stretch,
    ) -> Result<(), Damaged> {
        if let Some(frame) = self.frames.get(&number)
            && self.read_frame(*frame, page)
        {
            return Ok(());
        }
        let size = self.layout.page_size;
        page.resize(size, 0);
        if let Some(found) = stretch.page(number, size) {
            page.copy_from_slice(found);
            return Ok(());
        }
        let missing = Damaged("a page is missing");
        let offset = |number: u32| u64::from(number - 1) * size as u64;
        if number == 0 {
            return Err(missing);
        }
        let follows = number > stretch.last && number - stretch.last <= STRIDE_MAX;
        stretch.last = number;
        if follows && size < STRETCH_BYTES {
            stretch.bytes.resize(STRETCH_BYTES - STRETCH_BYTES % size, 0);
            // At the end of the file it is filled up with zeros, and what is missing is not used.
            if self.file.read(&mut stretch.bytes, offset(number)) {
                stretch.first = number;
                page.copy_from_slice(&stretch.bytes[..size]);
                return Ok(());
            }
            stretch.bytes.clear();
        }
        if self.file.read(page, offset(number)) { Ok(()) } else { Err(missing) }
    }

    /// Reads a page from the log; false if the log was begun anew meanwhile. Then all that this
    /// transaction sees was in the file before it began: else its lock had kept the log.
    fn read_frame(&self, frame: u32, page: &mut Vec<u8>) -> bool {
        page.resize(FRAME_HEADER + self.layout.page_size, 0);
        if !self.file.log_frame(frame, page) || salt_of(page) != self.salt {
            return false;
        }
        // A new log overwrites its first frame before others, so this one was whole.
        let mut first = vec![0; page.len()];
        if !self.file.log_frame(1, &mut first) || salt_of(&first) != self.salt {
            return false;
        }
        page.drain(..FRAME_HEADER);
        true
    }
}

/// Pages that follow each other in the file, read at once.
#[derive(Debug, Default)]
pub struct Stretch {
    bytes: Vec<u8>,
    first: u32,
    /// The page that was read last from the file.
    last: u32,
}

impl Stretch {
    fn page(&mut self, number: u32, size: usize) -> Option<&[u8]> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?.checked_mul(size)?;
        let found = self.bytes.get(at..at.checked_add(size)?)?;
        self.last = number;
        Some(found)
    }
}
