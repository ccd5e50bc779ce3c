//! How the file, the base and the server stand to each other.

use std::path::Path;
use std::time::Instant;

use libsql_diff::quoted;
use libsql_link::Value;
use libsql_link::blocking::Link;
use rusqlite::{Connection, OpenFlags};

use super::{Remote, compare};
use crate::error::{Error, Result, shell_word};
use crate::progress::{Progress, Step};
use crate::push::schema::{SCHEMA_SQL, Schema};
use crate::push::{MARKER, server_schema};
use crate::report::{Changes, RemoteStatus, StatusReport};
use crate::state::{Folder, State};

/// Looks at the file and, if `asks_server`, at the server; changes nothing.
///
/// That the server does not answer is part of the report.
///
/// # Errors
/// [`Error::NotInitialized`], or when a local file cannot be read.
pub fn status(
    file: &Path,
    remote: &Remote,
    asks_server: bool,
    progress: &dyn Progress,
) -> Result<StatusReport> {
    let folder = Folder::of(file);
    let state = folder.state()?;
    let local = if file.exists() {
        Some(Changes::of(compare(&folder.base(), file, progress)?.summary()))
    } else {
        None
    };
    let push_pending = folder.journal()?.is_some();
    let remote = if asks_server {
        progress.step(Step::Asking);
        let link = remote.open_known(&folder, &state)?;
        Some(ask(&folder, &state, &link)?)
    } else {
        None
    };
    let name = shell_word(file);
    let next = match (&local, &remote) {
        (_, Some(RemoteStatus { reachable: false, .. })) => {
            "the server does not answer: find out why with `turso-sync test`".to_owned()
        }
        (None, _) => format!("the file is missing: `turso-sync pull {name}` brings it back"),
        _ if push_pending => format!("`turso-sync push {name}` ends the push that was interrupted"),
        (Some(_), Some(RemoteStatus { changed: Some(true), .. })) => {
            format!("the server has news: `turso-sync pull {name}`")
        }
        (Some(_), Some(RemoteStatus { changed: None, error: None, .. })) => {
            format!("the server was written to: `turso-sync pull {name}` tells what is new")
        }
        (Some(local), _) if !local.is_empty() => {
            format!("there are local changes: `turso-sync push {name}`")
        }
        _ => "nothing to do".to_owned(),
    };
    Ok(StatusReport {
        file: file.to_owned(),
        url: state.url,
        pulled_at: state.pulled_at,
        pushed_at: state.pushed_at,
        push_pending,
        local,
        remote,
        next,
    })
}

fn ask(folder: &Folder, state: &State, link: &Link) -> Result<RemoteStatus> {
    let mut status = RemoteStatus {
        reachable: false,
        error: None,
        version: None,
        round_trip_ms: None,
        changed: None,
        pushed_by_others_at: None,
    };
    let begun = Instant::now();
    let schema = match server_schema(link, &state.url) {
        Ok((_, schema)) => schema,
        Err(error) => {
            status.error = Some(error.to_string());
            return Ok(status);
        }
    };
    status.reachable = true;
    status.round_trip_ms = Some(begun.elapsed().as_secs_f64() * 1000.0);
    let mut stands_still = false;
    let more = (|| -> Result<()> {
        stands_still = super::pull::stands_still(state, link)?;
        status.version = link.server()?.version;
        let table = "SELECT count(*) FROM sqlite_schema WHERE name = '_turso_sync_push'";
        if link.query(table, &[])?.single().and_then(Value::as_integer) == Some(1) {
            let sql = format!(
                "SELECT max(at) FROM {MARKER} WHERE state = 'applied' AND client <> '{}'",
                state.client
            );
            status.pushed_by_others_at =
                link.query(&sql, &[])?.single().and_then(Value::as_text).map(str::to_owned);
        }
        Ok(())
    })();
    let base = if stands_still { None } else { Some(Counts::of_base(folder)?) };
    let found = more.and_then(|()| {
        let Some(base) = base else { return Ok(Some(false)) };
        let differ = base.differ(&schema, link)?;
        // Values may have changed if something was written.
        Ok((differ || state.position.is_none()).then_some(differ))
    });
    match found {
        Ok(changed) => status.changed = changed,
        Err(error) => status.error = Some(error.to_string()),
    }
    Ok(status)
}

/// The definitions and numbers of rows of the base.
struct Counts {
    schema: Schema,
    rows: Vec<(String, i64)>,
}

impl Counts {
    fn of_base(folder: &Folder) -> Result<Self> {
        let path = folder.base();
        let read = || -> rusqlite::Result<Option<Self>> {
            let conn = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let text: String = conn.query_row(SCHEMA_SQL, [], |row| row.get(0))?;
            let Some(schema) = Schema::parse(&text) else { return Ok(None) };
            let mut rows = Vec::new();
            for entry in schema.entries.iter().filter(|entry| entry.kind == "table") {
                if entry.name.to_ascii_lowercase().starts_with("sqlite_") {
                    continue;
                }
                let sql = format!("SELECT count(*) FROM {}", quoted(&entry.name));
                rows.push((entry.name.clone(), conn.query_row(&sql, [], |row| row.get(0))?));
            }
            Ok(Some(Self { schema, rows }))
        };
        read().map_err(Error::sqlite(&path, "counting"))?.ok_or_else(|| Error::StateDamaged {
            path: path.clone(),
            what: "its schema cannot be read".to_owned(),
        })
    }

    fn differ(&self, server: &Schema, link: &Link) -> Result<bool> {
        let key = |schema: &Schema| {
            let mut entries: Vec<_> = schema
                .entries
                .iter()
                .filter(|entry| entry.sql.is_some() && !entry.name.starts_with("sqlite_"))
                .map(|entry| (entry.kind.clone(), entry.name.clone(), entry.sql.clone()))
                .collect();
            entries.sort();
            entries
        };
        if key(&self.schema) != key(server) {
            return Ok(true);
        }
        for some in self.rows.chunks(100) {
            let counts: Vec<String> = some
                .iter()
                .map(|(name, _)| format!("SELECT count(*) FROM {}", quoted(name)))
                .collect();
            let rows = link.query(&counts.join(" UNION ALL "), &[])?;
            let same = rows.len() == some.len()
                && rows.rows.iter().zip(some).all(|(row, (_, count))| {
                    row.first().and_then(Value::as_integer) == Some(*count)
                });
            if !same {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
