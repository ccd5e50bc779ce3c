//! What the workflows say when they are done; each as JSON with `serde`.

use libsql_diff::{MergeConflict, MergeConflictKind, Summary, Value};
use serde::Serialize;

use crate::push::schema::Misfit;

/// How many conflicts a report lists.
pub const CONFLICTS_LISTED_MAX: usize = 100;

/// Differences, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Rows that come.
    pub inserted: u64,
    /// Rows that change.
    pub updated: u64,
    /// Rows that go, without those of dropped tables.
    pub deleted: u64,
    /// The tables that differ.
    pub tables: Vec<TableChanges>,
    /// What is created and dropped besides tables, such as `create index plan_day`.
    pub definitions: Vec<String>,
    /// Counters and settings that differ, such as `user_version`.
    pub settings: Vec<String>,
}

/// One table's differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableChanges {
    /// Its name.
    pub table: String,
    /// Rows that come.
    pub inserted: u64,
    /// Rows that change.
    pub updated: u64,
    /// Rows that go.
    pub deleted: u64,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those of a diff.
    pub fn of(summary: &Summary) -> Self {
        let mut changes = Self::default();
        for table in &summary.tables {
            changes.inserted += table.inserted;
            changes.updated += table.updated;
            changes.deleted += table.deleted;
            changes.tables.push(TableChanges {
                table: table.name.clone(),
                inserted: table.inserted,
                updated: table.updated,
                deleted: table.deleted,
            });
        }
        let objects = [("drop", &summary.dropped), ("create", &summary.created)];
        for (verb, objects) in objects {
            changes.definitions.extend(objects.iter().map(|(kind, name)| {
                format!("{verb} {} {name}", kind.keyword().to_ascii_lowercase())
            }));
        }
        changes.settings.extend(
            summary.sequences.iter().map(|sequence| format!("counter of {}", sequence.table)),
        );
        changes
            .settings
            .extend(summary.settings.iter().map(|change| change.setting.pragma().to_owned()));
        changes
    }
}

/// Something that was changed here and on the server, each differently.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conflict {
    /// The table, or the view, index, trigger or setting.
    pub table: String,
    /// The row, such as `key 17`; None if it is not about one row.
    pub key: Option<String>,
    /// What happened: `both_changed`, `both_inserted`, `we_deleted`, `they_deleted`, `table`,
    /// `object` or `setting`.
    pub kind: &'static str,
    /// The values in question.
    pub columns: Vec<ConflictColumn>,
}

/// One column's three values, each None, and missing in JSON, if the row is not there.
///
/// As JSON, values are JSON's own where that loses nothing; else `{"real": "Infinity"}`,
/// `{"blob": "00ff"}`, `{"text": "61ff"}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConflictColumn {
    /// The column.
    pub column: String,
    /// When both were last in step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Shown>,
    /// In the working file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<Shown>,
    /// On the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theirs: Option<Shown>,
}

/// A value in a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown(pub Value);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let hex = |bytes: &[u8]| -> String {
            let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
            bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
        };
        let (kind, text) = match &self.0 {
            Value::Null => return serializer.serialize_unit(),
            Value::Integer(value) => return serializer.serialize_i64(*value),
            Value::Real(value) if value.is_finite() => return serializer.serialize_f64(*value),
            Value::Real(value) => {
                ("real", if *value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned())
            }
            Value::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => return serializer.serialize_str(text),
                Err(_) => ("text", hex(bytes)),
            },
            Value::Blob(bytes) => ("blob", hex(bytes)),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(kind, &text)?;
        map.end()
    }
}

impl Conflict {
    /// A conflict of a merge, as reports show it.
    pub fn of(conflict: &MergeConflict) -> Self {
        let shown = |value: &Option<Value>| value.clone().map(Shown);
        Self {
            table: conflict.table.clone(),
            key: conflict.key.as_ref().map(ToString::to_string),
            kind: match conflict.kind {
                MergeConflictKind::BothChanged => "both_changed",
                MergeConflictKind::BothInserted => "both_inserted",
                MergeConflictKind::WeDeleted => "we_deleted",
                MergeConflictKind::TheyDeleted => "they_deleted",
                MergeConflictKind::Table => "table",
                MergeConflictKind::Object => "object",
                MergeConflictKind::Setting => "setting",
                _ => "other",
            },
            columns: conflict
                .columns
                .iter()
                .map(|column| ConflictColumn {
                    column: column.column.clone(),
                    base: shown(&column.base),
                    ours: shown(&column.ours),
                    theirs: shown(&column.theirs),
                })
                .collect(),
        }
    }

    pub(crate) fn of_misfit(misfit: &Misfit) -> Self {
        let shown = |sql: &Option<String>| sql.clone().map(|sql| Shown(Value::text(sql)));
        Self {
            table: misfit.name.clone(),
            key: None,
            kind: "object",
            columns: vec![ConflictColumn {
                column: "sql".to_owned(),
                base: shown(&misfit.expected),
                ours: shown(&misfit.expected),
                theirs: shown(&misfit.found),
            }],
        }
    }
}

/// What `init` did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InitReport {
    /// Whether nothing was written, and all of this is what would come of it.
    pub dry_run: bool,
    /// The server's address.
    pub url: String,
    /// Tables on the server.
    pub tables: u64,
    /// Rows fetched.
    pub rows: u64,
    /// Bytes fetched.
    pub bytes: u64,
    /// Whether a working file was there before and was kept.
    pub kept_file: bool,
    /// What the working file has that the server has not: the next push sends it.
    pub local: Changes,
    /// What both have differently; nothing was initialized then, and `conflicts` lists the first
    /// [`CONFLICTS_LISTED_MAX`].
    pub conflicts_count: u64,
    /// The conflicts.
    pub conflicts: Vec<Conflict>,
}

impl InitReport {
    /// 0, or 1 if there are conflicts.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.conflicts_count > 0)
    }
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PushEnd {
    /// There was nothing to push.
    Nothing,
    /// The server has the changes.
    Pushed,
    /// The server's database changed meanwhile in a way that the changes do not fit: pull first.
    Conflict,
    /// Only looked at.
    DryRun,
}

/// What `push` did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PushReport {
    /// How it ended.
    pub end: PushEnd,
    /// What was pushed, or would be.
    pub changes: Changes,
    /// Whether a push that was interrupted earlier was brought to its end.
    pub resumed: bool,
    /// Why there is a conflict.
    pub reason: Option<String>,
    /// How many conflicts there are; `conflicts` lists the first [`CONFLICTS_LISTED_MAX`].
    pub conflicts_count: u64,
    /// The conflicts.
    pub conflicts: Vec<Conflict>,
    /// What cannot travel and stays here.
    pub notes: Vec<String>,
}

impl PushReport {
    /// 0, or 1 for a conflict.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.end == PushEnd::Conflict)
    }
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PullEnd {
    /// The server has nothing new.
    Nothing,
    /// The working file has what is new.
    Pulled,
    /// Both sides changed the same things; the working file is as it was.
    Conflict,
    /// Only looked at.
    DryRun,
}

/// What `pull` did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PullReport {
    /// How it ended.
    pub end: PullEnd,
    /// Rows fetched to compare.
    pub rows: u64,
    /// Bytes fetched.
    pub bytes: u64,
    /// What came into the working file, or would.
    pub incoming: Changes,
    /// What the working file has that the server has not: the next push sends it.
    pub local: Changes,
    /// Why there is a conflict, where it is not one of rows.
    pub reason: Option<String>,
    /// How many conflicts there are, settled by the policy or not.
    pub conflicts_count: u64,
    /// The first [`CONFLICTS_LISTED_MAX`] of them.
    pub conflicts: Vec<Conflict>,
}

impl PullReport {
    /// 0, or 1 for conflicts that nobody settled.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.end == PullEnd::Conflict)
    }
}

/// What `reset` would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResetPreview {
    /// The local changes that would be lost.
    pub local: Changes,
    /// Where the working file would be kept; None if there is none.
    pub backup: Option<std::path::PathBuf>,
}

/// What `reset` did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResetReport {
    /// Whether nothing was written, and all of this is what would come of it.
    pub dry_run: bool,
    /// The local changes that were thrown away.
    pub local: Changes,
    /// Where the working file was kept; None if there was none.
    pub backup: Option<std::path::PathBuf>,
    /// Rows fetched.
    pub rows: u64,
    /// Bytes fetched.
    pub bytes: u64,
}

/// How the server stands to the base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RemoteStatus {
    /// Whether it answers, and lets this client in.
    pub reachable: bool,
    /// Why not.
    pub error: Option<String>,
    /// As it calls itself.
    pub version: Option<String>,
    /// One round trip, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Whether it is known to have changed since the last pull. False if it says that nothing was
    /// written since; after a push, and where servers do not say so, if definitions and numbers of
    /// rows are the same. None if something was written, and only a pull tells what.
    pub changed: Option<bool>,
    /// The last push of another copy, such as `2026-11-20T08:15:00Z`, as far back as 7 days.
    pub pushed_by_others_at: Option<String>,
}

/// What `status` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusReport {
    /// The working file.
    pub file: std::path::PathBuf,
    /// The server's address.
    pub url: String,
    /// When the base was last fetched.
    pub pulled_at: Option<String>,
    /// When changes were last pushed.
    pub pushed_at: Option<String>,
    /// Whether a push was interrupted and waits to be finished by the next one.
    pub push_pending: bool,
    /// What the working file has that the base has not; None if the file is missing.
    pub local: Option<Changes>,
    /// The server; None if it was not asked.
    pub remote: Option<RemoteStatus>,
    /// What to do next.
    pub next: String,
}

impl StatusReport {
    /// 0 if there is nothing to do, else 1.
    pub fn exit_code(&self) -> u8 {
        let clean = self.local.as_ref().is_some_and(Changes::is_empty)
            && !self.push_pending
            && self
                .remote
                .as_ref()
                .is_none_or(|remote| remote.reachable && remote.changed == Some(false));
        u8::from(!clean)
    }
}

/// What `copy` did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CopyReport {
    /// Whether nothing was written, and all of this is what would come of it.
    pub dry_run: bool,
    /// Where it came from.
    pub from: String,
    /// Where it went.
    pub to: String,
    /// What changed at the target.
    pub changes: Changes,
}
