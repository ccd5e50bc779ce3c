//! SQL text: a diff as a script that any SQL runner can apply, and running scripts.

use std::io::{BufRead, Write};

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::file::{Diff, Operations};
use crate::literal::{write_cast, write_literal};
use crate::operation::{
    ColumnChange, Operation, RowChange, RowKey, SchemaObject, SequenceChange, TableChange,
    TableEdit,
};
use crate::progress::{Meter, OnProgress};
use crate::splitter::{Span, Splitter};
use crate::sqlite::Encoding;
use crate::sqltext::{quoted, tokens};
use crate::statements::{Names, insert_head, rebuild_sql_with, rename_away_sql};
use crate::value::{Value, ValueRef};

/// One statement of an SQL text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'s> {
    /// Its text from the first token to the last, without the semicolon.
    pub text: &'s str,
    /// Where `text` begins, in bytes from the beginning of the whole text.
    pub start: usize,
    /// The line on which `text` begins, counted from 1.
    pub line: usize,
    /// Whether a semicolon ends it; false only for the last statement of a text.
    pub is_complete: bool,
}

/// The statements of an SQL text, see [`statements`].
#[derive(Clone, Debug)]
pub struct Statements<'s> {
    sql: &'s str,
    at: usize,
    splitter: Splitter,
}

/// Splits an SQL text into statements, as SQLite does: semicolons in texts, quoted names, comments
/// and the bodies of triggers end nothing, whatever the nesting of `BEGIN`, `CASE` and `END`.
/// Statements that are empty, or hold nothing but comments, are left out.
///
/// ```
/// let sql = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 'x;y'; END; -- a; b\nSELECT 1";
/// let texts: Vec<&str> = libsql_diff::statements(sql).map(|statement| statement.text).collect();
/// assert_eq!(texts[1], "SELECT 1");
/// assert_eq!(texts.len(), 2);
/// ```
pub fn statements(sql: &str) -> Statements<'_> {
    Statements { sql, at: 0, splitter: Splitter::new() }
}

impl<'s> Iterator for Statements<'s> {
    type Item = Statement<'s>;

    fn next(&mut self) -> Option<Statement<'s>> {
        let statement = |span: Span, is_complete| Statement {
            text: &self.sql[span.start..span.end],
            start: span.start,
            line: span.line,
            is_complete,
        };
        for byte in &self.sql.as_bytes()[self.at..] {
            self.at += 1;
            if let Some(span) = self.splitter.feed(*byte) {
                return Some(statement(span, true));
            }
        }
        self.splitter.finish().map(|span| statement(span, false))
    }
}

/// What a script did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptApplied {
    /// Statements run, without `BEGIN`, `COMMIT` and the like.
    pub statements: u64,
    /// Rows inserted, updated or deleted, by triggers too.
    pub rows_changed: u64,
}

/// Runs an SQL script on the main database of `conn`: all of it in one transaction, or nothing.
///
/// `BEGIN`, `COMMIT` and `END` of the script's own are passed over, as the whole script is one
/// transaction; `PRAGMA`s before its first other statement run outside of it, so that they take
/// effect, and those that change how the connection treats foreign keys and renamed tables are
/// taken back afterwards. Triggers fire and foreign keys act as in any other program: what
/// [`Diff::write_sql`] writes sees to it itself.
///
/// # Errors
///
/// [`Error::InTransaction`] if the connection is inside a transaction; [`Error::Script`], with the
/// line, if SQLite refuses a statement, if a `ROLLBACK` would undo what went before, or if the text
/// ends within a statement. Nothing is applied then.
pub fn apply_script(
    script: &mut dyn BufRead,
    conn: &Connection,
    on_progress: &mut OnProgress<'_>,
) -> Result<ScriptApplied> {
    if !conn.is_autocommit() {
        return Err(Error::InTransaction);
    }
    let _settings = Settings::keep(conn)?;
    let before = total_changes(conn)?;
    let mut runner = Runner { conn, begun: false, statements: 0 };
    let mut meter = Meter::new(on_progress);
    let outcome = read_statements(script, &mut |text, line, is_complete| {
        meter.add(1, text.len() as u64)?;
        runner.run(text, line, is_complete)
    })
    .and_then(|()| {
        let rows_changed = total_changes(conn)?.saturating_sub(before);
        if runner.begun {
            conn.execute_batch("COMMIT")
                .map_err(|error| Error::from_rusqlite("committing the script", &error))?;
        }
        Ok(ScriptApplied { statements: runner.statements, rows_changed })
    });
    if outcome.is_err() && !conn.is_autocommit() {
        // The first error is the one to report.
        let _ = conn.execute_batch("ROLLBACK");
    }
    outcome
}

fn total_changes(conn: &Connection) -> Result<u64> {
    conn.query_row("SELECT total_changes()", [], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
        .map_err(|error| Error::from_rusqlite("counting changes", &error))
}

/// Reads a text piece by piece and hands its statements over, with their lines.
fn read_statements(
    script: &mut dyn BufRead,
    each: &mut dyn FnMut(&str, usize, bool) -> Result<()>,
) -> Result<()> {
    let mut splitter = Splitter::new();
    // What has been read and not handed over, and where it begins.
    let (mut pending, mut base) = (Vec::new(), 0);
    let hand_over = |pending: &[u8], base: usize, span: Span, is_complete: bool| {
        let bytes = &pending[span.start - base..span.end - base];
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok((text.to_owned(), span.line, is_complete)),
            Err(_) => Err(script_error(span.line, "it is not UTF-8")),
        }
    };
    loop {
        let chunk = match script.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Stream { doing: "reading the script", source }),
        };
        if chunk.is_empty() {
            break;
        }
        let length = chunk.len();
        let chunk_start = base + pending.len();
        pending.extend_from_slice(chunk);
        script.consume(length);
        for index in 0..length {
            let at = chunk_start + index;
            if let Some(span) = splitter.feed(pending[at - base]) {
                let (text, line, is_complete) = hand_over(&pending, base, span, true)?;
                each(&text, line, is_complete)?;
                pending.drain(..=at - base);
                base = at + 1;
            }
        }
    }
    if let Some(span) = splitter.finish() {
        let (text, line, is_complete) = hand_over(&pending, base, span, false)?;
        each(&text, line, is_complete)?;
    }
    Ok(())
}

fn script_error(line: usize, what: impl Into<String>) -> Error {
    Error::Script { line, what: what.into() }
}

struct Runner<'c> {
    conn: &'c Connection,
    begun: bool,
    statements: u64,
}

impl Runner<'_> {
    fn run(&mut self, text: &str, line: usize, is_complete: bool) -> Result<()> {
        // SQLite passes over a byte order mark, too.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // The last statement may lack its semicolon, but not the end of a text or of a trigger.
        let words = tokens(text.get(..text.len().min(200)).unwrap_or(text));
        let first = words.first();
        let is_first = |word: &str| first.is_some_and(|first| first.is_word(word));
        if is_first("BEGIN") || is_first("COMMIT") || is_first("END") {
            return self.begin();
        }
        if is_first("ROLLBACK") && !words.iter().any(|word| word.is_word("TO")) {
            return Err(script_error(
                line,
                "the script rolls back what it did before; take that out, or run it elsewhere",
            ));
        }
        if !is_first("PRAGMA") {
            self.begin()?;
        }
        if text.contains('\0') {
            return Err(script_error(line, "a NUL character, where SQLite would stop reading"));
        }
        self.statements += 1;
        self.conn.execute_batch(text).map_err(|error| {
            let ending = if is_complete { "" } else { " (the text ends here)" };
            script_error(line, format!("{error}{ending}"))
        })
    }

    fn begin(&mut self) -> Result<()> {
        if !self.begun {
            self.conn
                .execute_batch("BEGIN IMMEDIATE")
                .map_err(|error| Error::from_rusqlite("beginning to write", &error))?;
            self.begun = true;
        }
        Ok(())
    }
}

/// The settings of a connection that scripts change; restored when dropped.
struct Settings<'c> {
    conn: &'c Connection,
    values: Vec<(&'static str, i64)>,
}

impl<'c> Settings<'c> {
    fn keep(conn: &'c Connection) -> Result<Self> {
        let names = ["foreign_keys", "defer_foreign_keys", "legacy_alter_table", "writable_schema"];
        let mut values = Vec::new();
        for name in names {
            let value = conn
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
                .map_err(|error| Error::from_rusqlite("reading the settings", &error))?;
            values.push((name, value));
        }
        Ok(Self { conn, values })
    }
}

impl Drop for Settings<'_> {
    fn drop(&mut self) {
        for (name, value) in &self.values {
            // This only fails on a connection that is no longer usable.
            let _ = self.conn.execute_batch(&format!("PRAGMA {name} = {value}"));
        }
    }
}

impl Diff {
    /// Writes the diff as an SQL script, in one transaction, for the `sqlite3` shell
    /// (`sqlite3 -bail DB < FILE`), [`apply_script`], or any other program that runs SQL text.
    ///
    /// The script gives every value back by type and bit, and keeps triggers and foreign keys
    /// still, but unlike [`crate::apply`] it does not look at what it changes: a row that is not
    /// as the diff expects it goes unnoticed. It is for a database equal to the one that the diff
    /// was made from, with the same encoding.
    pub fn write_sql(&self, out: &mut dyn Write) -> Result<()> {
        let mut writer = ScriptWriter {
            out,
            encoding: self.encodings().0,
            triggers: Vec::new(),
            rewritten: Vec::new(),
            wrote_shadow: false,
        };
        writer.run(self)
    }
}

struct ScriptWriter<'o> {
    out: &'o mut dyn Write,
    /// The encoding of the database that the script is for.
    encoding: Encoding,
    /// To be created again at the end.
    triggers: Vec<SchemaObject>,
    /// Definitions that do not pass through the `sqlite3` shell as they are: their kind, name and
    /// text.
    rewritten: Vec<(&'static str, String, String)>,
    wrote_shadow: bool,
}

impl ScriptWriter<'_> {
    fn text(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).map_err(Error::stream("writing the script"))
    }

    fn line(&mut self, statement: &str) -> Result<()> {
        self.text(statement)?;
        self.text(";\n")
    }

    fn value(&mut self, value: ValueRef<'_>) -> Result<()> {
        write_literal(self.out, value, self.encoding).map_err(Error::stream("writing the script"))
    }

    fn literal(&self, value: ValueRef<'_>) -> String {
        let mut bytes = Vec::new();
        // Writing to memory does not fail, and literals are ASCII or valid UTF-8.
        let _ = write_literal(&mut bytes, value, self.encoding);
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// A `CREATE` statement.
    fn definition(&mut self, kind: &'static str, name: &str, sql: &str) -> Result<()> {
        if sql.contains('\r') {
            self.rewritten.push((kind, name.to_owned(), sql.to_owned()));
        }
        self.line(sql)
    }

    fn object(&mut self, object: &SchemaObject) -> Result<()> {
        let kind = match object.kind {
            crate::operation::ObjectKind::Index => "index",
            crate::operation::ObjectKind::View => "view",
            crate::operation::ObjectKind::Trigger => "trigger",
        };
        self.definition(kind, &object.name, &object.sql)
    }

    fn run(&mut self, diff: &Diff) -> Result<()> {
        self.text(
            "-- What differs between two databases, to be run on the first of them:\n\
             -- sqlite3 -bail DATABASE < THIS_FILE\n",
        )?;
        if diff.is_empty() {
            return self.text("-- Nothing differs.\n");
        }
        self.text(
            "PRAGMA foreign_keys = OFF;\nPRAGMA legacy_alter_table = ON;\nBEGIN IMMEDIATE;\n",
        )?;
        let mut operations = diff.operations();
        let mut after_objects = Vec::new();
        while let Some(operation) = operations.next() {
            match operation? {
                Operation::DropObject(object) => self.line(&format!(
                    "DROP {} main.{}",
                    object.kind.keyword(),
                    quoted(&object.name)
                ))?,
                Operation::Table(table) => self.section(diff, &table, &mut operations)?,
                Operation::CreateObject(object) => self.object(&object)?,
                other => after_objects.push(other),
            }
        }
        for trigger in std::mem::take(&mut self.triggers) {
            self.object(&trigger)?;
        }
        for operation in after_objects {
            match operation {
                Operation::Sequence(change) => self.sequence(&change)?,
                Operation::Setting(change) => {
                    self.line(&format!(
                        "PRAGMA main.{} = {}",
                        change.setting.pragma(),
                        change.new
                    ))?;
                }
                _ => {}
            }
        }
        self.rewrite_definitions()?;
        self.text("COMMIT;\nPRAGMA legacy_alter_table = OFF;\n")?;
        if self.wrote_shadow {
            // Makes FTS5 forget what it remembers of an index that was changed behind its back.
            self.text("PRAGMA writable_schema = RESET;\n")?;
        }
        Ok(())
    }

    fn section(
        &mut self,
        diff: &Diff,
        table: &TableChange,
        operations: &mut Operations<'_>,
    ) -> Result<()> {
        self.wrote_shadow |= table.is_shadow;
        match &table.edit {
            TableEdit::Drop { .. } => {
                operations.next().transpose()?;
                return self.line(&format!("DROP TABLE main.{}", quoted(&table.name)));
            }
            TableEdit::Create { sql } => self.definition("table", &table.name, sql)?,
            _ => {}
        }
        for trigger in &table.triggers {
            self.line(&format!("DROP TRIGGER main.{}", quoted(&trigger.name)))?;
            self.triggers.push(trigger.clone());
        }
        if table.edit == TableEdit::Refill {
            self.line(&format!("DELETE FROM main.{}", quoted(&table.name)))?;
        }
        let start = operations.next_offset();
        let names = Names::before(table);
        let in_place = matches!(table.edit, TableEdit::Rows);
        let mut has_more = false;
        for operation in operations.by_ref() {
            match operation? {
                Operation::Row(RowChange::Delete { key, .. }) => {
                    self.delete(table, &names, &key)?;
                }
                Operation::Row(RowChange::Update { key, replacement: Some(_), .. }) => {
                    self.delete(table, &names, &key)?;
                    has_more = true;
                }
                Operation::Row(RowChange::Update { key, changes, replacement: None })
                    if in_place =>
                {
                    self.update(table, &names, &key, &changes)?;
                }
                Operation::Row(_) => has_more = true,
                _ => break,
            }
        }
        match &table.edit {
            TableEdit::AddColumns { statements, .. } => {
                for statement in statements {
                    self.line(statement)?;
                }
            }
            TableEdit::Rebuild { parked_name, sql, .. } => {
                self.line(&rename_away_sql(table))?;
                self.definition("table", &table.name, sql)?;
                let copy = rebuild_sql_with(table, |value| self.literal(value.as_ref()));
                self.line(&copy)?;
                self.line(&format!("DROP TABLE main.{}", quoted(parked_name)))?;
            }
            _ => {}
        }
        if !has_more {
            return Ok(());
        }
        let names = Names::after(table);
        for operation in diff.operations_from(start, Some(Box::new(table.clone()))) {
            match operation? {
                Operation::Row(RowChange::Insert { rowid, values }) => {
                    self.insert(table, rowid, &values)?;
                }
                Operation::Row(RowChange::Update { key, replacement: Some(values), .. }) => {
                    self.insert(table, key.rowid(), &values)?;
                }
                Operation::Row(RowChange::Update { key, changes, replacement: None })
                    if !in_place =>
                {
                    self.update(table, &names, &key, &changes)?;
                }
                Operation::Row(_) => {}
                _ => break,
            }
        }
        Ok(())
    }

    fn condition(&self, table: &TableChange, names: &Names, key: &RowKey) -> String {
        match key {
            RowKey::Rowid(rowid) => names.by_rowid(&rowid.to_string()),
            RowKey::Columns(values) => {
                names.by_key(table, |index| self.literal(values[index].as_ref()))
            }
        }
    }

    fn delete(&mut self, table: &TableChange, names: &Names, key: &RowKey) -> Result<()> {
        let condition = self.condition(table, names, key);
        self.line(&format!("DELETE FROM main.{}{condition}", names.table))
    }

    fn update(
        &mut self,
        table: &TableChange,
        names: &Names,
        key: &RowKey,
        changes: &[ColumnChange],
    ) -> Result<()> {
        self.text(&format!("UPDATE OR ABORT main.{} SET ", names.table))?;
        for (index, change) in changes.iter().enumerate() {
            if index > 0 {
                self.text(", ")?;
            }
            self.text(names.columns[change.column].as_deref().unwrap_or_default())?;
            self.text(" = ")?;
            self.value(change.new.as_ref())?;
        }
        let condition = self.condition(table, names, key);
        self.line(&condition)
    }

    fn insert(&mut self, table: &TableChange, rowid: Option<i64>, values: &[Value]) -> Result<()> {
        self.text(&insert_head(table, rowid.is_some()))?;
        self.text("(")?;
        let rowid = rowid.map(Value::Integer);
        for (index, value) in rowid.iter().chain(values).enumerate() {
            if index > 0 {
                self.text(", ")?;
            }
            self.value(value.as_ref())?;
        }
        self.line(")")
    }

    fn sequence(&mut self, change: &SequenceChange) -> Result<()> {
        let name = self.literal(ValueRef::Text(change.table.as_bytes()));
        self.line(&format!("DELETE FROM main.sqlite_sequence WHERE lower(name) = lower({name})"))?;
        if let Some(value) = &change.new {
            let value = self.literal(value.as_ref());
            let head = "INSERT INTO main.sqlite_sequence(name, seq) VALUES";
            self.line(&format!("{head} ({name}, {value})"))?;
        }
        Ok(())
    }

    /// Gives definitions the carriage returns back that the `sqlite3` shell drops.
    fn rewrite_definitions(&mut self) -> Result<()> {
        let rewritten = std::mem::take(&mut self.rewritten);
        if rewritten.is_empty() {
            return Ok(());
        }
        self.line("PRAGMA writable_schema = ON")?;
        for (kind, name, sql) in rewritten {
            self.text("UPDATE main.sqlite_schema SET sql = ")?;
            write_cast(self.out, sql.as_bytes(), self.encoding)
                .map_err(Error::stream("writing the script"))?;
            let name = self.literal(ValueRef::Text(name.as_bytes()));
            self.line(&format!(" WHERE type = '{kind}' AND name = {name}"))?;
        }
        self.line("PRAGMA writable_schema = OFF")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        statements(sql).map(|statement| statement.text).collect()
    }

    #[test]
    fn semicolons_in_texts_names_and_comments_end_nothing() {
        assert_eq!(
            texts(
                "SELECT 'a;''b;'; SELECT \"x;\"\"y\", [z;], `u;``v` -- c;\n, 1 /* ; */ ;;  ; /* e */"
            ),
            ["SELECT 'a;''b;'", "SELECT \"x;\"\"y\", [z;], `u;``v` -- c;\n, 1"]
        );
        assert_eq!(texts("  -- nothing\n /* at all; */ ; "), Vec::<&str>::new());
        assert_eq!(texts("SELECT 1-1, 2/1;SELECT --x\n-1"), ["SELECT 1-1, 2/1", "SELECT --x\n-1"]);
        assert_eq!(texts("SELECT 1 /***/; SELECT 2 /*/ ; */"), ["SELECT 1", "SELECT 2"]);
    }

    #[test]
    fn a_trigger_ends_with_its_own_end() {
        let trigger =
            "CREATE TEMP TRIGGER \"a;b\" AFTER UPDATE ON t WHEN CASE new.x WHEN 1 THEN 1 END
             BEGIN UPDATE t SET y = CASE WHEN x THEN 'end;' ELSE 2 END; SELECT 1; END";
        assert_eq!(texts(&format!("{trigger}; SELECT 1;")), [trigger, "SELECT 1"]);
        let trigger = "create /* ; */ trigger x before insert on t begin select 1; end";
        assert_eq!(texts(&format!("{trigger} ; select 2")), [trigger, "select 2"]);
        // `END` as the end of a transaction, and words that only look like it.
        assert_eq!(texts("BEGIN; SELECT end1; END; END"), ["BEGIN", "SELECT end1", "END", "END"]);
        assert_eq!(
            texts("CREATE TABLE trigger_end(a); CREATE TABLE b(c)"),
            ["CREATE TABLE trigger_end(a)", "CREATE TABLE b(c)"]
        );
    }

    #[test]
    fn statements_know_their_lines() {
        let found: Vec<(usize, bool)> = statements("SELECT 1;\n\n-- c\nSELECT\n2;\nSELECT 'a\nb'")
            .map(|statement| (statement.line, statement.is_complete))
            .collect();
        assert_eq!(found, [(1, true), (4, true), (6, false)]);
    }

    #[test]
    fn reading_in_pieces_finds_the_same_statements() {
        let sql = "SELECT 'ä;'; CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END;\n/* x; */ SELECT 2;";
        for size in 1..sql.len() {
            let mut found = Vec::new();
            let mut input = std::io::BufReader::with_capacity(size, sql.as_bytes());
            read_statements(&mut input, &mut |text, line, _| {
                found.push((text.to_owned(), line));
                Ok(())
            })
            .unwrap();
            let expected: Vec<(String, usize)> =
                statements(sql).map(|s| (s.text.to_owned(), s.line)).collect();
            assert_eq!(found, expected, "in pieces of {size} bytes");
        }
    }
}
