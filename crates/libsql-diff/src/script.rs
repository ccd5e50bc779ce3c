//! SQL text: a diff as a script that any SQL runner can apply, and running scripts.

use std::io::{BufRead, Write};

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::file::Diff;
use crate::progress::OnProgress;

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
    #[expect(dead_code, reason = "filled in by the next commit")]
    sql: &'s str,
}

/// Splits an SQL text into statements, as SQLite does: semicolons in texts, quoted names, comments
/// and the bodies of triggers end nothing, whatever the nesting of `BEGIN`, `CASE` and `END`.
/// Statements that are empty, or hold nothing but comments, are left out.
///
/// ```no_run
/// let sql = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 'x;y'; END; -- a; b\nSELECT 1";
/// let texts: Vec<&str> = libsql_diff::statements(sql).map(|statement| statement.text).collect();
/// assert_eq!(texts.len(), 2);
/// ```
pub fn statements(sql: &str) -> Statements<'_> {
    Statements { sql }
}

impl<'s> Iterator for Statements<'s> {
    type Item = Statement<'s>;

    fn next(&mut self) -> Option<Statement<'s>> {
        None
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
/// effect, and those that change how the connection treats foreign keys are taken back afterwards.
/// Triggers fire and foreign keys act as in any other program: what [`Diff::write_sql`] writes
/// sees to it itself.
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
    let _ = (script, conn, on_progress);
    Err(Error::Unsupported { subject: "script".into(), what: "not built yet".into() })
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
        let _ = out;
        Err(Error::Unsupported { subject: "script".into(), what: "not built yet".into() })
    }
}
