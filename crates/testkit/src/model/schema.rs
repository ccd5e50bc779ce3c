//! The current tables, and a plan written into them: what the model needs to run without the real program.

use rusqlite::{Connection, Result, params};

use super::{ModelPlan, RowContent};

/// Creates the current tables, all of them empty. Unique indexes are left out so that tests can write what must not be.
///
/// # Errors
///
/// When a table exists already.
pub fn create_schema(conn: &Connection) -> Result<()> {
    conn.execute_batch(
        "CREATE TABLE contacts (
           id INTEGER PRIMARY KEY, email TEXT, zip_code TEXT, birth_date TEXT, effective_date TEXT,
           state TEXT, phone_number TEXT, status TEXT
         );
         CREATE TABLE email_schedules (
           id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL, email_type TEXT NOT NULL,
           scheduled_send_date TEXT NOT NULL, scheduled_send_time TEXT NOT NULL, status TEXT NOT NULL,
           skip_reason TEXT, priority INTEGER, campaign_instance_id INTEGER, email_template TEXT,
           sms_template TEXT, scheduler_run_id TEXT, event_year INTEGER, event_month INTEGER,
           event_day INTEGER, initial_schedule_id INTEGER, shift_days INTEGER, metadata TEXT,
           created_at TEXT, updated_at TEXT, actual_send_datetime TEXT
         );
         CREATE TABLE campaign_types (
           name TEXT PRIMARY KEY, respect_exclusion_windows INTEGER NOT NULL, enable_followups INTEGER NOT NULL,
           days_before_event INTEGER NOT NULL, target_all_contacts INTEGER NOT NULL, priority INTEGER NOT NULL,
           active INTEGER NOT NULL
         );
         CREATE TABLE campaign_instances (
           id INTEGER PRIMARY KEY, campaign_type TEXT NOT NULL, instance_name TEXT NOT NULL, email_template TEXT,
           sms_template TEXT, active_start_date TEXT, active_end_date TEXT, metadata TEXT
         );
         CREATE TABLE contact_campaigns (
           id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL, campaign_instance_id INTEGER NOT NULL,
           trigger_date TEXT, status TEXT
         );
         CREATE TABLE tracking_clicks (id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL, clicked_at TEXT NOT NULL);
         CREATE TABLE contact_events (
           id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL, event_type TEXT NOT NULL, metadata TEXT,
           created_at TEXT NOT NULL
         );",
    )
}

/// Brings a database of any shape to the current tables: adds the tables and the columns of `email_schedules` that are
/// missing, and drops the unique indexes of older applications. Rows stay as they are.
///
/// # Errors
///
/// When the database cannot be written.
pub fn upgrade_schema(conn: &Connection) -> Result<()> {
    let current = Connection::open_in_memory()?;
    create_schema(&current)?;
    let texts = |conn: &Connection, sql: &str| -> Result<Vec<String>> {
        conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    for table in texts(&current, tables)? {
        if !texts(conn, tables)?.contains(&table) {
            let sql = format!("SELECT sql FROM sqlite_master WHERE name = '{table}'");
            conn.execute_batch(&texts(&current, &sql)?.concat())?;
        }
    }
    let columns = "SELECT name FROM pragma_table_info('email_schedules')";
    let present = texts(conn, columns)?;
    for column in texts(&current, columns)?.iter().filter(|column| !present.contains(column)) {
        let kind =
            if column.ends_with("_id") || column.ends_with("_days") { "INTEGER" } else { "TEXT" };
        conn.execute_batch(&format!("ALTER TABLE email_schedules ADD COLUMN {column} {kind}"))?;
    }
    let unique =
        "SELECT name FROM pragma_index_list('email_schedules') WHERE \"unique\" AND origin = 'c'";
    for index in texts(conn, unique)? {
        conn.execute_batch(&format!("DROP INDEX {index}"))?;
    }
    Ok(())
}

/// Writes a plan into a database with the current schema, in one transaction; rows that stay are not touched.
///
/// # Errors
///
/// When a table or column is missing, or a row of the plan has gone.
pub fn apply(conn: &mut Connection, plan: &ModelPlan, run_id: &str) -> Result<()> {
    // The time of day means nothing; only a clock would make two runs differ.
    let now = format!("{} 06:00:00", plan.today);
    // Older tables refer to contacts, and may have rows of contacts that are gone.
    conn.pragma_update(None, "foreign_keys", false)?;
    let transaction = conn.transaction()?;
    for id in &plan.deleted {
        transaction.execute("DELETE FROM email_schedules WHERE id = ?1", [id])?;
    }
    for row in plan.rows.iter().filter(|row| !row.unchanged) {
        let id = if let Some(id) = row.existing_id {
            id
        } else {
            transaction.execute(
                "INSERT INTO email_schedules (contact_id, email_type, scheduled_send_date, scheduled_send_time,
                   status, created_at) VALUES (0, '', '', '', '', ?1)",
                [&now],
            )?;
            transaction.last_insert_rowid()
        };
        write_content(&transaction, id, &row.content)?;
        transaction.execute(
            "UPDATE email_schedules SET scheduler_run_id = ?2, updated_at = ?3 WHERE id = ?1",
            params![id, run_id, now],
        )?;
    }
    for (id, status) in &plan.target_statuses {
        transaction.execute(
            "UPDATE contact_campaigns SET status = ?2 WHERE rowid = ?1",
            params![id, status],
        )?;
    }
    transaction.commit()
}

/// Writes all content columns of one row.
pub(crate) fn write_content(conn: &Connection, id: i64, row: &RowContent) -> Result<()> {
    let changed = conn.execute(
        "UPDATE email_schedules SET contact_id = ?2, email_type = ?3, scheduled_send_date = ?4,
           scheduled_send_time = ?5, status = ?6, skip_reason = ?7, priority = ?8, campaign_instance_id = ?9,
           email_template = ?10, sms_template = ?11, event_year = ?12, event_month = ?13, event_day = ?14,
           initial_schedule_id = ?15, shift_days = ?16, metadata = ?17
         WHERE id = ?1",
        params![
            id,
            row.contact_id,
            row.email_type,
            row.scheduled_send_date,
            row.scheduled_send_time,
            row.status,
            row.skip_reason,
            row.priority,
            row.campaign_instance_id,
            row.email_template,
            row.sms_template,
            row.event_year,
            row.event_month,
            row.event_day,
            row.initial_schedule_id,
            row.shift_days,
            row.metadata,
        ],
    )?;
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}
