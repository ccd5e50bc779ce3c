//! The rows of one table in the order of contacts: from a statement, or from the pages themselves.

use fallible_streaming_iterator::FallibleStreamingIterator as _;
use libsql_pages::{Field, IndexCursor, Pages, Shape, Shapes, TableCursor};
use rusqlite::{
    Connection, OptionalExtension as _, Rows, Statement,
    types::{Value, ValueRef},
};

use crate::{
    checksum::{Checksum, Columns},
    schema::{Affinity, Table},
};

type SqlResult<T> = rusqlite::Result<T>;

/// How a table is read.
#[derive(Debug)]
pub(crate) enum Reading<'d> {
    /// There is no such table.
    Nothing,
    Statement(Statement<'d>),
    Pages(&'d Pages<'d>, &'d Layout, Shapes),
}

/// The rows of one table, in the order of their first column, the contact's id.
pub(crate) struct Stream<'s> {
    source: Source<'s>,
    /// The id of the current row; `None` at the end.
    pub(crate) key: Option<i64>,
}

enum Source<'s> {
    Nothing,
    Statement(Rows<'s>),
    Pages(Box<PageRows<'s>>),
}

/// The current row of a stream.
#[derive(Clone, Copy)]
pub(crate) enum Row<'r> {
    Statement(&'r rusqlite::Row<'r>),
    Pages(PageRow<'r>),
}

/// A row on its page.
#[derive(Clone, Copy)]
pub(crate) struct PageRow<'r> {
    rowid: i64,
    record: &'r [u8],
    shape: &'r Shape,
    layout: &'r Layout,
}

impl<'s> Stream<'s> {
    pub(crate) fn open(reading: &'s mut Reading<'_>, range: [i64; 2]) -> SqlResult<Self> {
        let source = match reading {
            Reading::Nothing => Source::Nothing,
            Reading::Statement(statement) => Source::Statement(statement.query(range)?),
            Reading::Pages(pages, layout, shapes) => {
                Source::Pages(Box::new(PageRows::new(pages, layout, shapes, range)))
            }
        };
        let mut stream = Self { source, key: None };
        stream.advance()?;
        Ok(stream)
    }

    /// Goes to the next row whose id is a whole number.
    pub(crate) fn advance(&mut self) -> SqlResult<()> {
        self.key = match &mut self.source {
            Source::Nothing => None,
            Source::Pages(rows) => rows.advance()?,
            Source::Statement(rows) => loop {
                let Some(row) = rows.next()? else { break None };
                if let ValueRef::Integer(key) = row.get_ref(0)? {
                    break Some(key);
                }
            },
        };
        Ok(())
    }

    /// The checksum of the rows that were passed, if they come from pages; of an indexed table also of
    /// those that belong to nobody.
    pub(crate) fn sum(&self) -> Option<Checksum> {
        match &self.source {
            // A table that does not exist counts as empty.
            Source::Nothing => Some(Checksum::default()),
            Source::Statement(_) => None,
            Source::Pages(rows) => rows.layout.all.as_ref().map(|_| rows.sum),
        }
    }

    /// The current row, if it belongs to this contact.
    #[inline]
    pub(crate) fn at(&self, id: i64) -> Option<Row<'_>> {
        if self.key != Some(id) {
            return None;
        }
        match &self.source {
            Source::Nothing => None,
            Source::Statement(rows) => rows.get().map(Row::Statement),
            Source::Pages(rows) => Some(Row::Pages(rows.current())),
        }
    }

    /// Passes over all rows of this contact.
    pub(crate) fn skip(&mut self, id: i64) -> SqlResult<()> {
        while self.key == Some(id) {
            self.advance()?;
        }
        Ok(())
    }
}

/// The values of a row, by their column; the first is the contact's id. What reads them is compiled
/// once for each way to read a table: millions of rows are read so.
pub(crate) trait Cells<'r>: Copy {
    /// The value in this column.
    fn value(self, at: usize) -> SqlResult<ValueRef<'r>>;

    /// The text in this column as bytes, UTF-8 or not; `None` for a value of another type.
    #[inline]
    fn bytes(self, at: usize) -> SqlResult<Option<&'r [u8]>> {
        Ok(text_of(self.value(at)?))
    }

    /// The text in this column; `None` for a value of another type, and for a text that is not
    /// UTF-8.
    #[inline]
    fn text(self, at: usize) -> SqlResult<Option<&'r str>> {
        Ok(self.bytes(at)?.and_then(|bytes| std::str::from_utf8(bytes).ok()))
    }

    /// The whole number in this column; `None` for a value of another type.
    #[inline]
    fn integer(self, at: usize) -> SqlResult<Option<i64>> {
        Ok(integer_of(self.value(at)?))
    }
}

impl<'r> Cells<'r> for &'r rusqlite::Row<'r> {
    fn value(self, at: usize) -> SqlResult<ValueRef<'r>> {
        self.get_ref(at)
    }
}

/// For what is not read so often.
impl<'r> Cells<'r> for Row<'r> {
    #[inline]
    fn value(self, at: usize) -> SqlResult<ValueRef<'r>> {
        match self {
            Self::Statement(row) => row.value(at),
            Self::Pages(row) => row.value(at),
        }
    }
}

fn text_of(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) => Some(bytes),
        _ => None,
    }
}

fn integer_of(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    }
}

/// Where the values of a table's columns are.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The first page of the table.
    table: u32,
    /// The first page of the index that gives the order; `None` if that is the order of rowids.
    index: Option<u32>,
    /// The first is the contact's id.
    columns: Vec<Place>,
    /// Their places in a record; [`NO_PLACE`] for those that are not stored there.
    places: Vec<usize>,
    /// How rows are summed up; `None` where that needs a statement.
    all: Option<Columns>,
}

/// No record has so many values.
const NO_PLACE: usize = usize::MAX;

#[derive(Debug)]
pub(crate) enum Place {
    /// There is no such column.
    Nowhere,
    Rowid,
    /// The place in the record, and the value of rows that were written before the column was added.
    Stored(usize, Value),
}

impl Layout {
    /// For a table whose rowid is the contact's id; `None` if it cannot be read from its pages.
    pub(crate) fn by_rowid(
        db: &Connection,
        table: &Table,
        key: &str,
        columns: &[&str],
    ) -> SqlResult<Option<Self>> {
        if !table.rowid_column().is_some_and(|column| column.name.eq_ignore_ascii_case(key)) {
            return Ok(None);
        }
        Self::of(db, table, None, key, columns)
    }

    /// For a table that is read in the order of an index on `contact_id`; `None` if it cannot be
    /// read from its pages.
    pub(crate) fn by_index(
        db: &Connection,
        table: &Table,
        index: &str,
        columns: &[&str],
    ) -> SqlResult<Option<Self>> {
        let descends: bool = db
            .prepare("SELECT \"desc\" FROM pragma_index_xinfo(?1, 'main') WHERE seqno = 0")?
            .query_row([index], |row| row.get(0))?;
        let Some(root) = root(db, "index", index)?.filter(|_| !descends) else { return Ok(None) };
        Self::of(db, table, Some(root), "contact_id", columns)
    }

    fn of(
        db: &Connection,
        table: &Table,
        index: Option<u32>,
        key: &str,
        columns: &[&str],
    ) -> SqlResult<Option<Self>> {
        let is_plain = table.sort == "table"
            && table.has_rowid
            && !table.columns.iter().any(|column| column.is_generated);
        if !is_plain {
            return Ok(None);
        }
        let Some(root) = root(db, "table", &table.name)? else { return Ok(None) };
        let columns = std::iter::once(&key).chain(columns).map(|name| place(db, table, name));
        let Some(columns) = columns.collect::<Option<Vec<Place>>>() else { return Ok(None) };
        let places = columns.iter().map(|column| match column {
            Place::Stored(place, _) => *place,
            Place::Rowid | Place::Nowhere => NO_PLACE,
        });
        let places = places.collect();
        Ok(Some(Self { table: root, index, columns, places, all: Columns::of(db, table) }))
    }
}

/// The first page of a table or an index.
pub(crate) fn root(db: &Connection, sort: &str, name: &str) -> SqlResult<Option<u32>> {
    db.prepare_cached("SELECT rootpage FROM main.sqlite_schema WHERE type = ?1 AND name = ?2")?
        .query_row([sort, name], |row| row.get(0))
        .optional()
}

/// Where a column's values are; `None` if that is more than a place.
pub(crate) fn place(db: &Connection, table: &Table, name: &str) -> Option<Place> {
    let same = |column: &crate::schema::Column| column.name.eq_ignore_ascii_case(name);
    if table.rowid_column().is_some_and(same) {
        return Some(Place::Rowid);
    }
    let Some(place) = table.columns.iter().position(same) else {
        return Some(if name == "rowid" { Place::Rowid } else { Place::Nowhere });
    };
    let column = &table.columns[place];
    let affinity = column.affinity();
    // Whole numbers in a column of reals are stored as integers.
    if affinity == Affinity::Real {
        return None;
    }
    let default = match &column.default {
        None => Value::Null,
        Some(default) => db.query_row(&format!("SELECT {default}"), [], |row| row.get(0)).ok()?,
    };
    // Others would be converted.
    let stays = matches!(
        (&default, affinity),
        (Value::Null, _)
            | (Value::Integer(_), Affinity::Integer | Affinity::Numeric | Affinity::Blob)
            | (Value::Text(_), Affinity::Text | Affinity::Blob)
    );
    stays.then_some(Place::Stored(place, default))
}

/// Rows of a table, from its pages.
pub(crate) struct PageRows<'p> {
    table: TableCursor<'p>,
    index: Option<IndexCursor<'p>>,
    shapes: &'p mut Shapes,
    /// The shape of the current row.
    shape: usize,
    layout: &'p Layout,
    first: i64,
    last: i64,
    is_open: bool,
    sum: Checksum,
}

/// What comes next in a table.
enum Next {
    /// A row of the contact with this id.
    Row(i64),
    /// A row that names no contact by a number: it counts for the checksum only.
    RowOfNobody,
    End,
}

impl<'p> PageRows<'p> {
    fn new(
        pages: &'p Pages<'p>,
        layout: &'p Layout,
        shapes: &'p mut Shapes,
        [first, last]: [i64; 2],
    ) -> Self {
        Self {
            table: TableCursor::new(pages, layout.table),
            index: layout.index.map(|root| IndexCursor::new(pages, root)),
            shapes,
            shape: 0,
            layout,
            first,
            last,
            is_open: false,
            sum: Checksum::default(),
        }
    }

    /// Goes to the next row and gives its contact's id.
    fn advance(&mut self) -> SqlResult<Option<i64>> {
        loop {
            let next = self.step()?;
            if let Next::End = next {
                return Ok(None);
            }
            let bytes = self.table.bytes();
            let found = self.shapes.of(bytes)?;
            self.shape = found.place();
            if let Some(all) = &self.layout.all {
                all.add(&mut self.sum, self.table.rowid(), found.record(), bytes);
            }
            if let Next::Row(key) = next {
                return Ok(Some(key));
            }
        }
    }

    #[inline]
    fn step(&mut self) -> SqlResult<Next> {
        let is_first = !std::mem::replace(&mut self.is_open, true);
        let (table, first, last) = (&mut self.table, self.first, self.last);
        let Some(index) = &mut self.index else {
            let found = if is_first { table.seek(first)? } else { table.advance()? };
            let is_in_range = found && table.rowid() <= last;
            return Ok(if is_in_range { Next::Row(table.rowid()) } else { Next::End });
        };
        let found = match (is_first, first) {
            (false, _) => index.advance()?,
            (true, i64::MIN) => index.first()?,
            (true, first) => index.seek(first)?,
        };
        // Behind all numbers come texts, which the last range passes over.
        if !found || last.checked_add(1).is_some_and(|next| index.compare(next).is_ge()) {
            return Ok(Next::End);
        }
        if !table.find(index.rowid()?)? {
            return Err(libsql_pages::Damaged("an index points to no row").into());
        }
        Ok(index.number().map_or(Next::RowOfNobody, Next::Row))
    }

    #[inline]
    fn current(&self) -> PageRow<'_> {
        PageRow {
            rowid: self.table.rowid(),
            record: self.table.bytes(),
            shape: self.shapes.in_place(self.shape),
            layout: self.layout,
        }
    }
}

impl<'r> Cells<'r> for PageRow<'r> {
    #[inline]
    fn value(self, at: usize) -> SqlResult<ValueRef<'r>> {
        let value = self.field(at).and_then(|field| field.value(self.record));
        Ok(value.unwrap_or_else(|| self.not_stored(at)))
    }

    #[inline]
    fn bytes(self, at: usize) -> SqlResult<Option<&'r [u8]>> {
        Ok(self.text(at))
    }

    #[inline]
    fn integer(self, at: usize) -> SqlResult<Option<i64>> {
        Ok(self.number(at))
    }
}

impl<'r> PageRow<'r> {
    /// What records like this one have in common.
    #[inline]
    pub(crate) fn shape(self) -> &'r Shape {
        self.shape
    }

    /// The record as it is on its page.
    #[inline]
    pub(crate) fn record(self) -> &'r [u8] {
        self.record
    }

    #[inline]
    pub(crate) fn rowid(self) -> i64 {
        self.rowid
    }

    /// Whether a column is the rowid.
    pub(crate) fn is_rowid(self, at: usize) -> bool {
        matches!(self.layout.columns[at], Place::Rowid)
    }

    /// The value in the record, if the record has the column.
    #[inline]
    pub(crate) fn field(self, at: usize) -> Option<Field> {
        self.shape.record().field(self.layout.places[at])
    }

    /// The text in this column, see [`Cells::bytes`].
    #[inline]
    pub(crate) fn text(self, at: usize) -> Option<&'r [u8]> {
        match self.field(at) {
            Some(field) => field.text(self.record),
            None => text_of(self.not_stored(at)),
        }
    }

    /// The whole number in this column, see [`Cells::integer`].
    #[inline]
    pub(crate) fn number(self, at: usize) -> Option<i64> {
        match self.field(at) {
            Some(field) => field.integer(self.record),
            None => integer_of(self.not_stored(at)),
        }
    }

    #[cold]
    fn not_stored(self, at: usize) -> ValueRef<'r> {
        match &self.layout.columns[at] {
            Place::Stored(_, default) => default.into(),
            Place::Rowid => ValueRef::Integer(self.rowid),
            Place::Nowhere => ValueRef::Null,
        }
    }
}
