//! Reading everything that a plan looks at, one contact after the other.
//!
//! Five tables are read at once, each in the order of contact ids, and merged. Nothing is sorted
//! where an index gives the order, and no row is copied where its values can be borrowed.

use std::ops::{Bound, ControlFlow, RangeBounds};

use curfew_engine::{
    Answer, Behaviour, Catalog, ContactInput, Day, ExistingRow, Field, Issue, Moment, PlanConfig,
    Problem, RawContact, RowReader, Target, TargetStatus, Value,
};
use libsql_pages::{LogMark, Pages, Shapes};
use rusqlite::{Connection, Statement, types::ValueRef};

use crate::{
    Checksums, Database, StoreError, json,
    schedules::{self, KnownRows},
    schema::{Affinity, Table, index_in_order_of, quote},
    stream::{Cells, Layout, Reading, Row, Stream},
};

type SqlResult<T> = rusqlite::Result<T>;

/// What a scan comes to.
#[derive(Clone, Copy, Debug)]
pub enum Visited<'a> {
    /// A contact with its rows; or rows, of plan or campaigns, whose contact does not exist.
    Contact(&'a ContactInput<'a>),
    /// A row of `contacts` that cannot be told from others: its id is missing, is no whole number,
    /// or has occurred before. Of contacts with one id, the one that was stored first is visited.
    Unreadable {
        /// Its id, if that is a whole number.
        id: Option<i64>,
        /// What is wrong with it.
        issue: Issue,
    },
}

/// Reads contacts with their rows, targets and behaviour, see [`Database::scanner`].
#[derive(Debug)]
pub struct Scanner<'d> {
    db: &'d Database,
    catalog: &'d Catalog,
    reader: RowReader<'d>,
    queries: Queries,
    memory: Memory,
    sums: Checksums,
}

/// What is read of one contact; kept between contacts so that no memory is asked for.
#[derive(Debug, Default)]
struct Memory {
    rows: Vec<ExistingRow>,
    targets: Vec<Target>,
    behaviour: Behaviour,
    answers: Vec<(i64, Answer)>,
}

/// Contacts that are chosen one by one are read in one go where no more than this many ids lie
/// between two of them: stepping over a contact costs less than looking one up.
const GAP_MAX: i64 = 8;

impl Database {
    /// A reader of contacts and their rows, for plans of this catalog and configuration. Tables and
    /// columns that a database never migrated does not have count as empty.
    pub fn scanner<'d>(
        &'d self,
        config: &'d PlanConfig,
        catalog: &'d Catalog,
    ) -> Result<Scanner<'d>, StoreError> {
        // One lock for all that is looked at.
        let snapshot =
            if self.connection().is_autocommit() { Some(self.snapshot()?) } else { None };
        let queries =
            Queries::of(self.connection()).map_err(|error| self.fail("read the schema", error))?;
        drop(snapshot);
        let reader = RowReader::new(config, catalog);
        Ok(Scanner {
            db: self,
            catalog,
            reader,
            queries,
            memory: Memory::default(),
            sums: Checksums::empty(),
        })
    }
}

impl Scanner<'_> {
    /// The checksums of what the ranges held that were read to their ends: together, if the ranges
    /// are all, those of the tables. `None` where they have to be computed by
    /// [`Database::checksum`].
    pub fn checksums(&self) -> Checksums {
        self.sums
    }

    /// Visits every contact with an id in this range, in the order of ids, until `visit` breaks.
    /// Contacts without a usable id are visited by the range that is not bounded below.
    ///
    /// All is read from one state of the database.
    pub fn range<B>(
        &mut self,
        ids: impl RangeBounds<i64>,
        mut visit: impl FnMut(Visited<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, StoreError> {
        let first = match ids.start_bound() {
            Bound::Unbounded => Some(i64::MIN),
            Bound::Included(id) => Some(*id),
            Bound::Excluded(id) => id.checked_add(1),
        };
        let last = match ids.end_bound() {
            Bound::Unbounded => Some(i64::MAX),
            Bound::Included(id) => Some(*id),
            Bound::Excluded(id) => id.checked_sub(1),
        };
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(ControlFlow::Continue(()));
        };
        let unusable_ids = self.queries.unusable_ids.clone().filter(|_| first == i64::MIN);
        self.read(|scanner, sources| {
            if let Some(sql) = unusable_ids {
                let flow = scanner.unusable_ids(&sql, &mut visit)?;
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            scanner.merge(sources, first, last, None, &mut visit)
        })
    }

    /// Visits the contacts with these ids, which must ascend; an id of which there is neither a
    /// contact nor a row is passed over. Contacts without a usable id are not visited.
    ///
    /// # Panics
    /// If the ids do not ascend.
    pub fn chosen<B>(
        &mut self,
        ids: &[i64],
        mut visit: impl FnMut(Visited<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, StoreError> {
        assert!(ids.is_sorted_by(|a, b| a < b), "the chosen ids ascend");
        self.read(|scanner, sources| {
            for run in ids.chunk_by(|a, b| b.checked_sub(*a).is_some_and(|gap| gap <= GAP_MAX)) {
                let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
                let flow = scanner.merge(sources, *first, *last, Some(run), &mut visit)?;
                if flow.is_break() {
                    return Ok(flow);
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Holds the database to one state and tells how its tables are read.
    fn read<B>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Sources<'_>) -> SqlResult<ControlFlow<B>>,
    ) -> Result<ControlFlow<B>, StoreError> {
        let db = self.db;
        let fail = |error| db.fail("read the contacts", error);
        let mut snapshot = None;
        let mut pages = None;
        if db.connection().is_autocommit() {
            let mark = LogMark::of(db.connection());
            snapshot = Some(db.snapshot()?);
            if schema_version(db.connection()).map_err(fail)? == self.queries.schema_version {
                pages = crate::pages::open(db.connection(), mark);
            }
        }
        let queries = std::mem::take(&mut self.queries);
        let result = queries
            .sources(db.connection(), pages.as_ref())
            .and_then(|mut sources| work(self, &mut sources));
        self.queries = queries;
        drop(snapshot);
        result.map_err(fail)
    }

    /// Reports the rows of `contacts` whose ids are missing or are no whole numbers.
    fn unusable_ids<B>(
        &self,
        sql: &str,
        visit: &mut impl FnMut(Visited<'_>) -> ControlFlow<B>,
    ) -> SqlResult<ControlFlow<B>> {
        let mut statement = self.db.connection().prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let is_missing = row.get_ref(0)? == ValueRef::Null;
            let problem = if is_missing { Problem::Missing } else { Problem::Malformed };
            let issue = Issue { field: Field::Id, problem };
            if let ControlFlow::Break(stop) = visit(Visited::Unreadable { id: None, issue }) {
                return Ok(ControlFlow::Break(stop));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Merges the five tables over a range of ids. If `chosen` is given, only those are visited.
    fn merge<B>(
        &mut self,
        sources: &mut Sources<'_>,
        first: i64,
        last: i64,
        chosen: Option<&[i64]>,
        visit: &mut impl FnMut(Visited<'_>) -> ControlFlow<B>,
    ) -> SqlResult<ControlFlow<B>> {
        let range = [first, last];
        let mut contacts = Stream::open(&mut sources.contacts, range)?;
        let mut schedules = Stream::open(&mut sources.schedules, range)?;
        let mut targets = Stream::open(&mut sources.targets, range)?;
        let mut clicks = Stream::open(&mut sources.clicks, range)?;
        let mut events = Stream::open(&mut sources.events, range)?;
        let mut chosen = chosen.map(|ids| ids.iter().copied().peekable());
        let memory = &mut self.memory;

        // Behaviour alone makes nobody a contact.
        while let Some(id) = [contacts.key, schedules.key, targets.key].into_iter().flatten().min()
        {
            if let Some(chosen) = &mut chosen {
                while chosen.next_if(|wanted| *wanted < id).is_some() {}
                if chosen.peek() != Some(&id) {
                    for stream in [&mut contacts, &mut schedules, &mut targets] {
                        stream.skip(id)?;
                    }
                    continue;
                }
            }
            memory.rows.clear();
            while let Some(row) = schedules.at(id) {
                match row {
                    Row::Statement(row) => memory.rows.push(schedules::read(row, &self.reader)?),
                    Row::Pages(row) => {
                        sources.known.read_into(&mut memory.rows, row, &self.reader)?;
                    }
                }
                schedules.advance()?;
            }
            // The index gives the order of contacts, and mostly that of ids as well.
            if !memory.rows.is_sorted_by_key(|row| row.id) {
                memory.rows.sort_unstable_by_key(|row| row.id);
            }
            memory.targets.clear();
            while let Some(row) = targets.at(id) {
                memory.targets.extend(read_target(row, self.catalog)?);
                targets.advance()?;
            }
            if !memory.targets.is_sorted_by_key(|target| target.id) {
                memory.targets.sort_unstable_by_key(|target| target.id);
            }
            for stream in [&mut clicks, &mut events] {
                while stream.key.is_some_and(|key| key < id) {
                    stream.advance()?;
                }
            }
            memory.read_behaviour(id, &mut clicks, &mut events)?;

            let contact = match contacts.at(id) {
                None => None,
                Some(Row::Statement(row)) => Some(read_contact(id, row)?),
                Some(Row::Pages(row)) => Some(read_contact(id, row)?),
            };
            if contact.is_none() && memory.rows.is_empty() && memory.targets.is_empty() {
                continue;
            }
            let input = ContactInput {
                id,
                contact,
                rows: &memory.rows,
                targets: &memory.targets,
                behaviour: &memory.behaviour,
            };
            let flow = visit(Visited::Contact(&input));
            if flow.is_break() {
                return Ok(flow);
            }
            if contacts.key == Some(id) {
                contacts.advance()?;
            }
            while contacts.key == Some(id) {
                let issue = Issue { field: Field::Id, problem: Problem::Duplicate };
                let flow = visit(Visited::Unreadable { id: Some(id), issue });
                if flow.is_break() {
                    return Ok(flow);
                }
                contacts.advance()?;
            }
        }
        self.sums += Checksums { contacts: contacts.sum(), schedules: schedules.sum() };
        Ok(ControlFlow::Continue(()))
    }
}

impl Memory {
    fn read_behaviour(
        &mut self,
        id: i64,
        clicks: &mut Stream<'_>,
        events: &mut Stream<'_>,
    ) -> SqlResult<()> {
        self.behaviour.clear();
        if clicks.key != Some(id) && events.key != Some(id) {
            return Ok(());
        }
        while let Some(row) = clicks.at(id) {
            self.behaviour.clicks.extend(row.text(1)?.and_then(Moment::parse));
            clicks.advance()?;
        }
        self.behaviour.clicks.sort_unstable();
        self.answers.clear();
        while let Some(row) = events.at(id) {
            let order = row.integer(1)?.unwrap_or_default();
            let answer = row.text(2)?.and_then(Moment::parse).map(|at| {
                let (has_medical_conditions, any_yes) = read_answers(row.text(3).ok().flatten());
                (order, Answer { at, has_medical_conditions, any_yes })
            });
            self.answers.extend(answer);
            events.advance()?;
        }
        self.answers.sort_by_key(|(order, answer)| (answer.at, *order));
        self.behaviour.answers.extend(self.answers.iter().map(|(_, answer)| *answer));
        Ok(())
    }
}

/// How the tables of one database are read.
#[derive(Debug, Default)]
struct Queries {
    /// The version of the schema that they were made for.
    schema_version: i64,
    contacts: Option<Query>,
    schedules: Option<Query>,
    targets: Option<Query>,
    clicks: Option<Query>,
    events: Option<Query>,
    /// Where ids may be other than whole numbers: the rows of contacts whose ids are.
    unusable_ids: Option<String>,
}

#[derive(Debug)]
struct Sources<'d> {
    contacts: Reading<'d>,
    schedules: Reading<'d>,
    targets: Reading<'d>,
    clicks: Reading<'d>,
    events: Reading<'d>,
    /// Of `schedules`.
    known: KnownRows,
}

fn schema_version(db: &Connection) -> SqlResult<i64> {
    db.prepare_cached("PRAGMA main.schema_version")?.query_row([], |row| row.get(0))
}

/// A statement in two forms.
#[derive(Debug)]
struct Query {
    /// Told which index to use, where there is one: SQLite's estimates may prefer to sort.
    sql: String,
    /// Left to choose, for an index that turns out not to serve.
    fallback: String,
    /// Where the values are on the pages, if they can be read from there.
    layout: Option<Layout>,
}

impl Query {
    fn prepare<'d>(&self, db: &'d Connection) -> SqlResult<Statement<'d>> {
        db.prepare(&self.sql).or_else(|_| db.prepare(&self.fallback))
    }
}

impl Queries {
    fn of(db: &Connection) -> SqlResult<Self> {
        // Read first: if the schema changes meanwhile, this is not the version that is found later.
        let schema_version = schema_version(db)?;
        let (contacts, unusable_ids) = contact_queries(db)?;
        Ok(Self {
            schema_version,
            contacts,
            unusable_ids,
            schedules: query(db, "email_schedules", &schedules::COLUMNS, "")?,
            targets: query(db, "contact_campaigns", &TARGET_COLUMNS, "")?,
            clicks: query(db, "tracking_clicks", &["clicked_at"], "")?,
            events: query(
                db,
                "contact_events",
                &["rowid", "created_at", "metadata"],
                "event_type = 'eligibility_answered'",
            )?,
        })
    }

    fn sources<'d>(
        &'d self,
        db: &'d Connection,
        pages: Option<&'d Pages<'d>>,
    ) -> SqlResult<Sources<'d>> {
        let reading = |query: &'d Option<Query>| {
            let Some(query) = query else { return Ok(Reading::Nothing) };
            match (pages, &query.layout) {
                (Some(pages), Some(layout)) => Ok(Reading::Pages(pages, layout, Shapes::default())),
                _ => query.prepare(db).map(Reading::Statement),
            }
        };
        Ok(Sources {
            contacts: reading(&self.contacts)?,
            schedules: reading(&self.schedules)?,
            targets: reading(&self.targets)?,
            clicks: reading(&self.clicks)?,
            events: reading(&self.events)?,
            known: KnownRows::default(),
        })
    }
}

const CONTACT_COLUMNS: [&str; 7] =
    ["email", "zip_code", "birth_date", "effective_date", "state", "phone_number", "status"];

const TARGET_COLUMNS: [&str; 4] = ["id", "campaign_instance_id", "trigger_date", "status"];

fn contact_queries(db: &Connection) -> SqlResult<(Option<Query>, Option<String>)> {
    let Some(table) = Table::read(db, "contacts")? else { return Ok((None, None)) };
    let names = CONTACT_COLUMNS.map(|name| match name {
        "birth_date" if table.column(name).is_none() => "birthday",
        name => name,
    });
    let layout = Layout::by_rowid(db, &table, "id", &names)?;
    let columns = names.map(|name| table.expression(name));
    let (columns, id, name) = (columns.join(", "), table.expression("id"), quote(&table.name));
    let is_key = table.rowid_column().is_some_and(|key| key.name.eq_ignore_ascii_case("id"));
    // Of equal ids the one stored first comes first.
    let then = table.rowid_name().filter(|_| !is_key).map(|rowid| format!(", {rowid}"));
    let sql = format!(
        "SELECT {id}, {columns} FROM main.{name} WHERE {id} >= ?1 AND {id} <= ?2 ORDER BY {id}{}",
        then.unwrap_or_default()
    );
    let unusable = (!is_key).then(|| {
        format!("SELECT {id} FROM main.{name} WHERE typeof({id}) <> 'integer' ORDER BY {id}")
    });
    Ok((Some(Query { fallback: sql.clone(), sql, layout }), unusable))
}

/// The statement for a table in which contacts are named by `contact_id`; `None` if there is none.
fn query(
    db: &Connection,
    table_name: &str,
    columns: &[&str],
    condition: &str,
) -> SqlResult<Option<Query>> {
    let Some(table) = Table::read(db, table_name)? else { return Ok(None) };
    let Some(contact) = table.column("contact_id") else { return Ok(None) };
    if !condition.is_empty() && table.column("event_type").is_none() {
        return Ok(None);
    }
    let names = columns;
    let columns: Vec<String> = columns
        .iter()
        .map(|name| match *name {
            "rowid" => table.rowid_name().unwrap_or("NULL").to_owned(),
            name => table.expression(name),
        })
        .collect();
    // Texts compare as texts, so they would come in another order than ids.
    let key = match contact.affinity() {
        Affinity::Text => format!("CAST({} AS INTEGER)", quote(&contact.name)),
        _ => quote(&contact.name),
    };
    let index = match contact.affinity() {
        Affinity::Text => None,
        _ => index_in_order_of(db, &table.name, &contact.name)?,
    };
    let text = |indexed: String| {
        let and = if condition.is_empty() { "" } else { " AND " };
        format!(
            "SELECT {key}, {} FROM main.{}{indexed} WHERE {key} >= ?1 AND {key} <= ?2{and}{condition} \
             ORDER BY {key}",
            columns.join(", "),
            quote(&table.name),
        )
    };
    let layout = match &index {
        Some(index) if condition.is_empty() => Layout::by_index(db, &table, index, names)?,
        _ => None,
    };
    let indexed = index.map_or_else(String::new, |name| format!(" INDEXED BY {}", quote(&name)));
    Ok(Some(Query { sql: text(indexed), fallback: text(String::new()), layout }))
}

fn read_contact<'r>(id: i64, row: impl Cells<'r>) -> SqlResult<RawContact<'r>> {
    let value = |at: usize| {
        // Nearly all are texts.
        if let Some(text) = row.bytes(at)? {
            return Ok(Value::Text(text));
        }
        Ok::<_, rusqlite::Error>(match row.value(at)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Text(bytes) => Value::Text(bytes),
            ValueRef::Real(_) | ValueRef::Blob(_) => Value::Other,
        })
    };
    Ok(RawContact {
        id,
        email: value(1)?,
        zip_code: value(2)?,
        birth_date: value(3)?,
        effective_date: value(4)?,
        state: value(5)?,
        phone_number: value(6)?,
        status: value(7)?,
    })
}

/// `None` for a row without a usable id.
fn read_target(row: Row<'_>, catalog: &Catalog) -> SqlResult<Option<Target>> {
    let campaign = row.integer(2)?.and_then(|instance| catalog.campaign_index(instance));
    let Some(id) = row.integer(1)? else { return Ok(None) };
    let trigger = match row.value(3)? {
        ValueRef::Null | ValueRef::Text(b"") => Ok(None),
        _ => Day::parse(row.text(3)?.unwrap_or("?")).map(Some),
    };
    Ok(Some(Target { id, campaign, trigger, status: TargetStatus::of(row.text(4)?) }))
}

/// Whether there are medical conditions, and whether any main question was answered with yes.
fn read_answers(metadata: Option<&str>) -> (bool, bool) {
    let keys = ["has_medical_conditions", "main_questions_yes_count"];
    let Some([conditions, count]) = metadata.and_then(|text| json::pick(text, keys)) else {
        return (false, false);
    };
    let any_yes = count.and_then(|count| count.as_f64()).is_some_and(|count| count > 0.0);
    (conditions == Some(true.into()), any_yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: &str = include_str!("../tests/data/legacy-schema.sql");

    /// What SQLite does for each statement, in its own words.
    fn explain(db: &Connection) -> Vec<String> {
        let queries = Queries::of(db).unwrap();
        let mut lines = Vec::new();
        for query in [
            &queries.contacts,
            &queries.schedules,
            &queries.targets,
            &queries.clicks,
            &queries.events,
        ]
        .into_iter()
        .flatten()
        {
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {}", query.sql)).unwrap();
            let details = statement.query_map([0, 1], |row| row.get::<_, String>(3)).unwrap();
            lines.extend(details.map(Result::unwrap));
        }
        lines
    }

    #[test]
    fn nothing_is_sorted_in_a_migrated_database_whatever_the_statistics_say() {
        let mut fresh = Database::in_memory().unwrap();
        fresh.migrate("now").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("legacy.db");
        Connection::open(&path).unwrap().execute_batch(LEGACY).unwrap();
        let mut legacy = Database::open(&path, crate::Access::ReadWrite).unwrap();
        legacy.migrate("now").unwrap();
        for db in [&fresh, &legacy] {
            let db = db.connection();
            let queries = Queries::of(db).unwrap();
            for query in [queries.contacts, queries.schedules, queries.targets, queries.clicks] {
                assert!(query.unwrap().layout.is_some(), "the pages are read");
            }
            for statistics in
                ["", "ANALYZE", "UPDATE sqlite_stat1 SET stat = '9000000 1'; ANALYZE sqlite_schema"]
            {
                db.execute_batch(statistics).unwrap();
                let plan = explain(db);
                assert_eq!(plan.len(), 5, "{plan:?}");
                for line in plan {
                    assert!(line.starts_with("SEARCH") && line.contains("USING"), "{line}");
                }
            }
        }
    }

    #[test]
    fn an_index_that_does_not_serve_is_left_out() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE tracking_clicks (contact_id TEXT, clicked_at);
             CREATE INDEX a ON tracking_clicks (contact_id);
             CREATE TABLE contact_campaigns (contact_id INTEGER, trigger_date);
             CREATE INDEX b ON contact_campaigns (contact_id) WHERE trigger_date IS NOT NULL;",
        )
        .unwrap();
        assert!(explain(&db).iter().any(|line| line.contains("TEMP B-TREE")));
        let queries = Queries::of(&db).unwrap();
        assert!(queries.sources(&db, None).is_ok());
        assert!(queries.contacts.is_none() && queries.schedules.is_none());
    }
}
