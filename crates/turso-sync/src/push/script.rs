//! The one short transaction that applies what is staged.
//!
//! It contains no row: rows come out of the stage. In this order it
//!
//! 1. writes the marker, which fails if the push was carried out already or was given up,
//! 2. checks that the stage is complete and that the schema is still the one that was looked at,
//! 3. drops what goes, changes the tables, and creates what comes, each row to change or delete
//!    checked against the values that it is expected to hold,
//! 4. checks the foreign keys, and clears the stage.

use libsql_diff::{
    ColumnSource, Diff, Names, ObjectKind, Operation, SequenceChange, Setting, TableChange,
    TableEdit, quoted,
};
use libsql_link::{Statement, Value};

use super::cell::inline;
use super::chunks::Chunk;
use super::schema::{Entry, Schema};
use super::survey::{Group, Section, Survey, Work};
use super::{KEPT_DAYS, MARKER, STAGE};
use crate::error::{Error, Result};

/// Gone when the transaction is.
const GUARD: &str = "\"_turso_sync_guard\"";
const ROWS: &str = "\"_turso_sync_rows\"";
const PARKED: &str = "\"_turso_sync_parked\"";

/// What the server's error says when a check fails, behind [`SIGN`].
pub(crate) const SIGN: &str = "turso-sync: ";
const CHECKS: [&str; 6] = ["stage", "schema", "count", "setting", "references", ROW_CHECK];
pub(crate) const ROW_CHECK: &str = "row";

/// The one function that shows the sign of a zero. libSQL's server has it, a plain SQLite may not.
pub(crate) const ZERO_SIGN: &str = "atan2";

/// What was staged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Staged {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
}

/// What the script is made for.
pub(crate) struct Plan<'p> {
    pub(crate) diff: &'p Diff,
    pub(crate) survey: &'p Survey,
    pub(crate) push: &'p str,
    pub(crate) client: &'p str,
    pub(crate) staged: Staged,
    /// The server's schema, as text and read.
    pub(crate) schema_text: &'p str,
    pub(crate) schema: &'p Schema,
    /// Whether references to nothing that are there already are counted and let through.
    pub(crate) allows_dangling: bool,
    /// Whether references are checked at all; not where SQLite calls a foreign key mismatched.
    pub(crate) checks_references: bool,
    /// Whether 0.0 and −0.0 are told apart, for which the server needs a function.
    pub(crate) tells_zeros: bool,
}

/// The tables that this program keeps on the server.
pub(crate) fn bookkeeping() -> [Statement; 2] {
    [
        Statement::from(format!(
            "CREATE TABLE IF NOT EXISTS {MARKER} (id TEXT PRIMARY KEY NOT NULL, \
             client TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('applied', 'abandoned')), \
             at TEXT NOT NULL, rows INTEGER NOT NULL, dangling INTEGER NOT NULL) WITHOUT ROWID"
        )),
        Statement::from(format!(
            "CREATE TABLE IF NOT EXISTS {STAGE} (push TEXT NOT NULL, grp INTEGER NOT NULL, \
             chunk INTEGER NOT NULL, at TEXT NOT NULL, body, PRIMARY KEY (push, grp, chunk)) \
             WITHOUT ROWID"
        )),
    ]
}

/// Stages one chunk; repeating it does no harm.
pub(crate) fn stage(push: &str, chunk: Chunk) -> Statement {
    Statement::new(
        format!(
            "INSERT OR REPLACE INTO {STAGE} (push, grp, chunk, at, body) \
             VALUES ('{push}', {}, {}, {NOW}, ?1)",
            chunk.group, chunk.number
        ),
        [chunk.body],
    )
}

const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')";

/// Gives a push up: from now on it cannot be carried out.
pub(crate) fn abandon(push: &str, client: &str) -> Vec<Statement> {
    let mut statements = bookkeeping().to_vec();
    statements.push(
        format!(
            "INSERT OR IGNORE INTO {MARKER} (id, client, state, at, rows, dangling) \
             VALUES ('{push}', '{client}', 'abandoned', {NOW}, 0, 0)"
        )
        .into(),
    );
    statements.push(format!("DELETE FROM {STAGE} WHERE push = '{push}'").into());
    statements
}

/// The statements of the transaction, without `BEGIN` and `COMMIT`.
pub(crate) fn script(plan: &Plan<'_>) -> Result<Vec<Statement>> {
    let mut out = Writer { statements: Vec::new(), push: plan.push, tells_zeros: plan.tells_zeros };
    out.guard();
    out.marker(plan)?;
    out.check_stage(plan.staged);
    out.statements.push(Statement::new(
        format!(
            "INSERT INTO {GUARD} SELECT 'schema' WHERE ({}) IS NOT ?1",
            super::schema::SCHEMA_SQL
        ),
        [Value::Text(plan.schema_text.to_owned())],
    ));
    let mut triggers = Triggers::new(plan.schema);
    let mut sections = plan.survey.sections.iter();
    for operation in plan.diff.operations() {
        match operation? {
            Operation::DropObject(object) => {
                let name = quoted(&object.name);
                out.push(format!("DROP {} {name}", object.kind.keyword()));
                if object.kind == ObjectKind::Trigger {
                    triggers.forget(&object.name);
                }
            }
            Operation::Table(table) => {
                let Some(section) = sections.next() else { continue };
                triggers.silence(&table, &mut out);
                out.section(&table, section)?;
            }
            Operation::CreateObject(object) => out.push(object.sql),
            Operation::Sequence(change) => out.sequence(&change),
            Operation::Setting(change) if change.setting == Setting::UserVersion => {
                out.push(format!(
                    "INSERT INTO {GUARD} SELECT 'setting' FROM pragma_user_version \
                     WHERE user_version NOT IN ({}, {})",
                    change.old, change.new
                ));
                out.push(format!("PRAGMA user_version = {}", change.new));
            }
            Operation::ForeignKeys(state) => {
                // Checked when everything else is done.
                if let Some(sum) = dangling(&state.tables).filter(|_| plan.checks_references) {
                    triggers.restore(&mut out);
                    out.push(format!(
                        "INSERT INTO {GUARD} SELECT 'references' WHERE {sum} > {} + \
                         (SELECT dangling FROM {MARKER} WHERE id = '{}')",
                        state.dangling, plan.push
                    ));
                }
            }
            // Rows come out of the stage. The server cannot keep an application_id: it stays what
            // it is on either side.
            _ => {}
        }
    }
    triggers.restore(&mut out);
    out.clean();
    Ok(out.statements)
}

/// The sum of the tables' references to nothing.
fn dangling(tables: &[String]) -> Option<String> {
    let counts: Vec<String> = tables
        .iter()
        .map(|table| format!("(SELECT count(*) FROM pragma_foreign_key_check({}))", literal(table)))
        .collect();
    (!counts.is_empty()).then(|| counts.join(" + "))
}

/// The server's triggers on the tables that change: they must not fire, because what they did is
/// among the changes already.
struct Triggers<'s> {
    schema: &'s Schema,
    gone: Vec<String>,
    silenced: Vec<&'s str>,
}

impl<'s> Triggers<'s> {
    fn new(schema: &'s Schema) -> Self {
        Self { schema, gone: Vec::new(), silenced: Vec::new() }
    }

    fn forget(&mut self, name: &str) {
        self.gone.push(name.to_ascii_lowercase());
    }

    fn silence(&mut self, table: &TableChange, out: &mut Writer<'_>) {
        match table.edit {
            // Its triggers go with it, or are among what was dropped.
            TableEdit::Create { .. } | TableEdit::Drop { .. } | TableEdit::Rebuild { .. } => return,
            _ => {}
        }
        let schema = self.schema;
        let belongs = |entry: &&Entry| entry.table.eq_ignore_ascii_case(&table.name);
        for entry in schema.entries.iter().filter(|entry| entry.kind == "trigger").filter(belongs) {
            let name = entry.name.to_ascii_lowercase();
            if let Some(sql) = &entry.sql
                && !self.gone.contains(&name)
            {
                out.push(format!("DROP TRIGGER {}", quoted(&entry.name)));
                self.gone.push(name);
                self.silenced.push(sql);
            }
        }
    }

    fn restore(&mut self, out: &mut Writer<'_>) {
        for sql in self.silenced.drain(..) {
            out.push(sql.to_owned());
        }
    }
}

struct Writer<'p> {
    statements: Vec<Statement>,
    push: &'p str,
    tells_zeros: bool,
}

impl Writer<'_> {
    fn push(&mut self, sql: String) {
        self.statements.push(sql.into());
    }

    /// A view that refuses every row put into it, naming the check that put it there.
    fn guard(&mut self) {
        self.push(format!("CREATE VIEW {GUARD}(what) AS SELECT NULL"));
        let raises: Vec<String> = CHECKS
            .iter()
            .map(|what| format!("SELECT RAISE(ABORT, '{SIGN}{what}') WHERE NEW.what = '{what}';"))
            .collect();
        self.push(format!(
            "CREATE TRIGGER \"_turso_sync_guard_insert\" INSTEAD OF INSERT ON {GUARD} BEGIN {} END",
            raises.join(" ")
        ));
    }

    fn marker(&mut self, plan: &Plan<'_>) -> Result<()> {
        let mut before = None;
        if plan.allows_dangling && plan.checks_references {
            for operation in plan.diff.operations() {
                if let Operation::ForeignKeys(state) = operation? {
                    // Tables that come have no references yet.
                    let known: Vec<String> = state
                        .tables
                        .into_iter()
                        .filter(|table| plan.schema.find("table", table).is_some())
                        .collect();
                    before = dangling(&known);
                }
            }
        }
        let before = before.unwrap_or_else(|| "0".to_owned());
        self.push(format!(
            "INSERT INTO {MARKER} (id, client, state, at, rows, dangling) \
             VALUES ('{}', '{}', 'applied', {NOW}, {}, {before})",
            plan.push, plan.client, plan.survey.rows
        ));
        Ok(())
    }

    fn check_stage(&mut self, staged: Staged) {
        self.push(format!(
            "INSERT INTO {GUARD} SELECT 'stage' WHERE (SELECT count(*) || ' ' || \
             coalesce(sum(CASE WHEN typeof(body) IN ('text', 'blob') THEN octet_length(body) \
             ELSE 0 END), 0) FROM {STAGE} WHERE push = '{}') <> '{} {}'",
            self.push, staged.chunks, staged.bytes
        ));
    }

    fn section(&mut self, table: &TableChange, section: &Section) -> Result<()> {
        let name = quoted(&table.name);
        let before = Names::before(table);
        let after = Names::after(table);
        match &table.edit {
            TableEdit::Create { sql } => self.push(sql.clone()),
            TableEdit::Drop { .. } => {
                self.check_count(&name, section.rows_before);
                self.push(format!("DROP TABLE {name}"));
                return Ok(());
            }
            TableEdit::Refill => {
                self.check_count(&name, section.rows_before);
                self.push(format!("DELETE FROM {name}"));
            }
            _ => {}
        }
        let in_place = matches!(table.edit, TableEdit::Rows);
        let numbered = || section.groups.iter().zip(section.first..);
        for (group, number) in numbered() {
            match group.work {
                Work::Delete | Work::Replace => self.changes(table, &before, group, number)?,
                Work::Update if in_place => self.changes(table, &before, group, number)?,
                _ => {}
            }
        }
        match &table.edit {
            TableEdit::AddColumns { statements, .. } => {
                self.statements.extend(statements.iter().cloned().map(Statement::from));
            }
            TableEdit::Rebuild { sql, .. } => self.rebuild(table, sql),
            _ => {}
        }
        for (group, number) in numbered() {
            match group.work {
                Work::Insert => self.inserts(table, &after, group, number),
                Work::Update if !in_place => self.changes(table, &after, group, number)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What a group's statement reads: its cells, as expressions over `j.value`.
    fn cells(&self, group: &Group) -> Vec<String> {
        let forms = group.forms.iter().enumerate();
        forms.map(|(index, forms)| forms.sql(index, self.push)).collect()
    }

    fn source(&self, number: usize) -> String {
        format!(
            "FROM {STAGE} AS s CROSS JOIN json_each(s.body) AS j \
             WHERE s.push = '{}' AND s.grp = {number}",
            self.push
        )
    }

    /// Deletes or changes a group's rows one by one, each found by its key and checked. Done by the
    /// trigger of a view, because SQLite's planner, given all of it as one statement, may choose to
    /// read the whole table once for every row.
    fn changes(
        &mut self,
        table: &TableChange,
        names: &Names,
        group: &Group,
        number: usize,
    ) -> Result<()> {
        let key_width = group.key_width(table);
        let mut cells = self.cells(group);
        let per_column = if group.work == Work::Update { 2 } else { 1 };
        let cell = |at: usize| format!("NEW.c{at}");
        let key: Vec<usize> = if key_width > 0 {
            (0..key_width).collect()
        } else {
            // A deleted row's key is among its values.
            table.key_columns().iter().map(|key| key.column).collect()
        };
        // A column of a virtual table may be called as one of the cells is.
        let reading = if table.is_virtual { qualified(names) } else { names.clone() };
        let found = if group.by_rowid {
            let rowid = reading.rowid.as_deref().ok_or_else(|| Error::Unsupported {
                subject: table.name.clone(),
                what: "a row without a key in a table whose rowid has no name".to_owned(),
            })?;
            format!("{rowid} = NEW.c0")
        } else {
            reading.key_condition(table, |part| cell(key[part]))
        };
        let mut terms = vec![found.clone()];
        let mut sets = Vec::new();
        for (position, &column) in group.columns.iter().enumerate() {
            let old = key_width + position * per_column;
            let Some(name) = &names.columns[column] else { continue };
            let read = reading.columns[column].as_ref().unwrap_or(name);
            let is_same = group.is_loose.then(|| {
                cells.push(format!("json_type(j.value, '$[{old}]') = 'true'"));
                cell(cells.len() - 1)
            });
            let holds = format!(
                "+{read} IS {old} COLLATE BINARY AND typeof({read}) = typeof({old})",
                old = cell(old)
            );
            let is_zero_told = if self.tells_zeros && group.forms[old].has_zeros() {
                let (old, sign) = (cell(old), |of: &str| format!("{ZERO_SIGN}({of}, -1.0)"));
                format!(
                    " AND CASE WHEN {old} = 0.0 AND typeof({old}) = 'real' THEN {} = {} ELSE 1 END",
                    sign(read),
                    sign(&old)
                )
            } else {
                String::new()
            };
            terms.push(match &is_same {
                Some(is_same) => format!("({is_same} OR {holds}{is_zero_told})"),
                None => format!("({holds}{is_zero_told})"),
            });
            if group.work == Work::Update {
                let new = cell(old + 1);
                sets.push(match is_same {
                    Some(is_same) => {
                        format!("{name} = CASE WHEN {is_same} THEN {name} ELSE {new} END")
                    }
                    None => format!("{name} = {new}"),
                });
            }
        }
        let target = &names.table;
        let expected = balanced(&terms);
        let raise = format!("SELECT RAISE(ABORT, '{SIGN}{ROW_CHECK}')");
        let change = |condition: &str| match group.work {
            Work::Update => {
                format!("UPDATE OR ABORT {target} SET {} WHERE {condition};", sets.join(", "))
            }
            _ => format!("DELETE FROM {target} WHERE {condition};"),
        };
        let program = if table.is_virtual {
            // It does not count its changes, and some cannot be read while they are written.
            self.check_virtual(names, group, &cells, &terms, number);
            change(&found)
        } else {
            format!("{} {raise} WHERE changes() <> 1;", change(&expected))
        };
        let columns: Vec<String> = (0..cells.len()).map(|at| format!("c{at}")).collect();
        let nulls = vec!["NULL"; cells.len()].join(", ");
        self.push(format!("CREATE VIEW {ROWS}({}) AS SELECT {nulls}", columns.join(", ")));
        self.push(format!(
            "CREATE TRIGGER \"_turso_sync_rows_insert\" INSTEAD OF INSERT ON {ROWS} \
             BEGIN {program} END"
        ));
        self.push(format!(
            "INSERT OR ABORT INTO {ROWS} SELECT {} {}",
            cells.join(", "),
            self.source(number)
        ));
        self.push(format!("DROP VIEW {ROWS}"));
        Ok(())
    }

    /// Where rows go without being looked at one by one.
    fn check_count(&mut self, table: &str, rows: Option<u64>) {
        if let Some(rows) = rows {
            self.push(format!(
                "INSERT INTO {GUARD} SELECT 'count' WHERE (SELECT count(*) FROM {table}) <> {rows}"
            ));
        }
    }

    /// All of a group's rows are in a virtual table, and as they are expected.
    fn check_virtual(
        &mut self,
        names: &Names,
        group: &Group,
        cells: &[String],
        terms: &[String],
        number: usize,
    ) {
        let cells: Vec<String> =
            cells.iter().enumerate().map(|(at, cell)| format!("{cell} AS c{at}")).collect();
        self.push(format!(
            "INSERT INTO {GUARD} SELECT '{ROW_CHECK}' WHERE (SELECT count(*) FROM \
             (SELECT {} {}) AS NEW CROSS JOIN {} WHERE {}) <> {}",
            cells.join(", "),
            self.source(number),
            names.table,
            balanced(terms),
            group.rows
        ));
    }

    /// `OR ABORT` overrides what the schema says about conflicts.
    fn inserts(&mut self, table: &TableChange, names: &Names, group: &Group, number: usize) {
        let mut columns: Vec<String> = Vec::new();
        if group.by_rowid {
            columns.push(names.rowid.clone().unwrap_or_else(|| "rowid".to_owned()));
        }
        columns.extend(names.columns.iter().flatten().cloned());
        self.push(format!(
            "INSERT OR ABORT INTO {} ({}) SELECT {} {}",
            names.table,
            columns.join(", "),
            self.cells(group).join(", "),
            self.source(number)
        ));
        if !table.is_virtual {
            self.push(format!(
                "INSERT INTO {GUARD} SELECT 'stage' WHERE changes() <> {}",
                group.rows
            ));
        }
    }

    /// The rows wait in a table without types while theirs is defined anew. Renaming the old table
    /// would change what other objects say about it.
    fn rebuild(&mut self, table: &TableChange, sql: &str) {
        let TableEdit::Rebuild { old_name, old_sql, sources, rowids, .. } = &table.edit else {
            return;
        };
        let old = quoted(old_name);
        let mut from = Vec::new();
        let mut to = Vec::new();
        let mut back = Vec::new();
        let mut params = Vec::new();
        if let Some((before, after)) = rowids {
            from.push(before.clone());
            to.push(after.clone());
            back.push("c".to_owned());
        }
        for (index, (source, column)) in sources.iter().zip(&table.columns).enumerate() {
            to.push(quoted(&column.name));
            back.push(match source {
                ColumnSource::Column(name) => {
                    from.push(quoted(name));
                    format!("c{index}")
                }
                ColumnSource::Fill(value) => inline(value, &mut params),
            });
        }
        let waits: Vec<String> =
            back.iter().filter(|name| name.starts_with('c')).cloned().collect();
        // The first column is the counter of AUTOINCREMENT, which goes with the old table, in a row
        // of its own.
        self.push(format!("CREATE TABLE {PARKED} (seq{})", listed(waits)));
        self.push(format!(
            "INSERT INTO {PARKED} SELECT NULL{} FROM {old}{}",
            listed(from.iter().cloned()),
            if rowids.is_some() { format!(" ORDER BY {}", from[0]) } else { String::new() }
        ));
        let counts = |sql: &str| sql.to_ascii_uppercase().contains("AUTOINCREMENT");
        let keeps_counter = counts(old_sql) && counts(sql);
        if keeps_counter {
            self.push(format!(
                "INSERT INTO {PARKED} (seq) SELECT seq FROM sqlite_sequence \
                 WHERE lower(name) = lower({})",
                literal(old_name)
            ));
        }
        self.push(format!("DROP TABLE {old}"));
        self.push(sql.to_owned());
        self.statements.push(Statement::new(
            format!(
                "INSERT OR ABORT INTO {} ({}) SELECT {} FROM {PARKED} WHERE seq IS NULL \
                 ORDER BY rowid",
                quoted(&table.name),
                to.join(", "),
                back.join(", ")
            ),
            params,
        ));
        if keeps_counter {
            let name = literal(&table.name);
            self.push(format!("DELETE FROM sqlite_sequence WHERE lower(name) = lower({name})"));
            self.push(format!(
                "INSERT INTO sqlite_sequence (name, seq) SELECT {name}, seq FROM {PARKED} \
                 WHERE seq IS NOT NULL"
            ));
        }
        self.push(format!("DROP TABLE {PARKED}"));
    }

    /// Never lowers a counter: somebody else may have used it.
    fn sequence(&mut self, change: &SequenceChange) {
        let Some(libsql_diff::Value::Integer(new)) = change.new else { return };
        let name = literal(&change.table);
        self.push(format!(
            "UPDATE sqlite_sequence SET seq = max(seq, {new}) WHERE lower(name) = lower({name})"
        ));
        self.push(format!(
            "INSERT INTO sqlite_sequence (name, seq) SELECT {name}, {new} WHERE NOT EXISTS \
             (SELECT 1 FROM sqlite_sequence WHERE lower(name) = lower({name}))"
        ));
    }

    fn clean(&mut self) {
        let old = format!("at < strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-{KEPT_DAYS} days')");
        self.push(format!("DELETE FROM {STAGE} WHERE push = '{}' OR {old}", self.push));
        self.push(format!("DELETE FROM {MARKER} WHERE {old}"));
        self.push(format!("DROP VIEW {GUARD}"));
    }
}

/// The names with the table before each, as a join of it with other tables needs them.
fn qualified(names: &Names) -> Names {
    let of_table = |name: &String| format!("{}.{name}", names.table);
    Names {
        table: names.table.clone(),
        columns: names.columns.iter().map(|name| name.as_ref().map(of_table)).collect(),
        rowid: names.rowid.as_ref().map(of_table),
    }
}

/// All terms, nested no deeper than needed: SQLite limits the depth.
fn balanced(terms: &[String]) -> String {
    match terms {
        [] => "1".to_owned(),
        [term] => term.clone(),
        _ => {
            let (left, right) = terms.split_at(terms.len() / 2);
            format!("({} AND {})", balanced(left), balanced(right))
        }
    }
}

/// Each with a comma before it.
pub(crate) fn listed(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().fold(String::new(), |mut list, name| {
        list.push_str(", ");
        list.push_str(&name);
        list
    })
}

/// A text as SQL writes it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
