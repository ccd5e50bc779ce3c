//! Comparing two tables row by row: a merge of two sources of rows in one order.

use std::cmp::Ordering;
use std::collections::HashMap;

use rusqlite::Connection;

use crate::diff::Sink;
use crate::error::{Error, Result};
use crate::foreign_keys::Watch;
use crate::key::{Collation, compare};
use crate::operation::{
    ColumnChange, ColumnSource, Identity, Operation, RowChange, RowKey, TableChange, TableCounts,
    TableEdit,
};
use crate::plan::{Order, Places, Section, lookup_sql, select_sql};
use crate::progress::Meter;
use crate::schema::{Schema, Table};
use crate::sqlite::Stmt;
use crate::value::{Value, ValueRef};

/// A row whose values can be read.
pub(crate) trait Row {
    /// Its rowid; 0 where the table has none.
    fn rowid(&self) -> i64;
    /// Its value in a column of the section, counted from 0.
    fn value(&self, column: usize) -> ValueRef<'_>;
}

/// A source of rows in ascending order, standing on one of them.
pub(crate) trait Rows: Row {
    /// Moves to the next row; false at the end. Until [`Rows::load`] only the key can be read.
    fn advance(&mut self) -> Result<bool>;

    /// Makes all values of the current row readable.
    fn load(&mut self) -> Result<()>;

    /// Whether the current rows are known to be equal without loading them.
    fn known_equal(&mut self, other: &mut Self) -> Result<bool>;

    /// If both stand at the beginning of a run of rows that are the same on both sides, passes it
    /// and returns how many rows it holds; both must then be advanced.
    fn pass_common_run(a: &mut Self, b: &mut Self) -> Result<Option<u64>>;

    /// Bytes read since the last call, for progress.
    fn take_bytes(&mut self) -> u64;
}

/// Rows read through SQLite.
pub(crate) struct StmtRows<'c> {
    stmt: Stmt<'c>,
    places: Places,
    columns: usize,
    bytes: u64,
}

impl<'c> StmtRows<'c> {
    pub(crate) fn open(
        conn: &'c Connection,
        schema: &Schema,
        table: &Table,
        change: &TableChange,
        sources: &[ColumnSource],
        order: Order,
    ) -> Result<Self> {
        let sql = select_sql(table, change, sources, order);
        let doing = format!("reading table {}", table.name);
        let mut stmt = Stmt::prepare(conn, schema.encoding, &sql, doing)?;
        stmt.bind_all(1, fills(sources))?;
        let places = Places::of(table, sources);
        Ok(Self { stmt, places, columns: sources.len(), bytes: 0 })
    }
}

pub(crate) fn fills(sources: &[ColumnSource]) -> impl Iterator<Item = ValueRef<'_>> {
    sources.iter().filter_map(|source| match source {
        ColumnSource::Fill(value) => Some(value.as_ref()),
        ColumnSource::Column(_) => None,
    })
}

impl Row for StmtRows<'_> {
    fn rowid(&self) -> i64 {
        self.places.rowid.map_or(0, |place| self.stmt.integer(place))
    }

    fn value(&self, column: usize) -> ValueRef<'_> {
        self.stmt.column(column + self.places.first_column)
    }
}

impl Rows for StmtRows<'_> {
    fn advance(&mut self) -> Result<bool> {
        // What SQLite reads cannot be seen from here; an integer column is counted as its worth.
        self.bytes += 8 * self.columns as u64;
        self.stmt.step()
    }

    fn load(&mut self) -> Result<()> {
        Ok(())
    }

    fn known_equal(&mut self, _: &mut Self) -> Result<bool> {
        Ok(false)
    }

    fn pass_common_run(_: &mut Self, _: &mut Self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

/// One row found by its key.
pub(crate) struct Lookup<'c> {
    stmt: Stmt<'c>,
    places: Places,
    first_key: usize,
}

impl<'c> Lookup<'c> {
    pub(crate) fn open(
        conn: &'c Connection,
        schema: &Schema,
        table: &Table,
        change: &TableChange,
        sources: &[ColumnSource],
    ) -> Result<Self> {
        let sql = lookup_sql(table, change, sources);
        let doing = format!("looking up a row of table {}", table.name);
        let mut stmt = Stmt::prepare(conn, schema.encoding, &sql, doing)?;
        stmt.bind_all(1, fills(sources))?;
        let first_key = 1 + fills(sources).count();
        Ok(Self { stmt, places: Places::of(table, sources), first_key })
    }

    /// Stands on the row with the key of `row`, if there is one.
    fn find(&mut self, change: &TableChange, row: &dyn Row) -> Result<bool> {
        self.stmt.reset();
        let key = || change.key_columns().iter().map(|key| row.value(key.column));
        if !self.stmt.can_hold(key()) {
            return Ok(false);
        }
        self.stmt.bind_all(self.first_key, key())?;
        self.stmt.step()
    }
}

impl Row for Lookup<'_> {
    fn rowid(&self) -> i64 {
        self.places.rowid.map_or(0, |place| self.stmt.integer(place))
    }

    fn value(&self, column: usize) -> ValueRef<'_> {
        self.stmt.column(column + self.places.first_column)
    }
}

/// A row that its key cannot find.
struct Keyless {
    rowid: i64,
    values: Vec<Value>,
}

impl Row for Keyless {
    fn rowid(&self) -> i64 {
        self.rowid
    }

    fn value(&self, column: usize) -> ValueRef<'_> {
        self.values[column].as_ref()
    }
}

/// Collects one section's differences and sends them on.
pub(crate) struct Comparison<'d, 's, 'c> {
    section: &'d Section<'s>,
    sink: &'d mut dyn Sink,
    watch: Option<&'d mut Watch<'c>>,
    /// Where the rows of the other side are found that are not paired by the order of reading.
    lookups: Option<(Lookup<'d>, Lookup<'d>)>,
    key: Vec<(usize, Collation)>,
    started: bool,
    before: u64,
    after: u64,
    /// Rows whose key holds NULL and that have no equal under their rowid on the other side.
    keyless: [Vec<Keyless>; 2],
    /// Whether a row was inserted, which moves an AUTOINCREMENT counter.
    pub inserted: bool,
}

impl<'d, 's, 'c> Comparison<'d, 's, 'c> {
    pub(crate) fn new(
        section: &'d Section<'s>,
        sink: &'d mut dyn Sink,
        watch: Option<&'d mut Watch<'c>>,
        lookups: Option<(Lookup<'d>, Lookup<'d>)>,
    ) -> Self {
        let key = section
            .change
            .key_columns()
            .iter()
            .map(|key| (key.column, Collation::named(&key.collation).unwrap_or(Collation::Binary)))
            .collect();
        Self {
            section,
            sink,
            watch,
            lookups,
            key,
            started: false,
            before: 0,
            after: 0,
            keyless: [Vec::new(), Vec::new()],
            inserted: false,
        }
    }

    /// Announces the section; done by the first difference if not before.
    pub(crate) fn start(&mut self) -> Result<()> {
        if !self.started {
            self.started = true;
            self.sink.operation(Operation::Table(Box::new(self.section.change.clone())))?;
        }
        Ok(())
    }

    /// Ends the section; true if it was announced.
    pub(crate) fn finish(mut self) -> Result<bool> {
        self.settle_keyless()?;
        if self.started {
            let counted = |rows: u64| self.section.counted.then_some(rows);
            let counts = TableCounts { before: counted(self.before), after: counted(self.after) };
            self.sink.operation(Operation::EndTable(counts))?;
        }
        Ok(self.started)
    }

    pub(crate) fn count_before(&mut self, rows: u64) {
        self.before += rows;
    }

    fn emit(
        &mut self,
        change: RowChange,
        before: Option<&dyn Row>,
        after: Option<&dyn Row>,
    ) -> Result<()> {
        self.start()?;
        self.inserted |= after.is_some();
        if let Some(watch) = &mut self.watch {
            watch.row(self.section, before, after)?;
        }
        self.sink.operation(Operation::Row(change))
    }

    fn values(&self, row: &dyn Row) -> Vec<Value> {
        (0..self.section.change.columns.len()).map(|column| row.value(column).to_owned()).collect()
    }

    fn has_null_key(&self, row: &dyn Row) -> bool {
        self.key.iter().any(|(column, _)| row.value(*column).is_null())
    }

    /// Whether two rows are one by their key.
    fn same_key(&self, a: &dyn Row, b: &dyn Row) -> bool {
        self.key.iter().all(|(column, collation)| {
            compare(a.value(*column), b.value(*column), *collation) == Ordering::Equal
        })
    }

    fn compare_keys(&self, a: &dyn Row, b: &dyn Row) -> Ordering {
        let Some(table) = self.section.b else { return Ordering::Equal };
        for (index, (column, collation)) in self.key.iter().enumerate() {
            let order = compare(a.value(*column), b.value(*column), *collation);
            if order != Ordering::Equal {
                let descending = table.primary_key.get(index).is_some_and(|part| part.descending);
                return if descending { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    }

    fn row_key(&self, row: &dyn Row) -> RowKey {
        match &self.section.change.identity {
            Identity::Key { rowid, .. } if rowid.is_none() || !self.has_null_key(row) => {
                RowKey::Columns(
                    self.key.iter().map(|(column, _)| row.value(*column).to_owned()).collect(),
                )
            }
            _ => RowKey::Rowid(row.rowid()),
        }
    }

    /// A row of one identity on both sides.
    fn changed(&mut self, a: &dyn Row, b: &dyn Row) -> Result<()> {
        let columns = &self.section.change.columns;
        let mut changes = Vec::new();
        let mut in_place = !matches!(self.section.change.edit, TableEdit::Rebuild { .. });
        for (column, info) in columns.iter().enumerate() {
            let (old, new) = (a.value(column), b.value(column));
            if old != new {
                in_place &= !info.is_unique;
                changes.push(ColumnChange { column, old: old.to_owned(), new: new.to_owned() });
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let replacement = (!in_place).then(|| self.values(b));
        let change = RowChange::Update { key: self.row_key(a), changes, replacement };
        self.emit(change, Some(a), Some(b))
    }

    fn removed(&mut self, a: &dyn Row) -> Result<()> {
        let change = RowChange::Delete { key: self.row_key(a), values: self.values(a) };
        self.emit(change, Some(a), None)
    }

    pub(crate) fn added(&mut self, b: &dyn Row) -> Result<()> {
        let rowid =
            matches!(self.section.change.identity, Identity::Rowid { .. }).then(|| b.rowid());
        let change = RowChange::Insert { rowid, values: self.values(b) };
        self.emit(change, None, Some(b))
    }

    fn pair(&mut self, a: &dyn Row, b: &dyn Row) -> Result<()> {
        if self.lookups.is_none() {
            return self.changed(a, b);
        }
        match (self.has_null_key(a), self.has_null_key(b)) {
            (false, false) if self.same_key(a, b) => return self.changed(a, b),
            (true, true) => {
                let mut columns = 0..self.section.change.columns.len();
                if columns.all(|column| a.value(column) == b.value(column)) {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.only_before(a)?;
        self.only_after(b)
    }

    fn only_before(&mut self, a: &dyn Row) -> Result<()> {
        let Some((before, mut after)) = self.lookups.take() else { return self.removed(a) };
        let outcome = if self.has_null_key(a) {
            self.keyless[0].push(Keyless { rowid: a.rowid(), values: self.values(a) });
            Ok(())
        } else if after.find(&self.section.change, a)? {
            self.changed(a, &after)
        } else {
            self.removed(a)
        };
        self.lookups = Some((before, after));
        outcome
    }

    fn only_after(&mut self, b: &dyn Row) -> Result<()> {
        let Some((mut before, after)) = self.lookups.take() else { return self.added(b) };
        let outcome = if self.has_null_key(b) {
            self.keyless[1].push(Keyless { rowid: b.rowid(), values: self.values(b) });
            Ok(())
        } else if before.find(&self.section.change, b)? {
            // It has been dealt with from its own side.
            Ok(())
        } else {
            self.added(b)
        };
        self.lookups = Some((before, after));
        outcome
    }

    /// Rows without a key are told apart by what they hold, so that equal ones cancel wherever
    /// they are.
    fn settle_keyless(&mut self) -> Result<()> {
        let [before, after] = std::mem::take(&mut self.keyless);
        let mut unmatched: HashMap<&[Value], u64> = HashMap::new();
        for row in &after {
            *unmatched.entry(&row.values).or_default() += 1;
        }
        for row in &before {
            match unmatched.get_mut(&row.values[..]) {
                Some(count @ 1..) => *count -= 1,
                _ => self.removed(row)?,
            }
        }
        for row in &after {
            if let Some(count @ 1..) = unmatched.get_mut(&row.values[..]) {
                *count -= 1;
                self.added(row)?;
            }
        }
        Ok(())
    }

    /// Merges two sources in one order.
    pub(crate) fn merge<R: Rows>(
        &mut self,
        a: &mut R,
        b: &mut R,
        meter: &mut Meter<'_>,
    ) -> Result<()> {
        let by_key = self.section.order == Order::Key;
        let (mut has_a, mut has_b) = (a.advance()?, b.advance()?);
        while has_a || has_b {
            if has_a
                && has_b
                && let Some(rows) = R::pass_common_run(a, b)?
            {
                self.before += rows;
                self.after += rows;
                meter.add(rows, a.take_bytes() + b.take_bytes())?;
                (has_a, has_b) = (a.advance()?, b.advance()?);
                continue;
            }
            let order = match (has_a, has_b) {
                (true, false) => Ordering::Less,
                (false, _) => Ordering::Greater,
                (true, true) if by_key => self.compare_keys(a, b),
                (true, true) => a.rowid().cmp(&b.rowid()),
            };
            match order {
                Ordering::Less => {
                    a.load()?;
                    self.only_before(a)?;
                }
                Ordering::Greater => {
                    b.load()?;
                    self.only_after(b)?;
                }
                Ordering::Equal => {
                    if !a.known_equal(b)? {
                        a.load()?;
                        b.load()?;
                        self.pair(a, b)?;
                    }
                }
            }
            if order != Ordering::Greater {
                self.before += 1;
                let previous = a.rowid();
                has_a = a.advance()?;
                if has_a && !by_key && a.rowid() <= previous {
                    return Err(self.out_of_order());
                }
            }
            if order != Ordering::Less {
                self.after += 1;
                let previous = b.rowid();
                has_b = b.advance()?;
                if has_b && !by_key && b.rowid() <= previous {
                    return Err(self.out_of_order());
                }
            }
            meter.add(1, a.take_bytes() + b.take_bytes())?;
        }
        Ok(())
    }

    fn out_of_order(&self) -> Error {
        Error::damaged(&self.section.change.name, "its rows are not in order of their rowids")
    }

    /// Compares two tables that cannot be read in one order, by looking each row up.
    pub(crate) fn look_up_each(
        &mut self,
        a: &mut StmtRows<'_>,
        b: &mut StmtRows<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<()> {
        while a.advance()? {
            self.before += 1;
            self.only_before(a)?;
            meter.add(1, a.take_bytes())?;
        }
        while b.advance()? {
            self.after += 1;
            self.only_after(b)?;
            meter.add(1, b.take_bytes())?;
        }
        Ok(())
    }

    /// Emits every row as one that comes.
    pub(crate) fn add_all(&mut self, b: &mut StmtRows<'_>, meter: &mut Meter<'_>) -> Result<()> {
        while b.advance()? {
            self.after += 1;
            self.added(b)?;
            meter.add(1, b.take_bytes())?;
        }
        Ok(())
    }
}

/// Whether two tables without any identity hold the same rows in the same order, and how many
/// rows the first one has.
pub(crate) fn same_sequence(
    a: &mut StmtRows<'_>,
    b: &mut StmtRows<'_>,
    meter: &mut Meter<'_>,
) -> Result<(bool, u64)> {
    let (mut same, mut rows) = (true, 0);
    loop {
        let has_a = a.advance()?;
        if same {
            let has_b = b.advance()?;
            same = has_a == has_b
                && (!has_a || (0..a.columns).all(|column| a.value(column) == b.value(column)));
        }
        if !has_a {
            return Ok((same, rows));
        }
        rows += 1;
        meter.add(1, a.take_bytes() + b.take_bytes())?;
    }
}
