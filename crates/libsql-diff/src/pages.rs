//! The pages of a database file as the current read transaction sees them: the file itself,
//! overlaid with the frames of its write-ahead log.

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::Connection;

use crate::sqlite::MainFile;

const FRAME_HEADER: usize = 24;
/// How much of the file is read at once, at most, where pages follow each other.
const AHEAD_BYTES_MAX: usize = 128 << 10;
/// Pages of other trees lie between those of one that grew with them.
const GAP_PAGES_MAX: u32 = 4;

/// A piece of the file that was read before all of it was asked for.
#[derive(Default)]
struct Ahead {
    bytes: Vec<u8>,
    /// The number of its first page.
    first: u32,
    /// The page of a tree asked for last.
    last: u32,
    /// How many pages to read the next time that what was read is used up; doubled each time.
    pages: usize,
}

pub(crate) struct Pages<'c> {
    file: MainFile<'c>,
    /// What both files must have in common for their pages to be comparable.
    pub layout: Layout,
    /// For each page in the log, the last frame that holds it.
    frames: HashMap<u32, u32>,
    salt: Option<[u8; 8]>,
    ahead: RefCell<Ahead>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub page_size: usize,
    /// Bytes at the end of each page that extensions use.
    pub reserved: usize,
    /// Since format 4, descending keys are stored so.
    pub schema_format: u32,
}

impl Layout {
    pub(crate) fn usable(self) -> usize {
        self.page_size - self.reserved
    }
}

/// What tells one generation of the log from the next.
pub(crate) fn log_salt(conn: &Connection, page_size: usize) -> Option<[u8; 8]> {
    let file = MainFile::of(conn)?;
    let mut frame = vec![0; FRAME_HEADER + page_size];
    file.wal_frame(1, &mut frame).then(|| salt_of(&frame))
}

fn salt_of(frame: &[u8]) -> [u8; 8] {
    let mut salt = [0; 8];
    salt.copy_from_slice(&frame[8..16]);
    salt
}

impl<'c> Pages<'c> {
    /// None if the pages cannot be read with certainty: no file, an encrypted one, a log that is
    /// being written to this moment.
    ///
    /// The caller is inside a read transaction that began after `salt_before` was taken with
    /// [`log_salt`]. A log is only begun anew, over the frames that this transaction sees, with a
    /// new salt; the same salt before, now and at [`Pages::is_unchanged`] means that those frames
    /// stayed as they were.
    pub(crate) fn open(
        conn: &'c Connection,
        page_size: usize,
        salt_before: Option<[u8; 8]>,
    ) -> Option<Self> {
        let file = MainFile::of(conn)?;
        if !(512..=65_536).contains(&page_size) {
            return None;
        }
        let count = file.wal_frames()?;
        let mut frames = HashMap::new();
        let mut frame = vec![0; FRAME_HEADER + page_size];
        let mut salt = None;
        for number in 1..=count {
            if !file.wal_frame(number, &mut frame) {
                return None;
            }
            if salt_before != Some(salt_of(&frame)) {
                return None;
            }
            salt = salt_before;
            let page = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
            frames.insert(page, number);
        }
        let layout = Layout { page_size, reserved: 0, schema_format: 0 };
        let mut pages = Self { file, layout, frames, salt, ahead: RefCell::default() };
        let mut first = vec![0; page_size];
        if !pages.read(1, &mut first) || !first.starts_with(b"SQLite format 3\0") {
            return None;
        }
        pages.layout.reserved = usize::from(first[20]);
        pages.layout.schema_format =
            u32::from_be_bytes([first[44], first[45], first[46], first[47]]);
        (pages.layout.usable() >= 480).then_some(pages)
    }

    /// Fills `page` with page `number`, counted from 1; false if there is no such page.
    pub(crate) fn read(&self, number: u32, page: &mut Vec<u8>) -> bool {
        self.read_log(number, page).unwrap_or_else(|| self.read_ahead(number, page))
    }

    /// As [`Pages::read`], for a page that lies aside of the others.
    pub(crate) fn read_overflow(&self, number: u32, page: &mut Vec<u8>) -> bool {
        self.read_log(number, page).unwrap_or_else(|| {
            self.copy_ahead(number, page)
                || self.offset(number).is_some_and(|offset| self.file.read(page, offset))
        })
    }

    /// None if the page is not in the log; `page` is then of the right size.
    fn read_log(&self, number: u32, page: &mut Vec<u8>) -> Option<bool> {
        if let Some(&frame) = self.frames.get(&number) {
            page.resize(FRAME_HEADER + self.layout.page_size, 0);
            let read = self.file.wal_frame(frame, page) && Some(salt_of(page)) == self.salt;
            page.drain(..FRAME_HEADER);
            return Some(read);
        }
        page.resize(self.layout.page_size, 0);
        None
    }

    fn offset(&self, number: u32) -> Option<u64> {
        Some(u64::from(number.checked_sub(1)?) * self.layout.page_size as u64)
    }

    /// Takes the page from what was read ahead; false if it is not in there.
    fn copy_ahead(&self, number: u32, page: &mut [u8]) -> bool {
        let ahead = self.ahead.borrow();
        let size = self.layout.page_size;
        let found = || {
            let index = usize::try_from(number.checked_sub(ahead.first)?).ok()?;
            let at = index.checked_mul(size)?;
            ahead.bytes.get(at..at.checked_add(size)?)
        };
        match found() {
            Some(bytes) => page.copy_from_slice(bytes),
            None => return false,
        }
        true
    }

    /// Reads from the file, and more at once the longer pages follow each other. What the file
    /// holds of pages that are in the log does not matter, and the others do not change while this
    /// transaction is open.
    fn read_ahead(&self, number: u32, page: &mut [u8]) -> bool {
        let Some(offset) = self.offset(number) else { return false };
        let is_read = self.copy_ahead(number, page);
        let mut ahead = self.ahead.borrow_mut();
        let follows = number > ahead.last && number - ahead.last <= GAP_PAGES_MAX;
        ahead.last = number;
        if is_read {
            return true;
        }
        if follows {
            let size = self.layout.page_size;
            let pages_max = (AHEAD_BYTES_MAX / size).max(1);
            ahead.pages = (ahead.pages * 2).clamp(2, pages_max.max(2));
            let length = ahead.pages * size;
            ahead.first = number;
            ahead.bytes.resize(length, 0);
            if self.file.read(&mut ahead.bytes, offset) {
                page.copy_from_slice(&ahead.bytes[..size]);
                return true;
            }
            // The file ends before.
            ahead.bytes.clear();
        }
        ahead.pages = 1;
        self.file.read(page, offset)
    }

    /// Whether the log is still the one that was read.
    pub(crate) fn is_unchanged(&self) -> bool {
        let Some(salt) = self.salt else { return true };
        let mut frame = vec![0; FRAME_HEADER + self.layout.page_size];
        self.file.wal_frame(1, &mut frame) && salt_of(&frame) == salt
    }
}
