//! Rows read from b-tree pages directly, for tables of one definition in two files. The pages and
//! what is in a cell are read by `libsql-pages`; here is what passes over what is the same.
//!
//! A leaf page that is the same in both files, byte for byte, holds the same rows, and is passed
//! in one comparison; so are single rows whose records are the same. That an interior page is the
//! same proves nothing, as a leaf changes without its parent. Nor does a leaf with rows that
//! continue on overflow pages: those are compared row by row, with all their pages.

use libsql_pages::{Damaged, Pages, Payload, Record, Stretch, TreeOf, varint};
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::operation::{ColumnSource, TableChange};
use crate::plan::{Places, lookup_by_rowid_sql, lookup_sql};
use crate::rows::{Row, Rows};
use crate::schema::{Generated, Schema, Table};
use crate::sqlite::{Encoding, Stmt};
use crate::value::{Value, ValueRef};
use crate::wtf8;

const LEAF_TABLE: u8 = 13;
const LEAF_INDEX: u8 = 10;
const INTERIOR_TABLE: u8 = 5;
const INTERIOR_INDEX: u8 = 2;
/// SQLite's own limit; a tree of 2^32 pages is not deeper.
const DEPTH_MAX: usize = 20;

/// Where the values of a section's columns are in a table's records.
pub(crate) struct RecordLayout {
    /// For each column of the section, its place in the record; None for the rowid.
    places: Vec<Option<usize>>,
    is_real: Vec<bool>,
    /// The key's columns as the section numbers them; empty for a table with rowids.
    key: Vec<usize>,
    encoding: Encoding,
}

impl RecordLayout {
    pub(crate) fn of(table: &Table, change: &TableChange, encoding: Encoding) -> Self {
        let stored: Vec<usize> = if table.without_rowid {
            let order = table.record_order.iter().copied();
            order.filter(|&c| table.columns[c].generated != Generated::Virtual).collect()
        } else {
            (0..table.columns.len())
                .filter(|&column| table.columns[column].generated != Generated::Virtual)
                .collect()
        };
        let places = table
            .data_columns()
            .map(|column| {
                if table.rowid_column == Some(column) {
                    return None;
                }
                stored.iter().position(|&stored| stored == column)
            })
            .collect();
        let is_real =
            table.data_columns().map(|column| table.columns[column].affinity_is_real).collect();
        let key = change.key_columns().iter().map(|key| key.column).collect();
        Self { places, is_real, key, encoding }
    }
}

struct Level {
    page: Vec<u8>,
    cells: usize,
    /// The child that is visited; `cells` is the one after the last cell.
    child: usize,
    /// Whether the row between this child and the next was visited; in an index only.
    cell_done: bool,
}

/// A cursor over the rows of one table.
pub(crate) struct TreeRows<'c> {
    pages: &'c Pages<'c>,
    tree: TreeOf<'c>,
    table: &'c str,
    is_index: bool,
    stretch: Stretch,
    /// Overflow pages and the tree's own lie in different places.
    overflow_stretch: Stretch,
    /// Where to begin; None once begun.
    root: Option<u32>,
    levels: Vec<Level>,
    leaf: Vec<u8>,
    leaf_cells: usize,
    /// The next cell of the leaf.
    next_cell: usize,
    /// Whether the current row is in the leaf, not in an interior page.
    in_leaf: bool,

    rowid: i64,
    /// Where the current row's record is.
    payload: Payload,

    layout: &'c RecordLayout,
    /// The whole record, if it continues on overflow pages.
    whole: Vec<u8>,
    loaded: bool,
    record: Record,
    fields: Vec<Field>,
    texts: Vec<u8>,
    /// Finds the values of a row written before its table got all of its columns.
    short: Stmt<'c>,
    /// Where its columns begin.
    short_column: usize,
    short_row: Option<Vec<Value>>,
    bytes_read: u64,
}

/// A column's value in the current row.
#[derive(Clone, Copy)]
enum Field {
    Rowid,
    /// Its place in the record.
    Stored(usize),
    /// Where a converted text is.
    Text(usize, usize),
    /// The record ends before.
    Missing,
}

impl<'c> TreeRows<'c> {
    pub(crate) fn open(
        pages: &'c Pages<'c>,
        conn: &'c Connection,
        schema: &Schema,
        table: &'c Table,
        layout: &'c RecordLayout,
        change: &TableChange,
        sources: &[ColumnSource],
    ) -> Result<Self> {
        let sql = if table.without_rowid {
            lookup_sql(table, change, sources)
        } else {
            lookup_by_rowid_sql(table, sources)
        };
        let doing = format!("reading table {}", table.name);
        Ok(Self {
            pages,
            tree: TreeOf::new(pages, table.without_rowid),
            table: &table.name,
            is_index: table.without_rowid,
            stretch: Stretch::default(),
            overflow_stretch: Stretch::default(),
            root: Some(table.root_page),
            levels: Vec::new(),
            leaf: Vec::new(),
            leaf_cells: 0,
            next_cell: 0,
            in_leaf: false,
            rowid: 0,
            payload: Payload::default(),
            layout,
            whole: Vec::new(),
            loaded: false,
            record: Record::default(),
            fields: Vec::new(),
            texts: Vec::new(),
            short: Stmt::prepare(conn, schema.encoding, &sql, doing)?,
            short_column: Places::of(table, sources).first_column,
            short_row: None,
            bytes_read: 0,
        })
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(self.table, what)
    }

    /// Goes down from page `number` to the first leaf below it.
    fn descend(&mut self, mut number: u32) -> Result<()> {
        loop {
            // The buffers go round: leaf, level, leaf.
            let mut page = std::mem::take(&mut self.leaf);
            self.pages.read(number, &mut page, &mut self.stretch).map_err(in_table(self.table))?;
            let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
            let (leaf, interior) = if self.is_index {
                (LEAF_INDEX, INTERIOR_INDEX)
            } else {
                (LEAF_TABLE, INTERIOR_TABLE)
            };
            if page[0] == leaf {
                self.bytes_read += page.len() as u64;
                self.leaf = page;
                self.leaf_cells = cells;
                self.next_cell = 0;
                return Ok(());
            }
            if page[0] != interior || self.levels.len() >= DEPTH_MAX {
                return Err(self.damaged("a page is not part of the table's tree"));
            }
            let level = Level { page, cells, child: 0, cell_done: false };
            number = self.child_page(&level)?;
            self.levels.push(level);
        }
    }

    fn child_page(&self, level: &Level) -> Result<u32> {
        let at = if level.child == level.cells {
            8
        } else {
            self.cell_start(&level.page, level.child, 12)?
        };
        let bytes = level.page.get(at..at + 4).ok_or_else(|| self.damaged("a cell is cut off"))?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn cell_start(&self, page: &[u8], cell: usize, header: usize) -> Result<usize> {
        let at = header + 2 * cell;
        match page.get(at..at + 2) {
            Some(bytes) => Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))),
            None => Err(self.damaged("a cell is outside of its page")),
        }
    }

    /// Stands on the record whose cell content begins at `at` of `page`.
    fn read_cell(&mut self, in_leaf: bool, at: usize) -> Result<()> {
        let page = if in_leaf {
            &self.leaf
        } else {
            match self.levels.last() {
                Some(level) => &level.page,
                None => return Err(self.damaged("a tree without a root")),
            }
        };
        (self.payload, self.rowid) = self.tree.payload(page, at).map_err(in_table(self.table))?;
        self.in_leaf = in_leaf;
        self.loaded = false;
        Ok(())
    }

    fn local(&self) -> &[u8] {
        let page = if self.in_leaf {
            &self.leaf
        } else {
            self.levels.last().map_or(&self.leaf, |level| &level.page)
        };
        page.get(self.payload.start..self.payload.end).unwrap_or_default()
    }

    fn bytes(&self) -> &[u8] {
        if self.payload.overflow == 0 { self.local() } else { &self.whole }
    }

    /// The rest of the current record, page by page.
    fn overflow_chain(&mut self) -> Overflow<'_> {
        Overflow {
            pages: self.pages,
            stretch: &mut self.overflow_stretch,
            table: self.table,
            next: self.payload.overflow,
            left: self.payload.length - (self.payload.end - self.payload.start),
            page: Vec::new(),
        }
    }

    fn gather(&mut self) -> Result<()> {
        if self.payload.overflow == 0 {
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.whole);
        whole.clear();
        whole.extend_from_slice(self.local());
        let mut chain = self.overflow_chain();
        while let Some(part) = chain.next()? {
            whole.extend_from_slice(part);
        }
        self.bytes_read += whole.len() as u64;
        self.whole = whole;
        Ok(())
    }

    /// Finds the current record's values.
    fn decode(&mut self) -> Result<()> {
        if self.loaded {
            return Ok(());
        }
        self.gather()?;
        self.short_row = None;
        let mut record = std::mem::take(&mut self.record);
        let parsed = record.parse(self.bytes()).map_err(in_table(self.table));
        self.record = record;
        parsed?;
        let mut fields = std::mem::take(&mut self.fields);
        let mut texts = std::mem::take(&mut self.texts);
        let complete = self.find_fields(&mut fields, &mut texts);
        self.fields = fields;
        self.texts = texts;
        if !complete {
            self.short_row = Some(self.read_short_row()?);
        }
        self.loaded = true;
        Ok(())
    }

    /// The values of a record that was written when the table had fewer columns: those that it
    /// lacks are their columns' defaults, which SQLite knows.
    fn read_short_row(&mut self) -> Result<Vec<Value>> {
        let key: Vec<Value> = if self.is_index {
            self.layout.key.iter().map(|&column| self.value(column).to_owned()).collect()
        } else {
            vec![Value::Integer(self.rowid)]
        };
        self.short.reset();
        self.short.bind_all(1, key.iter().map(Value::as_ref))?;
        if !self.short.step()? {
            return Err(self.damaged("a record is too short"));
        }
        let columns = (self.short_column..).take(self.layout.places.len());
        let values = columns.map(|column| self.short.column(column).to_owned()).collect();
        self.short.reset();
        Ok(values)
    }

    /// False if the record ends before the last column.
    fn find_fields(&self, fields: &mut Vec<Field>, texts: &mut Vec<u8>) -> bool {
        fields.clear();
        texts.clear();
        let mut complete = true;
        for place in &self.layout.places {
            let Some(place) = *place else {
                fields.push(Field::Rowid);
                continue;
            };
            if place >= self.record.len() {
                fields.push(Field::Missing);
                complete = false;
                continue;
            }
            if self.layout.encoding.is_utf16()
                && let ValueRef::Text(units) = self.stored(place)
            {
                let from = texts.len();
                let big_endian = self.layout.encoding == Encoding::Utf16be;
                wtf8::from_utf16(units, big_endian, texts);
                fields.push(Field::Text(from, texts.len()));
            } else {
                fields.push(Field::Stored(place));
            }
        }
        complete
    }

    /// The value in this place of the record, text in the database's encoding.
    fn stored(&self, place: usize) -> ValueRef<'_> {
        self.record.value(self.bytes(), place).map_or(ValueRef::Null, ValueRef::from)
    }

    /// Moves past the rest of the leaf.
    fn pass_leaf(&mut self) {
        self.next_cell = self.leaf_cells;
    }

    fn is_at_leaf_start(&self) -> bool {
        self.in_leaf && self.next_cell == 1
    }

    /// Whether every record of the leaf is on it as a whole.
    fn leaf_is_self_contained(&self) -> Result<bool> {
        for cell in 0..self.leaf_cells {
            let at = self.cell_start(&self.leaf, cell, 8)?;
            let (length, _) =
                varint(&self.leaf, at).ok_or_else(|| self.damaged("a cell is cut off"))?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > self.leaf.len() || self.tree.local_length(length) < length {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Row for TreeRows<'_> {
    fn rowid(&self) -> i64 {
        self.rowid
    }

    fn value(&self, column: usize) -> ValueRef<'_> {
        if let Some(row) = &self.short_row {
            return row[column].as_ref();
        }
        match self.fields[column] {
            Field::Rowid => ValueRef::Integer(self.rowid),
            Field::Missing => ValueRef::Null,
            Field::Text(from, to) => ValueRef::Text(&self.texts[from..to]),
            Field::Stored(place) => {
                match self.stored(place) {
                    // Integral values of a REAL column are stored as integers to save space.
                    #[expect(clippy::cast_precision_loss, reason = "it came from a float")]
                    ValueRef::Integer(integer) if self.layout.is_real[column] => {
                        ValueRef::Real(integer as f64)
                    }
                    value => value,
                }
            }
        }
    }
}

impl Rows for TreeRows<'_> {
    fn advance(&mut self) -> Result<bool> {
        if let Some(root) = self.root.take() {
            self.descend(root)?;
        }
        loop {
            if self.next_cell < self.leaf_cells {
                let at = self.cell_start(&self.leaf, self.next_cell, 8)?;
                self.next_cell += 1;
                self.read_cell(true, at)?;
                break;
            }
            // The leaf is done: go up to where there is more.
            let Some(level) = self.levels.last_mut() else { return Ok(false) };
            if level.child >= level.cells {
                self.levels.pop();
                continue;
            }
            if self.is_index && !level.cell_done {
                // An index keeps a row between every two children.
                level.cell_done = true;
                let child = level.child;
                let Some(level) = self.levels.last() else { return Ok(false) };
                let at = self.cell_start(&level.page, child, 12)?;
                self.read_cell(false, at + 4)?;
                break;
            }
            level.child += 1;
            level.cell_done = false;
            let Some(level) = self.levels.last() else { return Ok(false) };
            let child = self.child_page(level)?;
            self.descend(child)?;
        }
        if self.is_index {
            self.decode()?;
        }
        Ok(true)
    }

    fn load(&mut self) -> Result<()> {
        self.decode()
    }

    fn known_equal(&mut self, other: &mut Self) -> Result<bool> {
        if self.payload.length != other.payload.length || self.local() != other.local() {
            return Ok(false);
        }
        if self.payload.overflow == 0 && other.payload.overflow == 0 {
            return Ok(true);
        }
        let (mut a, mut b) = (self.overflow_chain(), other.overflow_chain());
        loop {
            match (a.next()?, b.next()?) {
                (None, None) => return Ok(true),
                (Some(a), Some(b)) if a == b => {}
                _ => return Ok(false),
            }
        }
    }

    fn pass_common_run(a: &mut Self, b: &mut Self) -> Result<Option<u64>> {
        if !a.is_at_leaf_start()
            || !b.is_at_leaf_start()
            || a.leaf != b.leaf
            || !a.leaf_is_self_contained()?
        {
            return Ok(None);
        }
        a.pass_leaf();
        b.pass_leaf();
        Ok(Some(a.leaf_cells as u64))
    }

    fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_read)
    }
}

struct Overflow<'p> {
    pages: &'p Pages<'p>,
    stretch: &'p mut Stretch,
    table: &'p str,
    next: u32,
    left: usize,
    page: Vec<u8>,
}

impl Overflow<'_> {
    fn next(&mut self) -> Result<Option<&[u8]>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.pages.read(self.next, &mut self.page, self.stretch).map_err(in_table(self.table))?;
        let page = &self.page;
        self.next = u32::from_be_bytes([page[0], page[1], page[2], page[3]]);
        let length = self.left.min(self.pages.layout().usable() - 4);
        self.left -= length;
        Ok(Some(&page[4..4 + length]))
    }
}

fn in_table(table: &str) -> impl Fn(Damaged) -> Error {
    move |damaged| Error::damaged(table, damaged.0)
}
