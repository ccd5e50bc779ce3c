//! Asking for the pages of all tables, one after the other, in one snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::SyncSender;

use libsql_link::blocking::Snapshot;
use libsql_link::{Error as LinkError, PackedRows, Rows, Statement, Value, ValueRef};

use super::table::{Form, From, Table};
use crate::error::{Error, Result};
use crate::push::inconsistent;

/// What a page should have. A server sends at most 10 MB at once.
const PAGE_BYTES: usize = 3 << 20;
/// Before anything is known about the rows.
const FIRST_PAGE_ROWS: usize = 500;
const PAGE_ROWS_MAX: usize = 50_000;
const PAGE_VALUES_MAX: usize = 500_000;
/// How many tables are begun with one request.
const TABLES_AT_ONCE: usize = 8;
/// Longer values are fetched by themselves, from rows that are too large to come as they are.
const LARGE_BYTES: usize = 256 << 10;
/// As [`LARGE_BYTES`], if the row is still too large without those.
const LARGE_BYTES_IN_WIDE_ROW: usize = 1 << 10;
/// Rows are counted once so much was handed over: what counts the rows of large tables takes its
/// time, in which there is then something to write.
const BYTES_BEFORE_COUNTING: usize = 2 << 20;
/// How much of a large value is fetched at once.
const PIECE_BYTES: u64 = 2 << 20;

/// Rows on their way from fetching to writing.
pub(crate) struct Page {
    /// Which table, by its number.
    pub(crate) table: usize,
    pub(crate) form: Form,
    /// The same rows, by groups of columns.
    pub(crate) parts: Vec<PackedRows>,
    /// Values that were fetched by themselves, by row and column.
    pub(crate) apart: HashMap<(usize, usize), Vec<u8>>,
}

/// What comes from the server.
pub(crate) enum Answer {
    Page(Page),
    /// How many rows all tables have.
    Total(u64),
}

/// What is known besides the rows.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// How many rows each table has.
    pub(crate) counts: Vec<u64>,
    /// The rows of `sqlite_sequence`.
    pub(crate) sequences: Rows,
}

/// Asks for all tables and hands over their pages.
pub(crate) struct Asking<'a> {
    url: &'a str,
    tables: &'a [Table],
    /// Tables whose rows come marked, by name.
    marked: &'a HashSet<String>,
    has_sequences: bool,
    to: SyncSender<Answer>,
    /// How many bytes were handed over.
    bytes: usize,
    told: Option<Told>,
    /// The tables of the request that is under way.
    pub(crate) now: Vec<String>,
}

enum Stop {
    /// Nobody takes pages any more: writing failed, and says why.
    Unwanted,
    Failed(Error),
}

impl std::convert::From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

impl std::convert::From<LinkError> for Stop {
    fn from(error: LinkError) -> Self {
        Stop::Failed(error.into())
    }
}

/// Where asking for a table has got to.
struct Place {
    table: usize,
    from: From,
    limit: usize,
    page_bytes: usize,
    /// How many rows came so far.
    rows: u64,
    /// Whether the last page was not full.
    is_done: bool,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(
        url: &'a str,
        tables: &'a [Table],
        marked: &'a HashSet<String>,
        has_sequences: bool,
        to: SyncSender<Answer>,
    ) -> Self {
        let now = Vec::new();
        Self { url, tables, marked, has_sequences, to, bytes: 0, told: None, now }
    }

    /// `None` if nobody takes pages any more.
    pub(crate) fn run(&mut self, mut snapshot: Snapshot) -> Result<Option<Told>> {
        match self.all(&mut snapshot) {
            Ok(told) => {
                snapshot.end()?;
                Ok(Some(told))
            }
            Err(Stop::Unwanted) => Ok(None),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn all(&mut self, snapshot: &mut Snapshot) -> Result<Told, Stop> {
        let tables: Vec<usize> = (0..self.tables.len()).collect();
        for some in tables.chunks(TABLES_AT_ONCE) {
            for mut place in self.begin(snapshot, some)? {
                while !place.is_done {
                    self.page(snapshot, &mut place)?;
                    if self.bytes >= BYTES_BEFORE_COUNTING && self.told.is_none() {
                        self.told = Some(self.tell(snapshot)?);
                    }
                    // Else a server that always has another page would never come to an end.
                    let count = self.told.as_ref().and_then(|told| told.counts.get(place.table));
                    if count.is_some_and(|count| place.rows > *count) {
                        let name = &self.tables[place.table].name;
                        let what = format!("table {name}: more rows come than it counts");
                        return Err(inconsistent(self.url, &what).into());
                    }
                }
            }
        }
        match self.told.take() {
            Some(told) => Ok(told),
            None => self.tell(snapshot),
        }
    }

    fn form(&self, table: usize) -> Form {
        if self.marked.contains(&self.tables[table].name) {
            Form::Marked { large_bytes: LARGE_BYTES }
        } else {
            Form::Plain
        }
    }

    /// The first pages of some tables.
    fn begin(&mut self, snapshot: &mut Snapshot, tables: &[usize]) -> Result<Vec<Place>, Stop> {
        self.now = tables.iter().map(|&table| self.tables[table].name.clone()).collect();
        let mut places: Vec<Place> = tables
            .iter()
            .map(|&table| Place {
                table,
                from: From::Start,
                limit: FIRST_PAGE_ROWS,
                page_bytes: PAGE_BYTES,
                rows: 0,
                is_done: false,
            })
            .collect();
        let statements: Vec<Vec<Statement>> = places
            .iter()
            .map(|place| {
                self.tables[place.table].page(self.form(place.table), place.from, place.limit)
            })
            .collect();
        let mut answers = match snapshot.query_all_packed(&statements.concat()) {
            Ok(answers) => answers.into_iter(),
            // Then one by one.
            Err(LinkError::TooLarge { .. }) => return Ok(places),
            Err(error) => return Err(error.into()),
        };
        for (place, statements) in places.iter_mut().zip(&statements) {
            let parts = answers.by_ref().take(statements.len()).collect();
            let form = self.form(place.table);
            self.take(snapshot, place, form, place.limit, parts)?;
        }
        Ok(places)
    }

    /// The next page of a table.
    fn page(&mut self, snapshot: &mut Snapshot, place: &mut Place) -> Result<(), Stop> {
        let table = &self.tables[place.table];
        self.now = vec![table.name.clone()];
        let mut form = self.form(place.table);
        loop {
            let limit = place.limit;
            match snapshot.query_all_packed(&table.page(form, place.from, limit)) {
                Ok(parts) => return self.take(snapshot, place, form, limit, parts),
                Err(error @ LinkError::TooLarge { .. }) => {
                    if limit > 1 {
                        place.limit = limit.div_ceil(4).min(limit - 1);
                        place.page_bytes = (place.page_bytes / 2).max(1);
                        continue;
                    }
                    form = match form {
                        Form::Plain => Form::Marked { large_bytes: LARGE_BYTES },
                        Form::Marked { large_bytes: LARGE_BYTES } => {
                            Form::Marked { large_bytes: LARGE_BYTES_IN_WIDE_ROW }
                        }
                        Form::Marked { .. } => return Err(error.into()),
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Hands a page over that was asked for with `limit`, and looks where the next one begins.
    fn take(
        &mut self,
        snapshot: &mut Snapshot,
        place: &mut Place,
        form: Form,
        limit: usize,
        parts: Vec<PackedRows>,
    ) -> Result<(), Stop> {
        let table = &self.tables[place.table];
        let odd = |what: &str| inconsistent(self.url, &format!("table {}: {what}", table.name));
        let marks = usize::from(form != Form::Plain);
        let widths = table.parts().map(|part| 1 + marks + part.len());
        if !widths.eq(parts.iter().map(PackedRows::width)) {
            return Err(odd("a page has another shape than asked for").into());
        }
        let count = parts.first().map_or(0, PackedRows::len);
        if count > limit || parts.iter().any(|part| part.len() != count) {
            return Err(odd("a page has another length than asked for").into());
        }
        place.is_done = count < limit;
        place.rows += count as u64;
        if count == 0 {
            return Ok(());
        }
        let mut apart = HashMap::new();
        if form != Form::Plain {
            self.large(snapshot, place, &parts, &mut apart)?;
        }
        let last = parts.first().and_then(|part| part.get(count - 1, 0));
        place.from = match (table.rowid, last, place.from) {
            (Some(_), Some(ValueRef::Integer(last)), From::After(before)) if last <= before => {
                return Err(odd("its pages are out of order").into());
            }
            (Some(_), Some(ValueRef::Integer(last)), _) => From::After(last),
            (None, Some(ValueRef::Null), From::Skip(before)) => From::Skip(before + count as u64),
            (None, Some(ValueRef::Null), _) => From::Skip(count as u64),
            _ => return Err(odd("a row has no rowid").into()),
        };
        let bytes: usize = parts.iter().map(PackedRows::size_bytes).sum();
        let values_max = PAGE_VALUES_MAX / (table.columns.len() + 1);
        place.limit = (place.page_bytes / (bytes / count).max(1))
            .min(PAGE_ROWS_MAX)
            .min(values_max)
            .min(limit * 20)
            .max(1);
        self.bytes += bytes;
        self.send(Answer::Page(Page { table: place.table, form, parts, apart }))
    }

    fn send(&self, answer: Answer) -> Result<(), Stop> {
        self.to.send(answer).map_err(|_| Stop::Unwanted)
    }

    /// Fetches the values that a page leaves out.
    fn large(
        &self,
        snapshot: &mut Snapshot,
        place: &Place,
        parts: &[PackedRows],
        apart: &mut HashMap<(usize, usize), Vec<u8>>,
    ) -> Result<(), Stop> {
        let table = &self.tables[place.table];
        let odd = |what: &str| inconsistent(self.url, &format!("table {}: {what}", table.name));
        for (part, columns) in parts.iter().zip(table.parts()) {
            let mut row_from = place.from;
            for at in 0..part.len() {
                let Some(ValueRef::Text(letters)) = part.get(at, 1) else {
                    return Err(odd("a row comes without its types").into());
                };
                for (offset, _) in
                    letters.iter().enumerate().filter(|(_, letter)| matches!(letter, b'T' | b'B'))
                {
                    let length = part.get(at, 2 + offset).and_then(ValueRef::as_integer);
                    let length = length.and_then(|length| u64::try_from(length).ok());
                    let length = length.ok_or_else(|| odd("a large value has no length"))?;
                    let column = columns.start + offset;
                    if column >= columns.end {
                        return Err(odd("a row has more types than values").into());
                    }
                    let value = pieces(snapshot, table, column, row_from, length)?;
                    let value = value.ok_or_else(|| odd("a large value is cut off"))?;
                    apart.insert((at, column), value);
                }
                row_from = match (part.get(at, 0), row_from) {
                    (Some(ValueRef::Integer(rowid)), _) => From::After(rowid),
                    (_, From::Skip(before)) => From::Skip(before + 1),
                    _ => From::Skip(1),
                };
            }
        }
        Ok(())
    }

    /// What has to be known besides the rows.
    fn tell(&mut self, snapshot: &mut Snapshot) -> Result<Told, Stop> {
        self.now.clear();
        let mut told = Told::default();
        let mut statements: Vec<Statement> = self.tables.iter().map(Table::count).collect();
        if self.has_sequences {
            statements.push("SELECT name, seq FROM sqlite_sequence".into());
        }
        let mut answers = Vec::with_capacity(statements.len());
        for some in statements.chunks(100) {
            answers.append(&mut snapshot.query_all(some)?);
        }
        if answers.len() != statements.len() {
            return Err(inconsistent(self.url, "an answer is missing").into());
        }
        if self.has_sequences {
            told.sequences = answers.pop().unwrap_or_default();
        }
        told.counts = answers
            .iter()
            .map(|rows| rows.single().and_then(Value::as_integer))
            .map(|count| count.and_then(|count| u64::try_from(count).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| inconsistent(self.url, "it cannot count its rows"))?;
        self.send(Answer::Total(told.counts.iter().sum()))?;
        Ok(told)
    }
}

/// A value in pieces; `None` if there is less of it than `length`.
fn pieces(
    snapshot: &mut Snapshot,
    table: &Table,
    column: usize,
    row: From,
    length: u64,
) -> Result<Option<Vec<u8>>> {
    let mut value = Vec::new();
    let mut piece_bytes = PIECE_BYTES;
    while (value.len() as u64) < length {
        let wanted = piece_bytes.min(length - value.len() as u64);
        let piece = table.piece(column, row, value.len() as u64, wanted);
        let rows = match snapshot.query_all_packed(&[piece]) {
            Ok(mut rows) => rows.pop(),
            Err(LinkError::TooLarge { .. }) if piece_bytes > 1 => {
                piece_bytes /= 2;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match rows.as_ref().and_then(|rows| rows.get(0, 0)) {
            Some(ValueRef::Blob(piece)) if piece.len() as u64 == wanted => {
                value.extend_from_slice(piece);
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(value))
}
