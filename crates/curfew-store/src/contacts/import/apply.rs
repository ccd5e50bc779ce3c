//! Writing what differs.

use curfew_engine::{Issue, Problem, RawContact, Standing, State, Today, Value};
use rusqlite::{Statement, types::ValueRef};

use super::{Access, Applied, Change, Refusal, Staging, sql::STAGED_CELLS};
use crate::contacts::{ContactsError, Doing, message};

impl Staging {
    /// Writes what differs, in the order of the ids, and reports every contact. With `write`
    /// false, and on a dry run, only finds out.
    ///
    /// # Errors
    /// If the database fails. A contact that the table's own conditions refuse is reported.
    pub fn apply(
        &mut self,
        today: Today,
        write: bool,
        mut report: impl FnMut(Applied),
    ) -> Result<(), ContactsError> {
        const DOING: &str = "writing the contacts";
        let path = &self.database.path;
        let write = write && self.database.access == Access::Write;
        let connection = &self.database.connection;
        let prepare = |sql: &str| connection.prepare(sql).doing(DOING, path);
        let mut staged = prepare("SELECT * FROM temp.import_contacts ORDER BY id")?;
        // On a dry run there may be no table: nothing to compare with then.
        let readable = self.database.access == Access::Write || !self.database.table_is_new;
        let mut existing = readable.then(|| prepare(&self.sql.existing)).transpose()?;
        let mut differs = readable.then(|| prepare(&self.sql.differs)).transpose()?;
        let mut insert = write.then(|| prepare(&self.sql.insert)).transpose()?;
        let mut update = write.then(|| prepare(&self.sql.update)).transpose()?;

        let mut rows = staged.query([]).doing(DOING, path)?;
        while let Some(row) = rows.next().doing(DOING, path)? {
            let get = |column: usize| row.get_ref(column).doing(DOING, path);
            let number = |column: usize| row.get::<_, i64>(column).doing(DOING, path);
            let id = number(0)?;
            let is_new = number(1)? != 0;
            let mut cells = Vec::with_capacity(self.columns.len());
            for column in 0..self.columns.len() {
                cells.push(text_of(get(STAGED_CELLS + column)?));
            }

            let judged = match existing.as_mut().filter(|_| !is_new) {
                None => self.judge(&cells, None, today),
                Some(existing) => {
                    let mut found = existing.query([id]).doing(DOING, path)?;
                    let row = found.next().doing(DOING, path)?;
                    let stored = |column| {
                        row.map_or(Ok(Value::Null), |row| row.get_ref(column).map(value_of))
                            .doing(DOING, path)
                    };
                    self.judge(&cells, Some((stored(0)?, stored(1)?)), today)
                }
            };
            if let (Some(state), Some(place)) = (judged.derived, self.places.state) {
                cells[place] = Some(state.code());
            }

            let target = if is_new { insert.as_mut() } else { update.as_mut() };
            let change = match target {
                Some(statement) => {
                    let answer = bind(statement, id, &cells, Some(&self.now))
                        .and_then(|()| statement.raw_execute());
                    match answer {
                        Ok(0) => Ok(Change::Unchanged),
                        Ok(_) if is_new => Ok(Change::Inserted),
                        Ok(_) => Ok(Change::Updated),
                        Err(error) => {
                            let message = self.refusal(error, DOING)?;
                            Err(Refusal::Database { message })
                        }
                    }
                }
                None if is_new => Ok(Change::Inserted),
                None => {
                    let statement = differs.as_mut().expect("only new contacts without a table");
                    bind(statement, id, &cells, None).doing(DOING, path)?;
                    let differs = statement.raw_query().next().doing(DOING, path)?.is_some();
                    Ok(if differs { Change::Updated } else { Change::Unchanged })
                }
            };
            report(Applied {
                line: number(2)?.unsigned_abs(),
                lines: number(3)?.unsigned_abs(),
                change,
                state_derived: judged.derived.is_some(),
                mismatch: judged.mismatch,
            });
        }
        Ok(())
    }

    /// The constraint that refused a row; anything else is an error.
    fn refusal(
        &self,
        error: rusqlite::Error,
        doing: &'static str,
    ) -> Result<String, ContactsError> {
        let path = &self.database.path;
        if error.sqlite_error_code() != Some(rusqlite::ErrorCode::ConstraintViolation) {
            return Err(ContactsError::of(path, doing, error));
        }
        let reason = message(&error);
        if self.database.connection.is_autocommit() {
            return Err(ContactsError::Aborted { path: path.clone(), reason });
        }
        Ok(reason)
    }

    /// Which state a contact gets from its ZIP code, and whether the two agree. `stored` is what
    /// an existing contact has: ZIP code and state.
    fn judge(
        &self,
        cells: &[Option<&str>],
        stored: Option<(Value<'_>, Value<'_>)>,
        today: Today,
    ) -> Judged {
        let given = |place: Option<usize>| place.and_then(|place| cells[place]);
        let (zip_given, state_given) = (given(self.places.zip_code), given(self.places.state));
        let (stored_zip, stored_state) = stored.unwrap_or((Value::Null, Value::Null));
        let zip = zip_given.map_or(stored_zip, Value::of);
        let (of_zip, _) = check(zip, Value::Null, today);

        let mut derived = None;
        if let (Some(state), None, Some(_)) = (of_zip, state_given, self.places.state) {
            // A state that agreed with the old ZIP code follows the new one. One that did not was
            // somebody's decision, and stays.
            let follows = || {
                zip_given.is_some()
                    && is_state(stored_state, check(stored_zip, Value::Null, today).0)
                    && !is_state(stored_state, Some(state))
            };
            if stored_state.is_blank() || follows() {
                derived = Some(state);
            }
        }
        let mismatch = if derived.is_some() || (zip_given.is_none() && state_given.is_none()) {
            None
        } else {
            check(zip, state_given.map_or(stored_state, Value::of), today).1
        };
        Judged { derived, mismatch }
    }
}

/// What [`Staging::judge`] finds.
struct Judged {
    derived: Option<State>,
    mismatch: Option<Issue>,
}

/// The state of a ZIP code, and how a stored state differs from it, by the engine's own check.
fn check(zip: Value<'_>, state: Value<'_>, today: Today) -> (Option<State>, Option<Issue>) {
    let contact = RawContact {
        id: 0,
        email: Value::of("someone@example.com"),
        zip_code: zip,
        birth_date: Value::Null,
        effective_date: Value::Null,
        state,
        phone_number: Value::Null,
        status: Value::Null,
    };
    let mut mismatch = None;
    let standing = contact.check(today, |issue| {
        if matches!(issue.problem, Problem::StateMismatch { .. }) {
            mismatch = Some(issue);
        }
    });
    match standing {
        Standing::Valid(contact) => (Some(contact.state), mismatch),
        Standing::Inactive | Standing::Invalid => (None, None),
    }
}

fn is_state(stored: Value<'_>, state: Option<State>) -> bool {
    matches!((stored, state), (Value::Text(text), Some(state))
        if text.trim_ascii().eq_ignore_ascii_case(state.code().as_bytes()))
}

fn text_of(value: ValueRef<'_>) -> Option<&str> {
    value.as_str().ok()
}

fn value_of(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(bytes) => Value::Text(bytes),
        ValueRef::Real(_) | ValueRef::Blob(_) => Value::Other,
    }
}

/// Binds the id as ?1, the time as ?2 where the statement has one, and the cells after them.
fn bind(
    statement: &mut Statement<'_>,
    id: i64,
    cells: &[Option<&str>],
    now: Option<&str>,
) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(1, id)?;
    if statement.parameter_count() > 1 {
        statement.raw_bind_parameter(2, now)?;
    }
    for (i, cell) in cells.iter().enumerate() {
        statement.raw_bind_parameter(3 + i, cell)?;
    }
    Ok(())
}
