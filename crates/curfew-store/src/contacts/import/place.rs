//! Which contact a line speaks of.
//!
//! Every decision is made so that a second import of the same file, after the first one, makes the
//! same decisions and finds nothing to change. Therefore an address never passes from one contact
//! to another within a file, and what needs the whole file is postponed until it is read.

use curfew_engine::Field;
use rusqlite::{OptionalExtension, Statement, types::ValueRef};

use super::{
    Line, Placement, Refusal, Staging,
    sql::{STAGED_CELLS, STAGED_ORIGIN},
};
use crate::contacts::{ContactsError, Doing};

/// Lines that cannot be placed yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queue {
    /// With ids, that need to know all others first.
    Ids,
    /// Without ids, in a file that has some.
    NoIds,
    /// That may complete a contact of another line.
    Waiting,
}

/// A contact among the collected lines.
struct Staged {
    /// The first line that speaks of it.
    line: u64,
    /// Its address, if a line gave one.
    email: Option<String>,
}

/// A line of a queue.
struct Postponed {
    number: i64,
    id: Option<i64>,
    cells: Vec<Option<String>>,
}

impl Queue {
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Ids => "import_postponed_ids",
            Self::NoIds => "import_postponed",
            Self::Waiting => "import_waiting",
        }
    }
}

impl Staging {
    /// Takes a line, in the order of the file.
    ///
    /// # Errors
    /// Only if the database fails; a line that cannot be taken is a [`Placement::Refused`].
    ///
    /// # Panics
    /// If the number of cells is not that of the columns given to
    /// [`stage`](super::ContactsDatabase::stage).
    pub fn add(&mut self, line: Line<'_>) -> Result<Placement, ContactsError> {
        assert_eq!(line.cells.len(), self.given, "one cell for every column");
        let Some(id) = line.id else {
            if !self.ids_given {
                return self.place_by_email(line, Queue::Waiting);
            }
            if let Some(email) = self.email(line) {
                self.mention(email)?;
            }
            return self.postpone(line, Queue::NoIds);
        };
        self.reserve_id(id);
        self.place_by_id(line, id, false)
    }

    /// Tells that a line which is not taken has this id, so that no new contact gets it: the line
    /// may come again, put right.
    pub fn reserve_id(&mut self, id: i64) {
        self.id_max_mentioned = self.id_max_mentioned.max(id);
    }

    /// Places the lines that were postponed, when all lines are read.
    pub fn settle(
        &mut self,
        mut report: impl FnMut(Line<'_>, Placement),
    ) -> Result<(), ContactsError> {
        let after = self.id_max_mentioned.checked_add(1).ok_or_else(|| self.no_ids_left())?;
        self.next_id = self.next_id.max(after);
        self.drain(Queue::Ids, &mut report)?;
        self.drain(Queue::NoIds, &mut report)?;
        self.drain(Queue::Waiting, &mut report)
    }

    fn drain(
        &mut self,
        queue: Queue,
        report: &mut impl FnMut(Line<'_>, Placement),
    ) -> Result<(), ContactsError> {
        const DOING: &str = "reading back postponed lines";
        let mut last = 0;
        loop {
            // Line by line: what a line does may not happen while its own table is being read.
            let Some(Postponed { number, id, cells }) = self.next_postponed(queue, last, DOING)?
            else {
                return Ok(());
            };
            last = number;
            let cells: Vec<Option<&str>> = cells.iter().map(Option::as_deref).collect();
            let line = Line { number: number.unsigned_abs(), id, cells: &cells };
            let placement = match (queue, id) {
                (_, Some(id)) => self.place_by_id(line, id, true)?,
                (Queue::Waiting, None) => match self.place_by_email(line, queue)? {
                    Placement::Postponed => Placement::Refused(Refusal::Missing(Field::ZipCode)),
                    placement => placement,
                },
                (Queue::Ids | Queue::NoIds, None) => self.place_by_email(line, Queue::Waiting)?,
            };
            if placement != Placement::Postponed {
                report(line, placement);
            }
        }
    }

    /// The first line of a queue after line `last`.
    fn next_postponed(
        &self,
        queue: Queue,
        last: i64,
        doing: &'static str,
    ) -> Result<Option<Postponed>, ContactsError> {
        let sql = format!("SELECT * FROM temp.{} WHERE line > ?1 LIMIT 1", queue.table());
        let mut statement = self.cached(&sql)?;
        statement
            .query_row([last], |row| {
                let cells = (0..self.given).map(|i| row.get(2 + i)).collect::<Result<_, _>>()?;
                Ok(Postponed { number: row.get(0)?, id: row.get("id")?, cells })
            })
            .optional()
            .doing(doing, &self.database.path)
    }

    fn place_by_id(
        &mut self,
        line: Line<'_>,
        id: i64,
        is_last: bool,
    ) -> Result<Placement, ContactsError> {
        let staged = self.staged(id)?;
        let email = self.email(line);
        if !is_last && let Some(email) = email {
            let other = self.other_email(id, email, staged.as_ref())?;
            if let Some(line) = other {
                return Ok(Placement::Refused(Refusal::OtherEmail { line }));
            }
        }
        // The address it has by now; only that of a line says more than the database.
        let current = match &staged {
            Some(Staged { email: Some(email), .. }) => Some(email.clone()),
            _ => self.stored_email(id)?,
        };
        let is_new = staged.is_none() && current.is_none();
        if is_new && let Some(field) = self.missing(line) {
            if is_last {
                return Ok(Placement::Refused(Refusal::Missing(field)));
            }
            self.note_given(line, id)?;
            return self.postpone(line, Queue::Ids);
        }
        if let Some(email) = email {
            let is_own = current.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(email));
            if !is_own {
                if let [Some(owner), _] = self.owners(email)? {
                    self.note_given(line, id)?;
                    self.mention(email)?;
                    return Ok(Placement::Refused(Refusal::EmailOfAnother { id: owner }));
                }
                if let Some(old) = current {
                    if !is_last {
                        self.note_given(line, id)?;
                        return self.postpone(line, Queue::Ids);
                    }
                    if self.is_mentioned(&old)? {
                        return Ok(Placement::Refused(Refusal::OldEmailInUse { email: old }));
                    }
                    self.run(
                        "DELETE FROM temp.import_emails WHERE email = ?1 AND id = ?2",
                        (&old, id),
                    )?;
                }
                self.run("INSERT INTO temp.import_emails VALUES (?1, ?2)", (email, id))?;
            }
            if staged.is_some() {
                self.note_given(line, id)?;
            }
        }
        self.merge(line, id, is_new, staged.map(|staged| staged.line))
    }

    /// Places a line without an id; where it lacks what a new contact needs, another line may
    /// still bring it.
    fn place_by_email(
        &mut self,
        line: Line<'_>,
        incomplete: Queue,
    ) -> Result<Placement, ContactsError> {
        let Some(email) = self.email(line) else {
            return Ok(Placement::Refused(Refusal::Missing(Field::Email)));
        };
        match self.owners(email)? {
            [Some(first), Some(second)] => {
                Ok(Placement::Refused(Refusal::EmailOfSeveral { ids: [first, second] }))
            }
            [Some(id), None] => {
                let staged = self.staged(id)?;
                self.merge(line, id, false, staged.map(|staged| staged.line))
            }
            [None, _] if self.missing(line).is_some() => self.postpone(line, incomplete),
            [None, _] => {
                let id = self.next_id;
                self.next_id = id.checked_add(1).ok_or_else(|| self.no_ids_left())?;
                self.run("INSERT INTO temp.import_emails VALUES (?1, ?2)", (email, id))?;
                self.merge(line, id, true, None)
            }
        }
    }

    /// Adds a line to what the file says of a contact, from `first_line` on.
    fn merge(
        &mut self,
        line: Line<'_>,
        id: i64,
        is_new: bool,
        first_line: Option<u64>,
    ) -> Result<Placement, ContactsError> {
        const DOING: &str = "collecting the lines";
        let path = &self.database.path;
        let Some(first_line) = first_line else {
            let mut statement = self.cached(&self.sql.stage)?;
            let numbers = [id, i64::from(is_new), line_number(line)];
            bind_line(&mut statement, &numbers, line)
                .and_then(|()| statement.raw_execute())
                .doing(DOING, path)?;
            return Ok(Placement::Staged);
        };

        // Which line each value comes from; 0 where there is none.
        let mut origin: Vec<i64> = self
            .cached("SELECT * FROM temp.import_contacts WHERE id = ?1")?
            .query_row([id], |row| {
                let stored = match row.get_ref(STAGED_ORIGIN)? {
                    ValueRef::Blob(bytes) => Some(bytes),
                    _ => None,
                };
                (0..self.given)
                    .map(|i| {
                        let known = stored.and_then(|bytes| bytes.as_chunks::<8>().0.get(i));
                        Ok(match (known, row.get_ref(STAGED_CELLS + i)?) {
                            (Some(bytes), _) => i64::from_le_bytes(*bytes),
                            (None, ValueRef::Null) => 0,
                            (None, _) => first_line.cast_signed(),
                        })
                    })
                    .collect()
            })
            .doing(DOING, path)?;
        let number = line_number(line);
        let mut winning = line.cells.to_vec();
        for (cell, origin) in winning.iter_mut().zip(&mut origin) {
            if *origin > number {
                *cell = None;
            } else if cell.is_some() {
                *origin = number;
            }
        }
        let origin: Vec<u8> = origin.iter().flat_map(|line| line.to_le_bytes()).collect();
        let mut statement = self.cached(&self.sql.merge)?;
        bind_line(&mut statement, &[id, number], Line { cells: &winning, ..line })
            .and_then(|()| statement.raw_bind_parameter(3 + self.columns.len(), origin))
            .and_then(|()| statement.raw_execute())
            .doing(DOING, path)?;
        Ok(Placement::Repeats { line: first_line })
    }

    fn postpone(&self, line: Line<'_>, queue: Queue) -> Result<Placement, ContactsError> {
        let sql = match queue {
            Queue::Ids => &self.sql.postpone_id,
            Queue::NoIds => &self.sql.postpone,
            Queue::Waiting => &self.sql.wait,
        };
        let mut statement = self.cached(sql)?;
        // `OR IGNORE`: a waiting line that is asked again stays where it is.
        bind_line(&mut statement, &[line_number(line)], line)
            .and_then(|()| statement.raw_bind_parameter(2 + self.columns.len(), line.id))
            .and_then(|()| statement.raw_execute())
            .doing("putting a line aside", &self.database.path)?;
        Ok(Placement::Postponed)
    }

    /// What the lines so far say of a contact.
    fn staged(&self, id: i64) -> Result<Option<Staged>, ContactsError> {
        self.cached(&self.sql.staged)?
            .query_row([id], |row| {
                Ok(Staged { line: row.get::<_, i64>(0)?.unsigned_abs(), email: row.get(1)? })
            })
            .optional()
            .doing("looking for a contact among the lines", &self.database.path)
    }

    /// The address of the contact with this id, empty if it has none; `None` if there is no such
    /// contact.
    fn stored_email(&self, id: i64) -> Result<Option<String>, ContactsError> {
        if self.database.table_is_new {
            return Ok(None);
        }
        self.cached(
            "SELECT coalesce(trim(CAST(email AS TEXT)), '') FROM main.contacts WHERE id = ?1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()
        .doing("looking for a contact by its id", &self.database.path)
    }

    /// Two of the contacts that have an address.
    fn owners(&mut self, email: &str) -> Result<[Option<i64>; 2], ContactsError> {
        const DOING: &str = "looking for a contact by its e-mail address";
        self.load_emails()?;
        let path = &self.database.path;
        let mut statement =
            self.cached("SELECT id FROM temp.import_emails WHERE email = ?1 ORDER BY id LIMIT 2")?;
        let mut rows = statement.query([email]).doing(DOING, path)?;
        let mut owners = [None; 2];
        for owner in &mut owners {
            match rows.next().doing(DOING, path)? {
                Some(row) => *owner = Some(row.get(0).doing(DOING, path)?),
                None => break,
            }
        }
        Ok(owners)
    }

    /// The line that gave the contact `id` another address before. Lines that were refused count
    /// too, so that the answer does not depend on what the database held before.
    fn other_email(
        &self,
        id: i64,
        email: &str,
        staged: Option<&Staged>,
    ) -> Result<Option<u64>, ContactsError> {
        let given: Option<(String, i64)> = self
            .cached("SELECT email, line FROM temp.import_given WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .doing("comparing the lines of a contact", &self.database.path)?;
        let before = match (&given, staged) {
            (Some((email, line)), _) => Some((email.as_str(), line.unsigned_abs())),
            (None, Some(Staged { line, email: Some(email) })) => Some((email.as_str(), *line)),
            (None, _) => None,
        };
        Ok(before.filter(|(other, _)| !other.eq_ignore_ascii_case(email)).map(|(_, line)| line))
    }

    /// Keeps the address of a line where the collected lines do not tell which line it is from.
    fn note_given(&self, line: Line<'_>, id: i64) -> Result<(), ContactsError> {
        let Some(email) = self.email(line) else { return Ok(()) };
        self.run(
            "INSERT OR IGNORE INTO temp.import_given VALUES (?1, ?2, ?3)",
            (id, email, line_number(line)),
        )
    }

    /// Notes that a line has this address without being the line of a contact that has it.
    fn mention(&self, email: &str) -> Result<(), ContactsError> {
        self.run("INSERT OR IGNORE INTO temp.import_mentions VALUES (?1)", [email])
    }

    fn is_mentioned(&self, email: &str) -> Result<bool, ContactsError> {
        self.cached("SELECT 1 FROM temp.import_mentions WHERE email = ?1")?
            .exists([email])
            .doing("looking for lines with an e-mail address", &self.database.path)
    }

    fn email<'a>(&self, line: Line<'a>) -> Option<&'a str> {
        line.cells[self.places.email?]
    }

    /// What a new contact would lack.
    fn missing(&self, line: Line<'_>) -> Option<Field> {
        let has = |place: Option<usize>| place.is_some_and(|place| line.cells[place].is_some());
        if !has(self.places.email) {
            Some(Field::Email)
        } else if !has(self.places.zip_code) {
            Some(Field::ZipCode)
        } else {
            None
        }
    }
}

fn line_number(line: Line<'_>) -> i64 {
    line.number.cast_signed()
}

/// Binds numbers, then the cells; the state that no cell is given for stays empty.
fn bind_line(
    statement: &mut Statement<'_>,
    numbers: &[i64],
    line: Line<'_>,
) -> rusqlite::Result<()> {
    for (i, number) in numbers.iter().enumerate() {
        statement.raw_bind_parameter(1 + i, number)?;
    }
    for (i, cell) in line.cells.iter().enumerate() {
        statement.raw_bind_parameter(1 + numbers.len() + i, cell)?;
    }
    Ok(())
}
