//! Many rows in one statement: `INSERT … SELECT`, or another that reads from a table which exists
//! only while it is read.
//!
//! A statement for each row costs more in SQLite than the row: cursors are opened on the table and
//! each index, and the sequence of ids is read and written. With one statement for a batch this is
//! done once, and the values are read where they are, without being bound.
//!
//! What the unsafe code relies on:
//! * SQLite calls a virtual table only from within `sqlite3_step` and `sqlite3_reset` of the
//!   statement that reads it, on the same thread. [`Bulk::execute`] resets the statement before
//!   it returns, so no call happens while the rows are not borrowed.
//! * The rows reach the table through `sqlite3_bind_pointer`, which no SQL text can forge: whoever
//!   else reads the table finds it empty.
//! * A text handed over as `SQLITE_STATIC` is read until the table is asked for the next row, not
//!   longer: the program of such a statement copies what it stores.

#![expect(unsafe_code, reason = "calls into SQLite's C interface; see the module's comment")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{self, NonNull},
};

use rusqlite::{Connection, ffi, types::ValueRef};

type SqlResult<T> = rusqlite::Result<T>;

/// Rows to hand over, one after the other.
pub(crate) trait NewRows {
    /// Goes to the next row. `false`: there is none.
    fn advance(&mut self) -> bool;
    /// A value of the current row, by its place in the columns of the statement: `c0`, `c1` and so on.
    fn value(&self, at: usize) -> ValueRef<'_>;
}

/// A statement that takes in many rows.
#[derive(Debug)]
pub(crate) struct Bulk<'d> {
    db: NonNull<ffi::sqlite3>,
    statement: NonNull<ffi::sqlite3_stmt>,
    connection: PhantomData<&'d Connection>,
}

const MODULE_NAME: &CStr = c"curfew_new_rows";
/// Tells our pointers from those of others.
const POINTER_TYPE: &CStr = c"curfew_new_rows";
/// How many columns the table has: as many as any statement needs.
const WIDTH: usize = 16;

impl<'d> Bulk<'d> {
    /// A statement that inserts rows with a value from [`NewRows`] for each of `columns` and one for
    /// all rows for each of `constants`, bound here.
    ///
    /// A conflict rolls the transaction back (`OR ROLLBACK`): otherwise SQLite would note the former
    /// content of every page it changes, to undo this statement alone.
    pub(crate) fn insert(
        connection: &'d Connection,
        table: &str,
        columns: &[&str],
        constants: &[(&str, &str)],
    ) -> SqlResult<Self> {
        let names = columns.iter().chain(constants.iter().map(|(name, _)| name));
        let values = (0..columns.len())
            .map(|at| format!("c{at}"))
            .chain((0..constants.len()).map(|at| format!("?{}", at + 2)));
        let sql = format!(
            "INSERT OR ROLLBACK INTO {table} ({}) SELECT {} FROM curfew_new_rows(?1)",
            names.copied().collect::<Vec<_>>().join(", "),
            values.collect::<Vec<_>>().join(", "),
        );
        let constants: Vec<&str> = constants.iter().map(|(_, value)| *value).collect();
        Self::prepare(connection, &sql, &constants)
    }

    /// Another statement that reads `curfew_new_rows(?1)`, with texts for the parameters from `?2` on.
    pub(crate) fn prepare(
        connection: &'d Connection,
        sql: &str,
        constants: &[&str],
    ) -> SqlResult<Self> {
        // SAFETY: the handle is used as long as the connection is borrowed.
        let db = unsafe { connection.handle() };
        let db = NonNull::new(db).expect("an open connection has a handle");
        // Who makes it anew takes it from the statements that use it.
        let is_known = connection
            .prepare_cached("SELECT 1 FROM pragma_module_list WHERE name = ?1")?
            .exists([MODULE_NAME.to_str().unwrap_or_default()])?;
        if !is_known {
            // SAFETY: name and module live for ever; there is no client data.
            let code = unsafe {
                let (name, module) = (MODULE_NAME.as_ptr(), &raw const MODULE.0);
                ffi::sqlite3_create_module_v2(db.as_ptr(), name, module, ptr::null_mut(), None)
            };
            check(db, code)?;
        }
        let mut statement = ptr::null_mut();
        // SAFETY: the text is as long as it says and is only read during the call.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                db.as_ptr(),
                sql.as_ptr().cast(),
                length(sql.len()),
                ffi::SQLITE_PREPARE_PERSISTENT.cast_unsigned(),
                &raw mut statement,
                ptr::null_mut(),
            )
        };
        check(db, code)?;
        let statement = NonNull::new(statement).expect("the text is not empty");
        let prepared = Self { db, statement, connection: PhantomData };
        for (at, value) in (2..).zip(constants) {
            // SAFETY: the statement is live; `SQLITE_TRANSIENT` has the text copied.
            let code = unsafe {
                ffi::sqlite3_bind_text(
                    prepared.statement.as_ptr(),
                    at,
                    value.as_ptr().cast(),
                    length(value.len()),
                    ffi::SQLITE_TRANSIENT(),
                )
            };
            check(db, code)?;
        }
        Ok(prepared)
    }

    /// Takes in all rows and says how many there were.
    ///
    /// # Errors
    /// If a constraint refuses a row of a statement with `OR ROLLBACK`, and with some other errors,
    /// the transaction is rolled back.
    pub(crate) fn execute(&mut self, rows: &mut dyn NewRows) -> SqlResult<u64> {
        let mut feed = Feed { rows, count: 0 };
        let statement = self.statement.as_ptr();
        // SAFETY: the statement is live. `feed` outlives every use of the pointer: the table reads
        // it only during the step and the reset, and the binding is replaced before this returns.
        // The error is read before the reset, which may change it.
        unsafe {
            let pointer = (&raw mut feed).cast();
            let code =
                ffi::sqlite3_bind_pointer(statement, 1, pointer, POINTER_TYPE.as_ptr(), None);
            check(self.db, code)?;
            let result = match ffi::sqlite3_step(statement) {
                ffi::SQLITE_DONE => Ok(()),
                code => check(self.db, code),
            };
            ffi::sqlite3_reset(statement);
            ffi::sqlite3_bind_null(statement, 1);
            result?;
        }
        Ok(feed.count)
    }
}

impl Drop for Bulk<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement is live and not used after this. The code repeats an earlier error.
        unsafe { ffi::sqlite3_finalize(self.statement.as_ptr()) };
    }
}

/// An error with SQLite's words for it, which are those of the last call on this connection.
fn check(db: NonNull<ffi::sqlite3>, code: c_int) -> SqlResult<()> {
    if code == ffi::SQLITE_OK {
        return Ok(());
    }
    // SAFETY: the connection is open; the text ends with NUL and is copied at once.
    let (code, message) = unsafe {
        let message = CStr::from_ptr(ffi::sqlite3_errmsg(db.as_ptr()));
        let code = match ffi::sqlite3_extended_errcode(db.as_ptr()) {
            ffi::SQLITE_OK => code,
            extended => extended,
        };
        (code, message.to_string_lossy().into_owned())
    };
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message)))
}

fn length(bytes: usize) -> c_int {
    c_int::try_from(bytes).expect("SQLite takes no text of two gigabytes")
}

/// What the bound pointer leads to.
struct Feed<'r> {
    rows: &'r mut dyn NewRows,
    /// Rows handed over.
    count: u64,
}

/// The table of a statement. It holds nothing.
#[repr(C)]
struct Source {
    base: ffi::sqlite3_vtab,
}

#[repr(C)]
struct Cursor {
    base: ffi::sqlite3_vtab_cursor,
    /// Null before the first row, and if somebody else reads the table.
    feed: *mut Feed<'static>,
    at_end: bool,
}

struct Module(ffi::sqlite3_module);

// SAFETY: a module is a list of functions that is never changed.
unsafe impl Sync for Module {}

/// A table that can be read and nothing else, and that needs no `CREATE VIRTUAL TABLE`.
static MODULE: Module = Module(ffi::sqlite3_module {
    iVersion: 1,
    xCreate: None,
    xConnect: Some(connect),
    xBestIndex: Some(best_index),
    xDisconnect: Some(disconnect),
    xDestroy: None,
    xOpen: Some(open),
    xClose: Some(close),
    xFilter: Some(filter),
    xNext: Some(next),
    xEof: Some(eof),
    xColumn: Some(column),
    xRowid: Some(rowid),
    xUpdate: None,
    xBegin: None,
    xSync: None,
    xCommit: None,
    xRollback: None,
    xFindFunction: None,
    xRename: None,
    xSavepoint: None,
    xRelease: None,
    xRollbackTo: None,
    xShadowName: None,
    xIntegrity: None,
    reserved: [None; 5],
    xPreparedSql: None,
});

/// Runs what a foreign call asks for; no panic crosses into C.
fn guarded(work: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(ffi::SQLITE_ERROR)
}

unsafe extern "C" fn connect(
    db: *mut ffi::sqlite3,
    _: *mut c_void,
    _: c_int,
    _: *const *const c_char,
    table: *mut *mut ffi::sqlite3_vtab,
    _: *mut *mut c_char,
) -> c_int {
    guarded(|| {
        let columns: Vec<String> = (0..WIDTH).map(|at| format!("c{at}")).collect();
        let sql = format!("CREATE TABLE x({}, source HIDDEN)\0", columns.join(", "));
        // SAFETY: `db` is the connection that calls, and the text ends with NUL.
        let code = unsafe { ffi::sqlite3_declare_vtab(db, sql.as_ptr().cast()) };
        if code == ffi::SQLITE_OK {
            let base =
                ffi::sqlite3_vtab { pModule: ptr::null(), nRef: 0, zErrMsg: ptr::null_mut() };
            let source = Box::new(Source { base });
            // SAFETY: SQLite waits for the address here, gives it to every further call, and frees
            // it with `disconnect`. `base` is the first field.
            unsafe { *table = Box::into_raw(source).cast() };
        }
        code
    })
}

unsafe extern "C" fn disconnect(table: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: made by `connect`, and not used after this.
    drop(unsafe { Box::from_raw(table.cast::<Source>()) });
    ffi::SQLITE_OK
}

/// The only plan: all rows of the source, which must be given.
unsafe extern "C" fn best_index(
    _: *mut ffi::sqlite3_vtab,
    info: *mut ffi::sqlite3_index_info,
) -> c_int {
    // SAFETY: made by SQLite; the two arrays have `nConstraint` elements.
    unsafe {
        let width = length(WIDTH);
        let info = &mut *info;
        for at in 0..usize::try_from(info.nConstraint).unwrap_or(0) {
            let constraint = &*info.aConstraint.add(at);
            let is_equal = c_int::from(constraint.op) == ffi::SQLITE_INDEX_CONSTRAINT_EQ;
            if constraint.iColumn == width && is_equal && constraint.usable != 0 {
                let usage = &mut *info.aConstraintUsage.add(at);
                usage.argvIndex = 1;
                usage.omit = 1;
                info.estimatedCost = 1.0;
                return ffi::SQLITE_OK;
            }
        }
    }
    ffi::SQLITE_CONSTRAINT
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vtab,
    cursor: *mut *mut ffi::sqlite3_vtab_cursor,
) -> c_int {
    let base = ffi::sqlite3_vtab_cursor { pVtab: ptr::null_mut() };
    let opened = Box::new(Cursor { base, feed: ptr::null_mut(), at_end: true });
    // SAFETY: SQLite waits for the address here and frees it with `close`. `base` is the first
    // field.
    unsafe { *cursor = Box::into_raw(opened).cast() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: made by `open`, and not used after this.
    drop(unsafe { Box::from_raw(cursor.cast::<Cursor>()) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn filter(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    _: c_int,
    _: *const c_char,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) -> c_int {
    // SAFETY: the cursor was made by `open`; `values` has `count` elements. Only
    // `Bulk::execute` binds a pointer of this type, to a feed that outlives the statement's
    // step. The lifetime is none that could be named here; nothing keeps the feed.
    unsafe {
        let cursor = &mut *cursor.cast::<Cursor>();
        cursor.feed = match count {
            0 => ptr::null_mut(),
            _ => ffi::sqlite3_value_pointer(*values, POINTER_TYPE.as_ptr()).cast(),
        };
        cursor.advance()
    }
}

unsafe extern "C" fn next(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: made by `open`, and `filter` was called.
    unsafe { (*cursor.cast::<Cursor>()).advance() }
}

impl Cursor {
    /// # Safety
    /// `feed` is null or leads to a feed that nobody else uses meanwhile.
    unsafe fn advance(&mut self) -> c_int {
        // SAFETY: that is what the caller promises.
        let feed = unsafe { self.feed.as_mut() };
        guarded(|| {
            self.at_end = true;
            if let Some(feed) = feed
                && feed.rows.advance()
            {
                feed.count += 1;
                self.at_end = false;
            }
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn eof(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: made by `open`.
    unsafe { (*cursor.cast::<Cursor>()).at_end.into() }
}

unsafe extern "C" fn column(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    context: *mut ffi::sqlite3_context,
    at: c_int,
) -> c_int {
    // SAFETY: made by `open`; SQLite asks for columns only of a row, so there is a feed, which lives
    // as long as the step that this is part of.
    let feed = unsafe { (*cursor.cast::<Cursor>()).feed.as_ref() };
    guarded(|| {
        // The hidden column holds nothing that SQL could use.
        let (Some(feed), Ok(at)) = (feed, usize::try_from(at)) else { return ffi::SQLITE_OK };
        let value = feed.rows.value(at);
        // SAFETY: the context belongs to this call. The bytes stay where they are until the next row
        // is asked for, because only `advance` takes the rows as mutable.
        unsafe {
            match value {
                ValueRef::Null => {}
                ValueRef::Integer(number) => ffi::sqlite3_result_int64(context, number),
                ValueRef::Real(number) => ffi::sqlite3_result_double(context, number),
                ValueRef::Text(bytes) => ffi::sqlite3_result_text(
                    context,
                    bytes.as_ptr().cast(),
                    length(bytes.len()),
                    ffi::SQLITE_STATIC(),
                ),
                ValueRef::Blob(bytes) => ffi::sqlite3_result_blob(
                    context,
                    bytes.as_ptr().cast(),
                    length(bytes.len()),
                    ffi::SQLITE_STATIC(),
                ),
            }
        }
        ffi::SQLITE_OK
    })
}

unsafe extern "C" fn rowid(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    rowid: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: made by `open`; `rowid` is where SQLite waits for the number.
    unsafe {
        let feed = (*cursor.cast::<Cursor>()).feed.as_ref();
        *rowid = feed.map_or(0, |feed| feed.count.cast_signed());
    }
    ffi::SQLITE_OK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 1 on, each with a text that is made anew for every row.
    struct Numbers {
        current: i64,
        last: i64,
        text: String,
    }

    impl Numbers {
        fn to(last: i64) -> Self {
            Self { current: 0, last, text: String::new() }
        }
    }

    impl NewRows for Numbers {
        fn advance(&mut self) -> bool {
            self.current += 1;
            self.text = format!("row {}", self.current);
            self.current <= self.last
        }

        fn value(&self, at: usize) -> ValueRef<'_> {
            match at {
                0 => ValueRef::Integer(self.current),
                1 => ValueRef::Text(self.text.as_bytes()),
                2 => ValueRef::Null,
                3 => ValueRef::Real(0.5),
                4 => ValueRef::Blob(b"\0\xff"),
                _ => unreachable!("five columns"),
            }
        }
    }

    const COLUMNS: [&str; 5] = ["number", "words", "missing", "half", "bytes"];

    fn table(constraint: &str) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, number, words, missing, half,
               bytes, run {constraint})"
        ))
        .unwrap();
        db
    }

    fn text(db: &Connection, sql: &str) -> String {
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_sort_of_value_arrives_as_it_is() {
        let db = table("");
        let mut insert = Bulk::insert(&db, "main.t", &COLUMNS, &[("run", "r\0é")]).unwrap();
        assert_eq!(insert.execute(&mut Numbers::to(2)).unwrap(), 2);
        assert_eq!(insert.execute(&mut Numbers::to(0)).unwrap(), 0);
        assert_eq!(insert.execute(&mut Numbers::to(1)).unwrap(), 1);
        let rows = "SELECT group_concat(id || '|' || number || '|' || words || '|' ||
          quote(missing) || '|' || half || '|' || hex(bytes) || '|' || hex(run), char(10)) FROM t";
        assert_eq!(
            text(&db, rows),
            "1|1|row 1|NULL|0.5|00FF|7200C3A9\n2|2|row 2|NULL|0.5|00FF|7200C3A9\n\
             3|1|row 1|NULL|0.5|00FF|7200C3A9"
        );
    }

    #[test]
    fn rows_that_exist_are_changed_and_deleted() {
        let db = table("");
        Bulk::insert(&db, "main.t", &COLUMNS, &[]).unwrap().execute(&mut Numbers::to(9)).unwrap();
        let sql = "UPDATE OR ROLLBACK main.t SET words = n.c1 || ?2, run = n.c3
                   FROM curfew_new_rows(?1) AS n WHERE t.id = n.c0 + 1 AND t.number <> 3";
        let mut update = Bulk::prepare(&db, sql, &["!"]).unwrap();
        assert_eq!(update.execute(&mut Numbers::to(3)).unwrap(), 3);
        assert_eq!(db.changes(), 2);
        let sql = "DELETE FROM main.t WHERE id IN (SELECT c0 FROM curfew_new_rows(?1))";
        let mut delete = Bulk::prepare(&db, sql, &[]).unwrap();
        delete.execute(&mut Numbers::to(1)).unwrap();
        assert_eq!(db.changes(), 1);
        update.execute(&mut Numbers::to(0)).unwrap();
        assert_eq!(db.changes(), 0);
        assert_eq!(
            text(&db, "SELECT group_concat(id || words, ' ') FROM t WHERE id < 6"),
            "2row 1! 3row 3 4row 3! 5row 5"
        );
    }

    #[test]
    fn a_conflict_rolls_everything_back_and_says_what_it_was() {
        let db = table(", CHECK (number <> 3)");
        let mut insert = Bulk::insert(&db, "main.t", &COLUMNS, &[]).unwrap();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        insert.execute(&mut Numbers::to(2)).unwrap();
        let error = insert.execute(&mut Numbers::to(5)).unwrap_err();
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ConstraintViolation),
            "{error}"
        );
        assert!(error.to_string().contains("CHECK constraint failed"), "{error}");
        assert!(db.is_autocommit());
        assert_eq!(text(&db, "SELECT CAST(count(*) AS TEXT) FROM t"), "0");
        // The statement can be used again.
        assert_eq!(insert.execute(&mut Numbers::to(2)).unwrap(), 2);
    }

    #[test]
    fn a_panic_in_the_rows_is_an_error_of_the_statement() {
        struct Broken;
        impl NewRows for Broken {
            fn advance(&mut self) -> bool {
                true
            }
            fn value(&self, _: usize) -> ValueRef<'_> {
                panic!("no such value")
            }
        }
        let db = table("");
        let mut insert = Bulk::insert(&db, "main.t", &COLUMNS, &[]).unwrap();
        assert!(insert.execute(&mut Broken).is_err());
        assert_eq!(text(&db, "SELECT CAST(count(*) AS TEXT) FROM t"), "0");
    }

    #[test]
    fn whoever_else_reads_the_table_finds_nothing() {
        let db = table("");
        let _insert = Bulk::insert(&db, "main.t", &COLUMNS, &[]).unwrap();
        let count = |sql| db.query_row(sql, [], |row| row.get::<_, i64>(0));
        assert_eq!(count("SELECT count(*) FROM curfew_new_rows(NULL)").unwrap(), 0);
        assert_eq!(count("SELECT count(*) FROM curfew_new_rows(12345)").unwrap(), 0);
        assert!(count("SELECT count(*) FROM curfew_new_rows").is_err());
    }

    #[test]
    fn a_change_of_the_schema_between_two_executions_does_no_harm() {
        let db = table("");
        let mut insert = Bulk::insert(&db, "main.t", &COLUMNS, &[("run", "r1")]).unwrap();
        insert.execute(&mut Numbers::to(1)).unwrap();
        db.execute_batch("ALTER TABLE t ADD COLUMN more DEFAULT 'm'").unwrap();
        insert.execute(&mut Numbers::to(2)).unwrap();
        let all = "SELECT group_concat(number || run || more, ' ') FROM t";
        assert_eq!(text(&db, all), "1r1m 1r1m 2r1m");
    }
}
