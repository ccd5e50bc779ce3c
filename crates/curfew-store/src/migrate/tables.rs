//! The tables of the scheduler, column by column.

/// A table that the scheduler needs.
#[derive(Debug)]
pub(crate) struct TableSpec {
    pub(crate) name: &'static str,
    /// Names and, as in `CREATE TABLE`, types and constraints.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    /// The columns among those that may be NULL to which every row of ours gives a value.
    pub(crate) always_given: &'static [&'static str],
    /// Whether this program inserts rows, so that other columns must not demand values.
    pub(crate) is_filled: bool,
}

impl TableSpec {
    pub(crate) fn create_sql(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|(name, declared)| format!("  {name} {declared}")).collect();
        format!("CREATE TABLE {} (\n{}\n)", self.name, columns.join(",\n"))
    }

    /// What `ALTER TABLE … ADD COLUMN` takes: no key, and NOT NULL only with a constant default.
    pub(crate) fn added(declared: &str) -> &str {
        if declared.contains("DEFAULT") && !declared.contains("CURRENT_TIMESTAMP") {
            declared
        } else {
            declared.split(' ').next().unwrap_or_default()
        }
    }
}

pub(crate) const EMAIL_SCHEDULES: TableSpec = TableSpec {
    name: "email_schedules",
    columns: &[
        // No id is ever used twice: history and follow-ups refer to it.
        ("id", "INTEGER PRIMARY KEY AUTOINCREMENT"),
        ("contact_id", "INTEGER NOT NULL"),
        ("email_type", "TEXT NOT NULL"),
        ("scheduled_send_date", "TEXT NOT NULL"),
        // The defaults are those of the older application: other programs rely on them.
        ("scheduled_send_time", "TEXT NOT NULL DEFAULT '08:30:00'"),
        ("status", "TEXT NOT NULL DEFAULT 'scheduled'"),
        ("skip_reason", "TEXT"),
        ("priority", "INTEGER"),
        ("campaign_instance_id", "INTEGER"),
        ("email_template", "TEXT"),
        ("sms_template", "TEXT"),
        ("scheduler_run_id", "TEXT"),
        ("event_year", "INTEGER"),
        ("event_month", "INTEGER"),
        ("event_day", "INTEGER"),
        ("initial_schedule_id", "INTEGER"),
        ("shift_days", "INTEGER"),
        ("metadata", "TEXT"),
        ("created_at", "TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP"),
        ("updated_at", "TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP"),
        ("actual_send_datetime", "TEXT"),
    ],
    always_given: &["priority", "scheduler_run_id", "shift_days"],
    is_filled: true,
};

pub(crate) const SCHEDULE_HISTORY: TableSpec = TableSpec {
    name: "schedule_history",
    columns: &[
        ("id", "INTEGER PRIMARY KEY"),
        ("run_id", "TEXT NOT NULL"),
        ("schedule_id", "INTEGER NOT NULL"),
        ("contact_id", "INTEGER"),
        ("what", "TEXT NOT NULL"),
        ("why", "TEXT NOT NULL"),
        ("old_values", "TEXT NOT NULL"),
        ("recorded_at", "TEXT NOT NULL"),
        ("previous_hash", "TEXT NOT NULL"),
        ("hash", "TEXT NOT NULL"),
    ],
    always_given: &[],
    is_filled: true,
};

pub(crate) const SCHEDULER_CHECKPOINTS: TableSpec = TableSpec {
    name: "scheduler_checkpoints",
    columns: &[
        ("run_id", "TEXT PRIMARY KEY NOT NULL"),
        ("command", "TEXT"),
        ("today", "TEXT"),
        ("status", "TEXT NOT NULL"),
        ("started_at", "TEXT"),
        ("completed_at", "TEXT"),
        ("config_version_id", "INTEGER"),
        ("batches_done", "INTEGER"),
        ("last_contact_id", "INTEGER"),
        ("rows_inserted", "INTEGER"),
        ("rows_updated", "INTEGER"),
        ("rows_expired", "INTEGER"),
        ("rows_deleted", "INTEGER"),
        ("counts", "TEXT"),
        ("contacts_checksum_before", "TEXT"),
        ("contacts_checksum_after", "TEXT"),
        ("schedules_checksum_before", "TEXT"),
        ("schedules_checksum_after", "TEXT"),
        ("history_id", "INTEGER"),
        ("history_hash", "TEXT"),
        ("error", "TEXT"),
    ],
    always_given: &["command", "today", "started_at"],
    is_filled: true,
};

pub(crate) const CONTACT_ISSUES: TableSpec = TableSpec {
    name: "contact_issues",
    columns: &[
        ("id", "INTEGER PRIMARY KEY"),
        ("run_id", "TEXT NOT NULL"),
        ("contact_id", "INTEGER"),
        ("field", "TEXT NOT NULL"),
        ("reason", "TEXT NOT NULL"),
    ],
    always_given: &[],
    is_filled: true,
};

pub(crate) const CONFIG_VERSIONS: TableSpec = TableSpec {
    name: "config_versions",
    columns: &[
        ("id", "INTEGER PRIMARY KEY"),
        ("valid_from", "TEXT NOT NULL"),
        ("valid_to", "TEXT"),
        ("created_by", "TEXT"),
        ("content", "TEXT"),
        ("hash", "TEXT"),
    ],
    always_given: &["created_by", "content", "hash"],
    is_filled: true,
};

pub(crate) const CAMPAIGN_TYPES: TableSpec = TableSpec {
    name: "campaign_types",
    columns: &[
        ("name", "TEXT PRIMARY KEY NOT NULL"),
        ("respect_exclusion_windows", "INTEGER NOT NULL DEFAULT 1"),
        ("enable_followups", "INTEGER NOT NULL DEFAULT 1"),
        ("days_before_event", "INTEGER NOT NULL DEFAULT 0"),
        ("target_all_contacts", "INTEGER NOT NULL DEFAULT 0"),
        ("priority", "INTEGER NOT NULL DEFAULT 10"),
        ("active", "INTEGER NOT NULL DEFAULT 1"),
    ],
    always_given: &[],
    is_filled: true,
};

pub(crate) const CAMPAIGN_INSTANCES: TableSpec = TableSpec {
    name: "campaign_instances",
    columns: &[
        ("id", "INTEGER PRIMARY KEY AUTOINCREMENT"),
        ("campaign_type", "TEXT NOT NULL"),
        ("instance_name", "TEXT NOT NULL"),
        ("email_template", "TEXT"),
        ("sms_template", "TEXT"),
        ("active_start_date", "TEXT"),
        ("active_end_date", "TEXT"),
        ("metadata", "TEXT"),
    ],
    always_given: &[],
    is_filled: true,
};

pub(crate) const CONTACT_CAMPAIGNS: TableSpec = TableSpec {
    name: "contact_campaigns",
    columns: &[
        ("id", "INTEGER PRIMARY KEY"),
        ("contact_id", "INTEGER NOT NULL"),
        ("campaign_instance_id", "INTEGER NOT NULL"),
        ("trigger_date", "TEXT"),
        ("status", "TEXT NOT NULL DEFAULT 'pending'"),
    ],
    always_given: &[],
    is_filled: true,
};

pub(crate) const CAMPAIGN_CHANGE_LOG: TableSpec = TableSpec {
    name: "campaign_change_log",
    columns: &[
        ("id", "INTEGER PRIMARY KEY"),
        ("changed_at", "TEXT NOT NULL"),
        ("changed_by", "TEXT"),
        ("entity", "TEXT"),
        ("entity_id", "TEXT"),
        ("field", "TEXT"),
        ("old_value", "TEXT"),
        ("new_value", "TEXT"),
        ("requires_rescheduling", "INTEGER"),
    ],
    always_given: &["changed_by", "entity", "entity_id", "requires_rescheduling"],
    is_filled: true,
};

pub(crate) const TRACKING_CLICKS: TableSpec = TableSpec {
    name: "tracking_clicks",
    columns: &[
        ("id", "INTEGER PRIMARY KEY"),
        ("contact_id", "INTEGER NOT NULL"),
        ("clicked_at", "TEXT NOT NULL"),
    ],
    always_given: &[],
    is_filled: false,
};

pub(crate) const CONTACT_EVENTS: TableSpec = TableSpec {
    name: "contact_events",
    columns: &[
        ("id", "INTEGER PRIMARY KEY"),
        ("contact_id", "INTEGER NOT NULL"),
        ("event_type", "TEXT NOT NULL"),
        ("metadata", "TEXT"),
        ("created_at", "TEXT NOT NULL"),
    ],
    always_given: &[],
    is_filled: false,
};

/// The columns that tell one owned row from another (SPEC section 9).
pub(crate) const EVENT_KEY: &str = "contact_id, email_type, coalesce(campaign_instance_id, 0), \
     event_year, event_month, event_day, coalesce(initial_schedule_id, 0)";

/// Which rows have such a key.
pub(crate) const HAS_EVENT_KEY: &str = "status IN ('pre-scheduled', 'skipped') \
     AND event_year IS NOT NULL AND event_month IS NOT NULL AND event_day IS NOT NULL";

/// The index that keeps a message to one owned row.
pub(crate) const EVENT_INDEX: &str = "curfew_owned_event";
