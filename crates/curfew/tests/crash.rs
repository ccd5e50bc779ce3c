//! A run that is killed at any point and run again ends in the rows of an undisturbed one, where no
//! day exceeds the cap (SPEC section 6).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rusqlite::Connection;

const CONTACTS: &str = "20000";
const KILLS: u64 = 50;

/// Every column of the plan but ids, run ids and timestamps.
const ROWS: &str = "SELECT group_concat(row, char(10)) FROM (
    SELECT json_array(contact_id, email_type, scheduled_send_date, scheduled_send_time, status,
      skip_reason, priority, campaign_instance_id, email_template, sms_template, event_year,
      event_month, event_day, initial_schedule_id, shift_days, metadata) AS row
    FROM email_schedules ORDER BY row)";

fn curfew(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_curfew"));
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(folder: &Path, db: &str) -> Child {
    let arguments =
        ["run", "--db", db, "--today", "2026-11-20", "--config", "curfew.yaml", "--no-backup"];
    curfew(folder, &arguments).spawn().unwrap()
}

fn rows(path: &Path) -> String {
    Connection::open(path).unwrap().query_row(ROWS, [], |row| row.get(0)).unwrap()
}

/// Bytes of the database and its log.
fn size(path: &Path) -> u64 {
    let log = PathBuf::from(format!("{}-wal", path.display()));
    [path, &log].iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

#[test]
fn killed_at_any_point_and_run_again_it_ends_in_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(
        folder.join("curfew.yaml"),
        "batch_size: 500\n\
         load_balancing: {daily_send_percentage_cap: 1, overage_threshold: 3}\n",
    )
    .unwrap();
    let generate =
        ["generate", "--contacts", CONTACTS, "--history", "--clicks", "--out", "base.db"];
    assert!(curfew(folder, &generate).status().unwrap().success());
    let copy = |name: &str| std::fs::copy(folder.join("base.db"), folder.join(name)).unwrap();

    copy("calm.db");
    let before = size(&folder.join("calm.db"));
    assert!(run(folder, "calm.db").wait().unwrap().success());
    let expected = rows(&folder.join("calm.db"));
    let grown = size(&folder.join("calm.db")) - before;

    copy("killed.db");
    let killed = folder.join("killed.db");
    let (mut random, mut kills) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    while kills < KILLS {
        // Xorshift: another point each time, by how far the file has grown.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let until = size(&killed) + random % (grown / 4);
        let mut child = run(folder, "killed.db");
        while size(&killed) < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if child.try_wait().unwrap().is_some() {
            // It came to its end: begin anew.
            assert_eq!(rows(&killed), expected);
            for ending in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(folder.join(format!("killed.db{ending}")));
            }
            copy("killed.db");
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(run(folder, "killed.db").wait().unwrap().success());
    assert!(rows(&killed) == expected, "the rows differ from those of an undisturbed run");
}
