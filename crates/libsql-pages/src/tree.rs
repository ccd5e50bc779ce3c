//! Walking through b-trees: tables by rowid, indexes by their first column.

use std::cmp::Ordering;

use rusqlite::types::ValueRef;

use crate::{
    Damaged, Pages,
    pages::Stretch,
    record::{Record, varint},
};

const LEAF_TABLE: u8 = 13;
const LEAF_INDEX: u8 = 10;
const INTERIOR_TABLE: u8 = 5;
const INTERIOR_INDEX: u8 = 2;
/// SQLite's own limit; a tree of 2^32 pages is not deeper.
const DEPTH_MAX: usize = 20;

const CUT_OFF: Damaged = Damaged("a cell is cut off");

/// A page on the way from the root to where the cursor stands.
#[derive(Debug, Default)]
struct Level {
    /// 0: nothing was read yet.
    number: u32,
    page: Vec<u8>,
    is_leaf: bool,
    cells: usize,
    /// In a leaf the current cell. Else the child that was entered, or the cell after it.
    at: usize,
}

impl Level {
    fn read(
        &mut self,
        tree: &TreeOf<'_>,
        number: u32,
        stretch: &mut Stretch,
    ) -> Result<(), Damaged> {
        if self.number == number {
            return Ok(());
        }
        self.number = 0;
        tree.pages.read(number, &mut self.page, stretch)?;
        let (leaf, interior) =
            if tree.is_index { (LEAF_INDEX, INTERIOR_INDEX) } else { (LEAF_TABLE, INTERIOR_TABLE) };
        self.is_leaf = self.page[0] == leaf;
        if !self.is_leaf && self.page[0] != interior {
            return Err(Damaged("a page is not part of its tree"));
        }
        self.cells = usize::from(u16::from_be_bytes([self.page[3], self.page[4]]));
        self.number = number;
        Ok(())
    }

    /// Where a cell begins.
    fn cell(&self, cell: usize) -> Result<usize, Damaged> {
        let at = if self.is_leaf { 8 } else { 12 } + 2 * cell;
        let bytes = self.page.get(at..at + 2).ok_or(CUT_OFF)?;
        Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    }

    /// The child before a cell, or after the last.
    fn child(&self, cell: usize) -> Result<u32, Damaged> {
        let at = if cell == self.cells { 8 } else { self.cell(cell)? };
        let bytes = self.page.get(at..at + 4).ok_or(CUT_OFF)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// The first cell for which `reaches` holds, which then holds for all after it.
    fn first_cell(
        &self,
        mut reaches: impl FnMut(usize) -> Result<bool, Damaged>,
    ) -> Result<usize, Damaged> {
        let (mut low, mut high) = (0, self.cells);
        while low < high {
            let middle = low.midpoint(high);
            if reaches(self.cell(middle)?)? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }
}

/// One of the two sorts of trees, whose cells are read differently.
#[derive(Clone, Copy, Debug)]
pub struct TreeOf<'p> {
    pages: &'p Pages<'p>,
    is_index: bool,
}

/// Where a cell's record is.
#[derive(Debug, Default)]
pub struct Payload {
    /// The length of all of it.
    pub length: usize,
    /// Its beginning on this page.
    pub start: usize,
    /// Its end on this page.
    pub end: usize,
    /// The first page of what does not fit on this page, or 0.
    pub overflow: u32,
}

impl<'p> TreeOf<'p> {
    /// The tree of a table with rowids, or that of an index or a table `WITHOUT ROWID`.
    pub fn new(pages: &'p Pages<'p>, is_index: bool) -> Self {
        Self { pages, is_index }
    }

    /// The record whose length stands at `at`; and what else stands before it, a rowid.
    ///
    /// # Errors
    /// [`Damaged`] if it does not end on the page.
    #[inline]
    pub fn payload(&self, page: &[u8], at: usize) -> Result<(Payload, i64), Damaged> {
        let (length, used) = varint(page, at).ok_or(CUT_OFF)?;
        let mut start = at + used;
        let mut rowid = 0;
        if !self.is_index {
            let (number, used) = varint(page, start).ok_or(CUT_OFF)?;
            rowid = number.cast_signed();
            start += used;
        }
        let length = usize::try_from(length).ok().filter(|n| i32::try_from(*n).is_ok());
        let length = length.ok_or(CUT_OFF)?;
        let end = start + self.local_length(length);
        let mut overflow = 0;
        if end - start < length {
            let bytes = page.get(end..end + 4).ok_or(CUT_OFF)?;
            overflow = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        if end > page.len() {
            return Err(CUT_OFF);
        }
        Ok((Payload { length, start, end, overflow }, rowid))
    }

    /// How much of a record of `length` bytes is on its page.
    #[inline]
    pub fn local_length(&self, length: usize) -> usize {
        let usable = self.pages.usable();
        let most = if self.is_index { (usable - 12) * 64 / 255 - 23 } else { usable - 35 };
        if length <= most {
            return length;
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (usable - 4);
        if fitting <= most { fitting } else { least }
    }

    /// Reads the rest of a record, which continues on other pages.
    fn gather(
        &self,
        page: &[u8],
        payload: &Payload,
        whole: &mut Vec<u8>,
        stretch: &mut Stretch,
    ) -> Result<(), Damaged> {
        whole.clear();
        whole.extend_from_slice(&page[payload.start..payload.end]);
        let (mut next, mut buffer) = (payload.overflow, Vec::new());
        while whole.len() < payload.length {
            self.pages.read(next, &mut buffer, stretch)?;
            next = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
            let part = (payload.length - whole.len()).min(self.pages.usable() - 4);
            whole.extend_from_slice(&buffer[4..4 + part]);
        }
        Ok(())
    }
}

/// A cursor of either sort.
#[derive(Debug)]
struct Cursor<'p> {
    tree: TreeOf<'p>,
    root: u32,
    levels: Vec<Level>,
    /// How many of the levels are in use; 0: the cursor stands nowhere.
    depth: usize,
    payload: Payload,
    rowid: i64,
    /// A record that continues on other pages.
    whole: Vec<u8>,
    stretch: Stretch,
    /// Overflow pages and the tree's own lie in different places.
    overflow_stretch: Stretch,
}

impl<'p> Cursor<'p> {
    fn new(pages: &'p Pages<'p>, root: u32, is_index: bool) -> Self {
        Self {
            tree: TreeOf { pages, is_index },
            root,
            levels: Vec::new(),
            depth: 0,
            payload: Payload::default(),
            rowid: 0,
            whole: Vec::new(),
            stretch: Stretch::default(),
            overflow_stretch: Stretch::default(),
        }
    }

    /// Goes down one level, to page `number`.
    fn enter(&mut self, number: u32) -> Result<&mut Level, Damaged> {
        if self.depth == DEPTH_MAX {
            return Err(Damaged("a tree is too deep"));
        }
        if self.levels.len() == self.depth {
            self.levels.push(Level::default());
        }
        self.depth += 1;
        let level = &mut self.levels[self.depth - 1];
        level.read(&self.tree, number, &mut self.stretch)?;
        Ok(level)
    }

    /// Stands on the first cell at or after the place that `reaches` tells, see
    /// [`Level::first_cell`]; it is given the page and where a key begins. False if there is none.
    fn seek(
        &mut self,
        mut reaches: impl FnMut(&TreeOf<'_>, &Level, usize) -> Result<bool, Damaged>,
    ) -> Result<bool, Damaged> {
        self.depth = 0;
        let mut number = self.root;
        loop {
            self.enter(number)?;
            let place = self.depth - 1;
            let level = &self.levels[place];
            let at = level.first_cell(|start| {
                reaches(&self.tree, level, if level.is_leaf { start } else { start + 4 })
            })?;
            let level = &mut self.levels[place];
            level.at = at;
            if level.is_leaf {
                return if at < level.cells { self.load() } else { self.leave() };
            }
            number = level.child(at)?;
        }
    }

    /// Goes to the next cell; false at the end.
    fn advance(&mut self) -> Result<bool, Damaged> {
        let Some(place) = self.depth.checked_sub(1) else { return Ok(false) };
        let level = &mut self.levels[place];
        level.at += 1;
        if !level.is_leaf {
            // It stood between two children.
            let child = level.child(level.at)?;
            return self.first_below(child);
        }
        if level.at < level.cells { self.load() } else { self.leave() }
    }

    /// Goes from the end of a page to what comes after it.
    fn leave(&mut self) -> Result<bool, Damaged> {
        loop {
            self.depth -= 1;
            let Some(place) = self.depth.checked_sub(1) else { return Ok(false) };
            let level = &mut self.levels[place];
            if level.at >= level.cells {
                continue;
            }
            // An index keeps an entry between every two children.
            if self.tree.is_index {
                return self.load();
            }
            level.at += 1;
            let child = level.child(level.at)?;
            return self.first_below(child);
        }
    }

    /// Goes to the first cell below a page.
    fn first_below(&mut self, mut number: u32) -> Result<bool, Damaged> {
        loop {
            let level = self.enter(number)?;
            level.at = 0;
            if level.is_leaf {
                return if level.cells > 0 { self.load() } else { self.leave() };
            }
            number = level.child(0)?;
        }
    }

    /// Finds the record of the current cell.
    fn load(&mut self) -> Result<bool, Damaged> {
        let level = &self.levels[self.depth - 1];
        let start = level.cell(level.at)? + if level.is_leaf { 0 } else { 4 };
        (self.payload, self.rowid) = self.tree.payload(&level.page, start)?;
        if self.payload.overflow != 0 {
            let stretch = &mut self.overflow_stretch;
            self.tree.gather(&level.page, &self.payload, &mut self.whole, stretch)?;
        }
        Ok(true)
    }

    /// The record of the current cell.
    fn bytes(&self) -> &[u8] {
        if self.payload.overflow != 0 {
            return &self.whole;
        }
        match self.depth.checked_sub(1) {
            Some(place) => &self.levels[place].page[self.payload.start..self.payload.end],
            None => &[],
        }
    }
}

/// A table with rowids, row by row.
#[derive(Debug)]
pub struct TableCursor<'p>(Cursor<'p>);

impl<'p> TableCursor<'p> {
    /// A cursor over the table whose tree begins on page `root` (`rootpage` of `sqlite_schema`). It
    /// stands nowhere at first.
    pub fn new(pages: &'p Pages<'p>, root: u32) -> Self {
        Self(Cursor::new(pages, root, false))
    }

    /// Goes to the first row with this rowid or a higher one; false if there is none.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn seek(&mut self, rowid: i64) -> Result<bool, Damaged> {
        self.0.seek(|_, level, start| {
            // A leaf has the record's length before the rowid.
            let skipped =
                if level.is_leaf { varint(&level.page, start).ok_or(CUT_OFF)?.1 } else { 0 };
            let (found, _) = varint(&level.page, start + skipped).ok_or(CUT_OFF)?;
            Ok(found.cast_signed() >= rowid)
        })
    }

    /// Goes to the row with this rowid; false if there is none. Quick where it is the next one, or
    /// near.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn find(&mut self, rowid: i64) -> Result<bool, Damaged> {
        if self.0.depth > 0 && self.0.rowid < rowid && self.advance()? && self.0.rowid == rowid {
            return Ok(true);
        }
        Ok(self.seek(rowid)? && self.0.rowid == rowid)
    }

    /// Goes to the next row; false at the end.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn advance(&mut self) -> Result<bool, Damaged> {
        self.0.advance()
    }

    /// The rowid of the current row.
    pub fn rowid(&self) -> i64 {
        self.0.rowid
    }

    /// The record of the current row.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The entries of an index of a table with rowids whose first column ascends.
#[derive(Debug)]
pub struct IndexCursor<'p> {
    cursor: Cursor<'p>,
    record: Record,
}

impl<'p> IndexCursor<'p> {
    /// A cursor over the index whose tree begins on page `root`. It stands nowhere at first.
    pub fn new(pages: &'p Pages<'p>, root: u32) -> Self {
        Self { cursor: Cursor::new(pages, root, true), record: Record::default() }
    }

    /// Goes to the first entry; false if there is none.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn first(&mut self) -> Result<bool, Damaged> {
        let found = self.cursor.seek(|_, _, _| Ok(true))?;
        self.parse(found)
    }

    /// Goes to the first entry whose first column is this number or comes after it; false if there
    /// is none.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn seek(&mut self, number: i64) -> Result<bool, Damaged> {
        let mut record = Record::default();
        let found = self.cursor.seek(|tree, level, start| {
            let (payload, _) = tree.payload(&level.page, start)?;
            if payload.overflow == 0 {
                let bytes = &level.page[payload.start..payload.end];
                record.parse(bytes)?;
                return Ok(compare(record.value(bytes, 0), number).is_ge());
            }
            let mut whole = Vec::new();
            tree.gather(&level.page, &payload, &mut whole, &mut Stretch::default())?;
            record.parse(&whole)?;
            Ok(compare(record.value(&whole, 0), number).is_ge())
        })?;
        self.parse(found)
    }

    /// Goes to the next entry; false at the end.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn advance(&mut self) -> Result<bool, Damaged> {
        let found = self.cursor.advance()?;
        self.parse(found)
    }

    fn parse(&mut self, found: bool) -> Result<bool, Damaged> {
        if found {
            self.record.parse(self.cursor.bytes())?;
        }
        Ok(found)
    }

    /// The first column of the current entry.
    pub fn key(&self) -> ValueRef<'_> {
        self.record.value(self.cursor.bytes(), 0).unwrap_or(ValueRef::Null)
    }

    /// How the first column of the current entry stands to a number.
    pub fn compare(&self, number: i64) -> Ordering {
        compare(Some(self.key()), number)
    }

    /// The rowid of the row that the current entry points to.
    ///
    /// # Errors
    /// [`Damaged`] if it points to none.
    pub fn rowid(&self) -> Result<i64, Damaged> {
        let last = self.record.len().checked_sub(1);
        match last.and_then(|last| self.record.value(self.cursor.bytes(), last)) {
            Some(ValueRef::Integer(rowid)) => Ok(rowid),
            _ => Err(Damaged("an index entry names no row")),
        }
    }
}

/// How a value stands to a number in an index.
fn compare(value: Option<ValueRef<'_>>, number: i64) -> Ordering {
    match value {
        None | Some(ValueRef::Null) => Ordering::Less,
        Some(ValueRef::Integer(own)) => own.cmp(&number),
        Some(ValueRef::Real(own)) => compare_real(own, number),
        Some(ValueRef::Text(_) | ValueRef::Blob(_)) => Ordering::Greater,
    }
}

/// Exact, where a conversion of the number to a real would not be.
fn compare_real(real: f64, number: i64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if real >= LIMIT {
        return Ordering::Greater;
    }
    if real < -LIMIT {
        return Ordering::Less;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the range of an i64")]
    let whole = real.trunc() as i64;
    whole.cmp(&number).then_with(|| real.fract().partial_cmp(&0.0).unwrap_or(Ordering::Equal))
}
