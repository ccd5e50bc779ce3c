//! Pages as the open read transaction sees them: the file itself, overlaid with its log.

use std::{collections::HashMap, ops::Range};

use rusqlite::Connection;

use crate::{Damaged, file::MainFile};

const FRAME_HEADER: usize = 24;
/// Where pages follow each other, this many bytes are read at once.
const STRETCH_BYTES: usize = 64 * 1024;
/// Pages are taken to follow each other where the next one is at most so far away.
const STRIDE_MAX: u32 = 4;
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
        // Those behind it are as good a guess as any.
        let at = self.find(number, stretch, number.saturating_add(1)..=u32::MAX)?;
        page.clear();
        page.extend_from_slice(&stretch.bytes[at..at + self.layout.page_size]);
        Ok(())
    }

    /// Reads page `number`, counted from 1, into `stretch`, and tells where it begins there. It stays
    /// until another one is read. `upcoming` are the pages that will be asked for next: those that
    /// directly follow this one in the file are read with it. Others between them are not: to copy
    /// one takes longer than to read once more.
    ///
    /// # Errors
    /// [`Damaged`] if there is no such page.
    pub(crate) fn find(
        &self,
        number: u32,
        stretch: &mut Stretch,
        upcoming: impl Iterator<Item = u32>,
    ) -> Result<usize, Damaged> {
        let missing = Damaged("a page is missing");
        if number == 0 {
            return Err(missing);
        }
        if stretch.single == number {
            return Ok(0);
        }
        let size = self.layout.page_size;
        if stretch.bytes.is_empty() {
            stretch.bytes.resize(size, 0);
        }
        if let Some(frame) = self.frames.get(&number) {
            stretch.single = 0;
            if self.read_frame(*frame, stretch) {
                stretch.single = number;
                return Ok(0);
            }
        }
        let follows = number > stretch.last && number - stretch.last <= STRIDE_MAX;
        stretch.last = number;
        if let Some(at) = stretch.in_run(number, size) {
            return Ok(at);
        }
        let offset = u64::from(number - 1) * size as u64;
        if follows && size < STRETCH_BYTES {
            let pages = 1 + upcoming
                .take(STRETCH_BYTES / size - 1)
                .zip(1..)
                .take_while(|(upcoming, places)| number.checked_add(*places) == Some(*upcoming))
                .count();
            if pages > 1 {
                stretch.bytes.resize(size + STRETCH_BYTES - STRETCH_BYTES % size, 0);
                stretch.run = number..number;
                // False at the end of the file: then page by page.
                if self.file.read(&mut stretch.bytes[size..][..pages * size], offset) {
                    let pages = u32::try_from(pages).expect("pages are not so small");
                    stretch.run = number..number.saturating_add(pages);
                    return Ok(size);
                }
            }
        }
        stretch.single = 0;
        if !self.file.read(&mut stretch.bytes[..size], offset) {
            return Err(missing);
        }
        stretch.single = number;
        Ok(0)
    }

    /// Reads a page from the log; false if the log was begun anew meanwhile. Then all that this
    /// transaction sees was in the file before it began: else its lock had kept the log.
    fn read_frame(&self, frame: u32, stretch: &mut Stretch) -> bool {
        let size = self.layout.page_size;
        let buffer = &mut stretch.frame;
        buffer.resize(FRAME_HEADER + size, 0);
        if !self.file.log_frame(frame, buffer) || salt_of(buffer) != self.salt {
            return false;
        }
        stretch.bytes[..size].copy_from_slice(&buffer[FRAME_HEADER..]);
        // A new log overwrites its first frame before others, so this one was whole.
        self.file.log_frame(1, buffer) && salt_of(buffer) == self.salt
    }
}

/// What was read last for one purpose: a page, and pages that follow each other in the file.
#[derive(Debug, Default)]
pub struct Stretch {
    /// A single page, then those that were read at once.
    bytes: Vec<u8>,
    /// The number of the single page; 0: there is none.
    single: u32,
    /// The numbers of those that were read at once.
    run: Range<u32>,
    /// The page that was read last from the file.
    last: u32,
    /// A page of the log, with what stands before it.
    frame: Vec<u8>,
}

impl Stretch {
    /// All bytes that are kept, among them those of the pages that were found.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn in_run(&self, number: u32, size: usize) -> Option<usize> {
        if !self.run.contains(&number) {
            return None;
        }
        Some(size * (1 + usize::try_from(number - self.run.start).ok()?))
    }
}
