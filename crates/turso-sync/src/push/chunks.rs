//! The row changes of a diff as chunks that can be sent one by one, in any order, any number of
//! times.

use libsql_diff::{Diff, Operation, TableChange};
use libsql_link::Value;

use super::cell::{self, Form};
use super::survey::{Cell, Survey, is_wide};
use crate::error::Result;

/// A chunk is sent when it has so many bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// How diffs are cut into chunks; changes whenever any diff would be cut otherwise.
pub(crate) const ENCODING: u32 = 2;

/// Rows of one group, as a JSON array of arrays; or one large value, in group 0.
#[derive(Debug, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) group: u64,
    /// Counted from 0 in each group.
    pub(crate) number: u64,
    pub(crate) body: Value,
}

impl Chunk {
    /// As the server measures it.
    pub(crate) fn length(&self) -> u64 {
        match &self.body {
            Value::Text(text) => text.len() as u64,
            Value::Blob(bytes) => bytes.len() as u64,
            _ => 0,
        }
    }
}

/// Cuts `diff` into chunks, each handed to `send`; the same ones every time.
pub(crate) fn chunks(
    diff: &Diff,
    survey: &mut Survey,
    on_row: &mut dyn FnMut(&str, u64),
    send: &mut dyn FnMut(Chunk) -> Result<()>,
) -> Result<()> {
    let mut sections = survey.sections.iter_mut();
    let mut open: Option<(Box<TableChange>, &mut super::survey::Section, Vec<Writing>)> = None;
    let mut values = 0;
    let mut rows = 0;
    for operation in diff.operations() {
        match operation? {
            Operation::Table(table) => {
                if let Some(section) = sections.next() {
                    let writings = section.groups.iter().map(|_| Writing::default()).collect();
                    open = Some((table, section, writings));
                }
            }
            Operation::Row(row) => {
                let Some((table, section, writings)) = &mut open else { continue };
                rows += 1;
                on_row(&table.name, rows);
                let first = section.first;
                section.rows(table, &row, &mut |_, group, cells| {
                    let writing = &mut writings[group - first];
                    let mut apart = Vec::new();
                    writing.row(cells, &mut |value| {
                        let number = values;
                        values += 1;
                        apart.push(Chunk { group: 0, number, body: Form::apart(value) });
                        number
                    });
                    apart.drain(..).try_for_each(&mut *send)?;
                    if writing.body.len() >= CHUNK_BYTES {
                        send(writing.cut(group))?;
                    }
                    Ok(())
                })?;
            }
            Operation::EndTable(_) => {
                let Some((_, section, writings)) = open.take() else { continue };
                for (group, mut writing) in (section.first..).zip(writings) {
                    if !writing.body.is_empty() {
                        send(writing.cut(group))?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A chunk that rows are added to.
#[derive(Default)]
struct Writing {
    body: String,
    number: u64,
}

impl Writing {
    fn row(&mut self, cells: &[Cell<'_>], apart: &mut impl FnMut(&libsql_diff::Value) -> u64) {
        self.body.push(if self.body.is_empty() { '[' } else { ',' });
        let is_wide = is_wide(cells);
        for (index, cell) in cells.iter().enumerate() {
            self.body.push(if index == 0 { '[' } else { ',' });
            match cell {
                Cell::Value(value) => {
                    cell::write(&mut self.body, value, Form::of(value, is_wide), apart);
                }
                Cell::Rowid(rowid) => self.body.push_str(&rowid.to_string()),
                Cell::Same => self.body.push_str("true"),
            }
        }
        self.body.push(']');
    }

    fn cut(&mut self, group: usize) -> Chunk {
        let mut body = std::mem::take(&mut self.body);
        body.push(']');
        let number = self.number;
        self.number += 1;
        Chunk { group: group as u64, number, body: Value::Text(body) }
    }
}
