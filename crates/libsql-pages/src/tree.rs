//! Walking through b-trees: tables by rowid, indexes by their first column.

use std::cmp::Ordering;

use rusqlite::types::ValueRef;

use crate::{
    Damaged, Pages,
    pages::Stretch,
    record::{Record, two_numbers, varint},
};

const LEAF_TABLE: u8 = 13;
const LEAF_INDEX: u8 = 10;
const INTERIOR_TABLE: u8 = 5;
const INTERIOR_INDEX: u8 = 2;
/// SQLite's own limit; a tree of 2^32 pages is not deeper.
const DEPTH_MAX: usize = 20;

const CUT_OFF: Damaged = Damaged("a cell is cut off");

/// An interior page on the way from the root to where the cursor stands.
#[derive(Debug, Default)]
struct Interior {
    /// 0: nothing was read yet.
    number: u32,
    page: Vec<u8>,
    cells: usize,
    /// The child that was entered, or the cell after it.
    at: usize,
}

impl Interior {
    const HEADER: usize = 12;

    /// The child before a cell, or after the last.
    fn child(&self, cell: usize) -> Result<u32, Damaged> {
        let last = 8;
        let at = if cell == self.cells { last } else { cell_at(&self.page, Self::HEADER, cell)? };
        four_bytes(&self.page, at)
    }

    /// The children after the one that was entered.
    fn upcoming(&self) -> impl Iterator<Item = u32> {
        (self.at + 1..=self.cells).map_while(|cell| self.child(cell).ok())
    }

    /// Where the content of a cell begins, behind its child.
    fn content(&self, cell: usize) -> Result<usize, Damaged> {
        Ok(cell_at(&self.page, Self::HEADER, cell)? + 4)
    }
}

/// The leaf page that the cursor stands on, or came from: its bytes are in the cursor's stretch.
#[derive(Debug, Default)]
struct Leaf {
    /// Where it begins there.
    start: usize,
    /// Where it ends.
    end: usize,
    cells: usize,
    at: usize,
}

impl Leaf {
    const HEADER: usize = 8;
}

/// Where a cell begins on a page with a header of this length.
#[inline]
fn cell_at(page: &[u8], header: usize, cell: usize) -> Result<usize, Damaged> {
    let at = header + 2 * cell;
    let bytes = page.get(at..at + 2).ok_or(CUT_OFF)?;
    Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

fn four_bytes(page: &[u8], at: usize) -> Result<u32, Damaged> {
    let bytes = page.get(at..at + 4).ok_or(CUT_OFF)?;
    Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Of a cell of a table whose record is below 16 KB and whose rowid is below 2^28: where the record
/// begins, its length, and the rowid. `None` for others.
#[inline]
fn short_cell(page: &[u8], at: usize) -> Option<(usize, usize, i64)> {
    let head: &[u8; 6] = page.get(at..)?.first_chunk()?;
    let (length, used, four) = match *head {
        [one, rest @ .., _] if one < 0x80 => (usize::from(one), 1, rest),
        [one, two, rest @ ..] if two < 0x80 => {
            (usize::from(one & 0x7f) << 7 | usize::from(two), 2, rest)
        }
        _ => return None,
    };
    let four = u32::from_be_bytes(four);
    // The first byte without its highest bit is the last one of a number.
    let others = 3_u32.checked_sub((!four & 0x8080_8080).leading_zeros() / 8)?;
    let own = four >> (8 * others);
    let rowid = own & 0x7f | own >> 1 & 0x3f80 | own >> 2 & 0x1f_c000 | own >> 3 & 0xfe0_0000;
    Some((at + used + 4 - others as usize, length, rowid.into()))
}

/// The first of so many cells for which `reaches` holds, which then holds for all after it.
fn first_cell(
    cells: usize,
    mut reaches: impl FnMut(usize) -> Result<bool, Damaged>,
) -> Result<usize, Damaged> {
    let (mut low, mut high) = (0, cells);
    while low < high {
        let middle = low.midpoint(high);
        if reaches(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// One of the two sorts of trees, whose cells are read differently.
#[derive(Clone, Copy, Debug)]
pub struct TreeOf<'p> {
    pages: &'p Pages<'p>,
    is_index: bool,
    /// Longer records continue on other pages.
    local_max: usize,
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
        let usable = pages.usable();
        let local_max = if is_index { (usable - 12) * 64 / 255 - 23 } else { usable - 35 };
        Self { pages, is_index, local_max }
    }

    /// The record whose length stands at `at`; and what else stands before it, a rowid.
    ///
    /// # Errors
    /// [`Damaged`] if it does not end on the page.
    #[inline]
    pub fn payload(&self, page: &[u8], at: usize) -> Result<(Payload, i64), Damaged> {
        match self.short_payload(page, at) {
            Some(found) => Ok(found),
            None => self.any_payload(page, at),
        }
    }

    /// The same for a short cell of a table, see [`short_cell`]; `None` for others.
    #[inline]
    fn short_payload(&self, page: &[u8], at: usize) -> Option<(Payload, i64)> {
        if self.is_index {
            return None;
        }
        let (start, length, rowid) = short_cell(page, at)?;
        let end = start + length;
        (length <= self.local_max && end <= page.len())
            .then_some((Payload { length, start, end, overflow: 0 }, rowid))
    }

    /// The same for every cell.
    fn any_payload(&self, page: &[u8], at: usize) -> Result<(Payload, i64), Damaged> {
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
        if end > page.len() {
            return Err(CUT_OFF);
        }
        let overflow = if end - start < length { four_bytes(page, end)? } else { 0 };
        Ok((Payload { length, start, end, overflow }, rowid))
    }

    /// How much of a record of `length` bytes is on its page.
    #[inline]
    pub fn local_length(&self, length: usize) -> usize {
        if length <= self.local_max { length } else { self.local_part(length) }
    }

    /// The same for a record that continues on other pages.
    fn local_part(&self, length: usize) -> usize {
        let usable = self.pages.usable();
        let least = (usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (usable - 4);
        if fitting <= self.local_max { fitting } else { least }
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

/// Where a cursor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Leaf,
    /// On a cell between two children; in an index only.
    Interior,
}

/// A cursor of either sort.
#[derive(Debug)]
struct Cursor<'p> {
    tree: TreeOf<'p>,
    root: u32,
    interiors: Vec<Interior>,
    /// How many of them are in use.
    depth: usize,
    leaf: Leaf,
    place: Place,
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
            tree: TreeOf::new(pages, is_index),
            root,
            interiors: Vec::new(),
            depth: 0,
            leaf: Leaf::default(),
            place: Place::Nowhere,
            payload: Payload::default(),
            rowid: 0,
            whole: Vec::new(),
            stretch: Stretch::default(),
            overflow_stretch: Stretch::default(),
        }
    }

    #[inline]
    fn leaf_page(&self) -> &[u8] {
        &self.stretch.bytes()[self.leaf.start..self.leaf.end]
    }

    /// Appends the entries from the beginning of this leaf of an index that are two whole numbers and
    /// nothing else, up to the first that is not.
    fn pairs(&self, pairs: &mut Vec<(i64, i64)>) {
        let page = self.leaf_page();
        pairs.extend((0..self.leaf.cells).map_while(|cell| {
            let start = cell_at(page, Leaf::HEADER, cell).ok()?;
            let length = usize::from(*page.get(start).filter(|length| **length < 0x80)?);
            two_numbers(page, start + 1..start + 1 + length)
        }));
    }

    /// Goes down to page `number`; true if that is a leaf.
    fn enter(&mut self, number: u32) -> Result<bool, Damaged> {
        if self.interiors.get(self.depth).is_some_and(|interior| interior.number == number) {
            self.depth += 1;
            return Ok(false);
        }
        let above = self.depth.checked_sub(1).map(|above| &self.interiors[above]);
        let upcoming = above.into_iter().flat_map(Interior::upcoming);
        self.leaf.start = self.tree.pages.find(number, &mut self.stretch, upcoming)?;
        self.leaf.end = self.leaf.start + self.tree.pages.layout().page_size;
        let (leaf, interior) = if self.tree.is_index {
            (LEAF_INDEX, INTERIOR_INDEX)
        } else {
            (LEAF_TABLE, INTERIOR_TABLE)
        };
        let page = self.leaf_page();
        let (sort, cells) = (page[0], usize::from(u16::from_be_bytes([page[3], page[4]])));
        if sort == leaf {
            self.leaf.cells = cells;
            return Ok(true);
        }
        if sort != interior {
            return Err(Damaged("a page is not part of its tree"));
        }
        if self.depth == DEPTH_MAX {
            return Err(Damaged("a tree is too deep"));
        }
        if self.interiors.len() == self.depth {
            self.interiors.push(Interior::default());
        }
        let mut interior = std::mem::take(&mut self.interiors[self.depth]);
        interior.page.clear();
        interior.page.extend_from_slice(self.leaf_page());
        (interior.number, interior.cells) = (number, cells);
        self.interiors[self.depth] = interior;
        self.depth += 1;
        Ok(false)
    }

    /// The page that was entered last above the leaf.
    fn interior(&mut self) -> &mut Interior {
        &mut self.interiors[self.depth - 1]
    }

    /// Stands on the first cell at or after the place that `reaches` tells, see [`first_cell`]; it is
    /// given the page, where a key begins, and whether that is in a leaf. False if there is none.
    fn seek(
        &mut self,
        mut reaches: impl FnMut(&TreeOf<'_>, &[u8], usize, bool) -> Result<bool, Damaged>,
    ) -> Result<bool, Damaged> {
        (self.depth, self.place) = (0, Place::Nowhere);
        let mut number = self.root;
        while !self.enter(number)? {
            let tree = self.tree;
            let interior = self.interior();
            interior.at = first_cell(interior.cells, |cell| {
                reaches(&tree, &interior.page, interior.content(cell)?, false)
            })?;
            number = interior.child(interior.at)?;
        }
        let page = self.leaf_page();
        let at = first_cell(self.leaf.cells, |cell| {
            reaches(&self.tree, page, cell_at(page, Leaf::HEADER, cell)?, true)
        })?;
        self.stand_in_leaf(at)
    }

    /// Goes to the next cell; false at the end.
    #[inline]
    fn advance(&mut self) -> Result<bool, Damaged> {
        match self.place {
            Place::Nowhere => Ok(false),
            Place::Leaf => self.stand_in_leaf(self.leaf.at + 1),
            Place::Interior => self.enter_next_child(),
        }
    }

    /// Goes to this cell of the leaf, or to what comes after the leaf.
    #[inline]
    fn stand_in_leaf(&mut self, at: usize) -> Result<bool, Damaged> {
        let Some((payload, rowid)) = self.short_payload(at) else {
            return self.stand_on_any_cell(at);
        };
        self.leaf.at = at;
        self.place = Place::Leaf;
        (self.payload, self.rowid) = (payload, rowid);
        Ok(true)
    }

    /// The record of a cell of this leaf and its rowid, see [`TreeOf::short_payload`].
    #[inline]
    fn short_payload(&self, at: usize) -> Option<(Payload, i64)> {
        if at >= self.leaf.cells {
            return None;
        }
        let page = self.leaf_page();
        self.tree.short_payload(page, cell_at(page, Leaf::HEADER, at).ok()?)
    }

    fn stand_on_any_cell(&mut self, at: usize) -> Result<bool, Damaged> {
        if at >= self.leaf.cells {
            return self.leave();
        }
        self.leaf.at = at;
        self.place = Place::Leaf;
        let page = self.leaf_page();
        let start = cell_at(page, Leaf::HEADER, at)?;
        let (payload, rowid) = self.tree.any_payload(page, start)?;
        (self.payload, self.rowid) = (payload, rowid);
        if self.payload.overflow != 0 {
            self.gather()?;
        }
        Ok(true)
    }

    /// Goes from the end of a page to what comes after it.
    fn leave(&mut self) -> Result<bool, Damaged> {
        while self.depth > 0 {
            let is_index = self.tree.is_index;
            let interior = self.interior();
            if interior.at >= interior.cells {
                self.depth -= 1;
                continue;
            }
            if !is_index {
                return self.enter_next_child();
            }
            // An index keeps an entry between every two children.
            let start = interior.content(interior.at)?;
            let page = &self.interiors[self.depth - 1].page;
            (self.payload, self.rowid) = self.tree.payload(page, start)?;
            self.place = Place::Interior;
            if self.payload.overflow != 0 {
                self.gather()?;
            }
            return Ok(true);
        }
        self.place = Place::Nowhere;
        Ok(false)
    }

    /// Goes to the first cell below the next child of the current interior page.
    fn enter_next_child(&mut self) -> Result<bool, Damaged> {
        let interior = self.interior();
        interior.at += 1;
        let mut number = interior.child(interior.at)?;
        while !self.enter(number)? {
            let interior = self.interior();
            interior.at = 0;
            number = interior.child(0)?;
        }
        self.stand_in_leaf(0)
    }

    /// The page of the current cell.
    #[inline]
    fn page(&self) -> &[u8] {
        match self.place {
            Place::Nowhere => &[],
            Place::Leaf => self.leaf_page(),
            Place::Interior => &self.interiors[self.depth - 1].page,
        }
    }

    /// Reads the rest of the current record, which continues on other pages.
    fn gather(&mut self) -> Result<(), Damaged> {
        let mut whole = std::mem::take(&mut self.whole);
        let mut stretch = std::mem::take(&mut self.overflow_stretch);
        let gathered = self.tree.gather(self.page(), &self.payload, &mut whole, &mut stretch);
        (self.whole, self.overflow_stretch) = (whole, stretch);
        gathered
    }

    /// The record of the current cell.
    #[inline]
    fn bytes(&self) -> &[u8] {
        if self.payload.overflow != 0 {
            return &self.whole;
        }
        self.page().get(self.payload.start..self.payload.end).unwrap_or_default()
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
        self.0.seek(|_, page, start, is_leaf| {
            // A leaf has the record's length before the rowid.
            let skipped = if is_leaf { varint(page, start).ok_or(CUT_OFF)?.1 } else { 0 };
            let (found, _) = varint(page, start + skipped).ok_or(CUT_OFF)?;
            Ok(found.cast_signed() >= rowid)
        })
    }

    /// Goes to the row with this rowid; false if there is none. Quick where it is the next one, or
    /// near.
    ///
    /// # Errors
    /// [`Damaged`].
    #[inline]
    pub fn find(&mut self, rowid: i64) -> Result<bool, Damaged> {
        let is_before = self.0.place != Place::Nowhere && self.0.rowid < rowid;
        if is_before && self.advance()? && self.0.rowid == rowid {
            return Ok(true);
        }
        Ok(self.seek(rowid)? && self.0.rowid == rowid)
    }

    /// Goes to the next row; false at the end.
    ///
    /// # Errors
    /// [`Damaged`].
    #[inline]
    pub fn advance(&mut self) -> Result<bool, Damaged> {
        self.0.advance()
    }

    /// The rowid of the current row.
    #[inline]
    pub fn rowid(&self) -> i64 {
        self.0.rowid
    }

    /// The record of the current row.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The entries of an index of a table with rowids whose first column ascends.
#[derive(Debug)]
pub struct IndexCursor<'p> {
    cursor: Cursor<'p>,
    /// The entries of the leaf, see [`Cursor::pairs`]; none if it was not entered at its beginning.
    pairs: Vec<(i64, i64)>,
    /// The first column and the rowid, if the entry is nothing but two numbers.
    pair: Option<(i64, i64)>,
    /// The values of an entry that is more.
    record: Record,
}

impl<'p> IndexCursor<'p> {
    /// A cursor over the index whose tree begins on page `root`. It stands nowhere at first.
    pub fn new(pages: &'p Pages<'p>, root: u32) -> Self {
        Self {
            cursor: Cursor::new(pages, root, true),
            pairs: Vec::new(),
            pair: None,
            record: Record::default(),
        }
    }

    /// Goes to the first entry; false if there is none.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn first(&mut self) -> Result<bool, Damaged> {
        self.pairs.clear();
        let found = self.cursor.seek(|_, _, _, _| Ok(true))?;
        self.parse(found)
    }

    /// Goes to the first entry whose first column is this number or comes after it; false if there
    /// is none.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn seek(&mut self, number: i64) -> Result<bool, Damaged> {
        self.pairs.clear();
        let mut record = Record::default();
        let found = self.cursor.seek(|tree, page, start, _| {
            let (payload, _) = tree.payload(page, start)?;
            if payload.overflow == 0 {
                let bytes = &page[payload.start..payload.end];
                record.parse(bytes)?;
                return Ok(compare(record.value(bytes, 0), number).is_ge());
            }
            let mut whole = Vec::new();
            tree.gather(page, &payload, &mut whole, &mut Stretch::default())?;
            record.parse(&whole)?;
            Ok(compare(record.value(&whole, 0), number).is_ge())
        })?;
        self.parse(found)
    }

    /// Goes to the next entry; false at the end.
    ///
    /// # Errors
    /// [`Damaged`].
    #[inline]
    pub fn advance(&mut self) -> Result<bool, Damaged> {
        let next = self.cursor.leaf.at + 1;
        if self.cursor.place == Place::Leaf
            && let Some(pair) = self.pairs.get(next)
        {
            self.cursor.leaf.at = next;
            self.pair = Some(*pair);
            return Ok(true);
        }
        self.advance_by_cell()
    }

    fn advance_by_cell(&mut self) -> Result<bool, Damaged> {
        let found = self.cursor.advance()?;
        if self.cursor.place == Place::Leaf && self.cursor.leaf.at == 0 {
            self.pairs.clear();
            self.cursor.pairs(&mut self.pairs);
        }
        self.parse(found)
    }

    fn parse(&mut self, found: bool) -> Result<bool, Damaged> {
        if found {
            // One that continues on other pages is longer than two numbers.
            let Payload { start, end, .. } = self.cursor.payload;
            self.pair = two_numbers(self.cursor.page(), start..end);
            if self.pair.is_none() {
                self.record.parse(self.cursor.bytes())?;
            }
        }
        Ok(found)
    }

    /// The first column of the current entry.
    pub fn key(&self) -> ValueRef<'_> {
        match self.pair {
            Some((key, _)) => ValueRef::Integer(key),
            None => self.record.value(self.cursor.bytes(), 0).unwrap_or(ValueRef::Null),
        }
    }

    /// The first column of the current entry, if it is a whole number.
    #[inline]
    pub fn number(&self) -> Option<i64> {
        match self.pair {
            Some((key, _)) => Some(key),
            None => self.record.integer(self.cursor.bytes(), 0),
        }
    }

    /// How the first column of the current entry stands to a number.
    #[inline]
    pub fn compare(&self, number: i64) -> Ordering {
        match self.pair {
            Some((key, _)) => key.cmp(&number),
            None => compare(Some(self.key()), number),
        }
    }

    /// The rowid of the row that the current entry points to.
    ///
    /// # Errors
    /// [`Damaged`] if it points to none.
    #[inline]
    pub fn rowid(&self) -> Result<i64, Damaged> {
        if let Some((_, rowid)) = self.pair {
            return Ok(rowid);
        }
        let last = self.record.len().checked_sub(1);
        last.and_then(|last| self.record.integer(self.cursor.bytes(), last))
            .ok_or(Damaged("an index entry names no row"))
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
