//! `cargo xtask bench`: how long a run takes and how much memory, beside the `sqlite3` shell inserting
//! as many rows into the same schema, both in one session; and how that grows. Rewrites the tables of
//! `docs/performance.md`.

mod growth;
pub(crate) mod micro;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// The day that every plan of the benchmark is made for; the sample data is made around it.
const TODAY: &str = "2026-11-20";
const TOMORROW: &str = "2026-11-21";
/// Five days before the enrollment date, the ideal date of one message to everybody.
const BEFORE_AEP: &str = "2027-09-10";
/// The day after that date.
const AFTER_AEP: &str = "2027-09-16";

/// A run that takes less is measured [`REPEATS`] times.
const REPEATED_BELOW_SECONDS: f64 = 5.0;
/// How often short runs and the baseline are measured; the run of median time counts. Odd.
const REPEATS: usize = 3;

/// Where a run puts its backups unless told otherwise.
const BACKUPS: &str = "backups";

const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- begin: cargo xtask bench -->";
const END: &str = "<!-- end: cargo xtask bench -->";

/// The columns that a run gives values to; the ids are SQLite's in both cases.
const COLUMNS: &str = "contact_id, email_type, scheduled_send_date, scheduled_send_time, status, \
    skip_reason, priority, campaign_instance_id, email_template, sms_template, scheduler_run_id, \
    event_year, event_month, event_day, initial_schedule_id, shift_days, metadata, created_at, \
    updated_at";

/// A campaign with every contact as a target.
const TARGETS: &str = "
    INSERT INTO campaign_types (name, priority) VALUES ('notice', 5);
    INSERT INTO campaign_instances (id, campaign_type, instance_name, email_template,
      active_start_date, active_end_date)
    VALUES (1, 'notice', 'first', 'notice', '2026-11-20', '2027-02-20');
    INSERT INTO contact_campaigns (contact_id, campaign_instance_id, trigger_date)
      SELECT id, 1, '2026-12-01' FROM contacts;";

const CHANGED: &str =
    "UPDATE contacts SET birth_date = date(birth_date, '+17 days') WHERE id % 100 = 0";

/// What the sender does until the evening of the enrollment date.
const SENT: &str = "
    UPDATE email_schedules SET status = 'sent',
      actual_send_datetime = scheduled_send_date || ' 08:31:00'
    WHERE status = 'pre-scheduled' AND scheduled_send_date <= '2027-09-15'";

/// A campaign to everybody, in the configuration.
const BLAST: &str = "campaign_types:
  blast: {target_all_contacts: true, priority: 5}
campaign_instances:
  - {campaign_type: blast, instance_name: first, email_template: blast, active_start_date: 2026-11-20, active_end_date: 2027-02-20}
";

/// How often the length of the log is looked at while a command runs.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What one process took.
#[derive(Clone, Debug)]
struct Cost {
    wall_seconds: f64,
    cpu_seconds: f64,
    peak_mib: f64,
    /// The longest that the database's log was.
    wal_mib: f64,
    stdout: String,
}

struct Scenario {
    name: String,
    cost: Cost,
    rows: u64,
    database_mib: f64,
    /// What the run tells of itself: seconds of each stage among other things.
    report: Option<serde_json::Value>,
}

/// What was measured for one size.
struct Measured {
    contacts: u64,
    generated: Cost,
    /// Plain insertion: what the others are divided by.
    baseline: Scenario,
    /// Its wall times before, between and after the runs, in seconds.
    baseline_seconds: [f64; REPEATS],
    scenarios: Vec<Scenario>,
}

/// `cargo xtask bench [CONTACTS…]`: 100,000, 1,000,000 and 3,000,000 unless told otherwise.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let mut sizes = Vec::new();
    for argument in arguments {
        let size: u64 = argument
            .replace([',', '_'], "")
            .parse()
            .with_context(|| format!("`{argument}` is not a number of contacts"))?;
        sizes.push(size);
    }
    if sizes.is_empty() {
        sizes = vec![100_000, 1_000_000, 3_000_000];
    }
    for tool in ["sqlite3", "/usr/bin/time"] {
        if !shell::succeeds(Command::new(tool).arg("--version").stdin(Stdio::null())) {
            bail!("`{tool}` is missing: apt-get install sqlite3 time");
        }
    }
    shell::run(&mut shell::command(root, "cargo build --release --locked -p curfew"))?;
    let bench =
        Bench { curfew: root.join("target/release/curfew"), folder: root.join("target/bench") };
    std::fs::create_dir_all(&bench.folder)?;

    let smallest = sizes.iter().copied().min().unwrap_or_default();
    let measured = sizes.into_iter().map(|size| bench.measure(size));
    let measured: Vec<Measured> = measured.collect::<Result<_>>()?;
    let mut text = String::new();
    write_summary(&mut text, &measured)?;
    growth::measure(&bench, smallest.min(growth::CONTACTS_MAX), &mut text)?;
    for size in &measured {
        write_tables(&mut text, size)?;
    }
    replace_tables(&root.join(DOCUMENT), &text)?;
    std::fs::remove_dir_all(&bench.folder).context("cannot remove the benchmark's folder")
}

struct Bench {
    curfew: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn measure(&self, contacts: u64) -> Result<Measured> {
        let fresh = self.folder.join("contacts.db");
        let planned = self.folder.join("planned.db");
        let db = self.folder.join("plan.db");
        let base = self.folder.join("baseline.db");
        for file in [&fresh, &planned, &db, &base] {
            remove_database(file)?;
        }
        eprintln!("\n==== {contacts} contacts");
        let generated = self.generate(contacts, &fresh)?;
        let from = |file: &Path, change: &str| {
            copy_database(file, &db)?;
            if change.is_empty() { Ok(()) } else { sql(&db, change).map(drop) }
        };
        let no_backup: &[&str] = &["--no-backup"];
        let plan = |name: &str, today: &str| self.plan(name, &db, today, no_backup);

        let mut scenarios = vec![repeated(|| {
            from(&fresh, "")?;
            plan("cold", TODAY)
        })?];
        std::fs::rename(&db, &planned)?;
        let insert = |name: &str, columns: &str| self.baseline(name, &planned, &base, columns);
        let insert_rows =
            || insert("baseline: `sqlite3` inserts the rows of the cold run", COLUMNS);
        let first = insert_rows()?;
        let name = "for comparison: `sqlite3` copies table and indexes as they are (`SELECT *`)";
        scenarios.push(repeated(|| insert(name, ""))?);
        from(&planned, "")?;
        scenarios.push(repeated(|| plan("unchanged", TODAY))?);
        let (changed, next_day) = ("1% of the contacts changed", "next day");
        for (more, note) in [(no_backup, ""), (&[], ", with a backup before")] {
            for (name, change, today) in [(changed, CHANGED, TODAY), (next_day, "", TOMORROW)] {
                scenarios.push(repeated(|| {
                    from(&planned, change)?;
                    remove_backups(&self.folder)?;
                    self.plan(&format!("{name}{note}"), &db, today, more)
                })?);
            }
        }
        remove_backups(&self.folder)?;

        let middle = insert_rows()?;
        scenarios.push(repeated(|| {
            from(&planned, TARGETS)?;
            plan("every contact a target of one more campaign, all on one day", TODAY)
        })?);
        let config = self.folder.join("blast.yaml");
        std::fs::write(&config, BLAST)?;
        let config = config.to_str().context("the folder's name is not UTF-8")?;
        scenarios.push(repeated(|| {
            from(&fresh, "")?;
            let more = ["--config", config, "--no-backup"];
            self.plan("cold, initial blast to all", &db, TODAY, &more)
        })?);
        scenarios.push(repeated(|| {
            from(&fresh, "")?;
            plan("cold, five days before the aep date of all", BEFORE_AEP)
        })?);
        let last = insert_rows()?;
        sql(&db, SENT)?;
        std::fs::rename(&db, &planned)?;
        scenarios.push(repeated(|| {
            from(&planned, "")?;
            plan("aep season: the day after the first of its messages were sent", AFTER_AEP)
        })?);
        for file in [&fresh, &planned, &db] {
            remove_database(file)?;
        }
        let baselines = [first, middle, last];
        let baseline_seconds = baselines.each_ref().map(|found| found.cost.wall_seconds);
        let baseline = median(baselines.into()).context("no baseline")?;
        Ok(Measured { contacts, generated, baseline, baseline_seconds, scenarios })
    }

    /// Makes an organization, ready to be planned.
    fn generate(&self, contacts: u64, into: &Path) -> Result<Cost> {
        remove_database(into)?;
        let mut generate = Command::new(&self.curfew);
        generate.args(["generate", "--seed", "1", "--contacts", &contacts.to_string(), "--out"]);
        let generated = self.time(generate.arg(into), into)?;
        eprintln!("generated in {:.1} s", generated.wall_seconds);
        sql(into, "PRAGMA journal_mode = wal")?;
        Ok(generated)
    }

    fn plan(&self, name: &str, db: &Path, today: &str, more: &[&str]) -> Result<Scenario> {
        let mut command = Command::new(&self.curfew);
        command.arg("run").arg("--db").arg(db).args(["--json", "--today", today]).args(more);
        let cost = self.time(&mut command, db)?;
        let report: serde_json::Value =
            serde_json::from_str(&cost.stdout).context("the run's report is not JSON")?;
        let rows: u64 = ["inserted", "updated", "expired", "deleted"]
            .iter()
            .filter_map(|sort| report["rows"][sort].as_u64())
            .sum();
        eprintln!("{name}: {:.2} s, {:.0} MiB", cost.wall_seconds, cost.peak_mib);
        let database_mib = mib(db);
        Ok(Scenario { name: name.to_owned(), cost, rows, database_mib, report: Some(report) })
    }

    /// The shell inserts all rows of the plan into an empty database of the same schema. Without
    /// `columns` it copies the table and the indexes as they are, entry by entry.
    fn baseline(&self, name: &str, planned: &Path, into: &Path, columns: &str) -> Result<Scenario> {
        remove_database(into)?;
        let schema = sql(planned, ".schema email_schedules")?;
        let page_size = sql(planned, "PRAGMA page_size")?;
        let page_size = page_size.trim();
        sql(
            into,
            &format!("PRAGMA page_size = {page_size}; PRAGMA journal_mode = wal;\n{schema}"),
        )?;
        let (named, selected) = if columns.is_empty() {
            (String::new(), "*")
        } else {
            (format!(" ({columns})"), columns)
        };
        let statement = format!(
            "PRAGMA cache_size = -65536; ATTACH '{}' AS planned; \
             INSERT INTO email_schedules{named} SELECT {selected} FROM planned.email_schedules;",
            planned.display()
        );
        let mut command = Command::new("sqlite3");
        let cost = self.time(command.arg(into).arg(statement), into)?;
        let rows = sql(into, "SELECT count(*) FROM email_schedules")?.trim().parse()?;
        eprintln!("{name}: {:.2} s", cost.wall_seconds);
        let database_mib = mib(into);
        remove_database(into)?;
        Ok(Scenario { name: name.to_owned(), cost, rows, database_mib, report: None })
    }

    /// Runs a command under `time` and watches the log of the database that it writes.
    fn time(&self, command: &mut Command, db: &Path) -> Result<Cost> {
        // What earlier steps have left to write must not be counted here.
        shell::output(&mut Command::new("sync"))?;
        let figures = self.folder.join("time.txt");
        let mut timed = Command::new("/usr/bin/time");
        timed
            .args(["-f", "%e %U %S %M", "-o"])
            .arg(&figures)
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null());
        let log = with_suffix(db, "-wal");
        let ended = AtomicBool::new(false);
        let (stdout, wal_mib) = std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut longest = mib(&log);
                while !ended.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK_EVERY);
                    longest = mib(&log).max(longest);
                }
                longest
            });
            let stdout = shell::output(&mut timed);
            ended.store(true, Ordering::Relaxed);
            (stdout, looking.join().unwrap_or(f64::NAN))
        });
        let text = std::fs::read_to_string(&figures)?;
        let numbers: Vec<f64> =
            text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [wall_seconds, user, system, kib] = numbers[..] else {
            bail!("`time` printed {text:?}");
        };
        let (cpu_seconds, peak_mib) = (user + system, kib / 1024.0);
        Ok(Cost { wall_seconds, cpu_seconds, peak_mib, wal_mib, stdout: stdout? })
    }
}

/// Measures once, or where that takes little time so often that the median says more.
fn repeated(mut measure: impl FnMut() -> Result<Scenario>) -> Result<Scenario> {
    let mut found = vec![measure()?];
    if found[0].cost.wall_seconds < REPEATED_BELOW_SECONDS {
        for _ in 1..REPEATS {
            found.push(measure()?);
        }
    }
    median(found).context("nothing was measured")
}

/// The run of median wall time, with the largest memory of all.
fn median(mut found: Vec<Scenario>) -> Option<Scenario> {
    found.sort_by(|one, other| one.cost.wall_seconds.total_cmp(&other.cost.wall_seconds));
    let peak_mib = found.iter().map(|one| one.cost.peak_mib).fold(0.0, f64::max);
    let mut median = found.swap_remove(found.len().checked_sub(1)? / 2);
    median.cost.peak_mib = peak_mib;
    Some(median)
}

fn copy_database(from: &Path, to: &Path) -> Result<()> {
    remove_database(to)?;
    std::fs::copy(from, to).context("cannot copy a database")?;
    Ok(())
}

fn sql(db: &Path, sql: &str) -> Result<String> {
    shell::output(Command::new("sqlite3").stdin(Stdio::null()).arg("-batch").arg(db).arg(sql))
}

/// Whether cost grows with the number of contacts and not faster: seconds per 100,000 contacts.
fn write_summary(out: &mut String, measured: &[Measured]) -> Result<()> {
    writeln!(out, "\n### Seconds for each 100,000 contacts\n")?;
    write!(out, "| run |")?;
    for size in measured {
        write!(out, " {} contacts |", size.contacts)?;
    }
    writeln!(out, "\n| --- |{}", " ---: |".repeat(measured.len()))?;
    let Some(first) = measured.first() else { return Ok(()) };
    #[expect(clippy::cast_precision_loss, reason = "a number for people")]
    let share =
        |size: &Measured, cost: &Cost| cost.wall_seconds / (size.contacts as f64) * 100_000.0;
    let mut line = |name: &str, cost: &dyn Fn(&Measured) -> Option<Cost>| -> Result<()> {
        write!(out, "| {name} |")?;
        for size in measured {
            let cost = cost(size).context("a run is missing")?;
            write!(out, " {:.2} |", share(size, &cost))?;
        }
        Ok(writeln!(out)?)
    };
    line("`curfew generate`", &|size| Some(size.generated.clone()))?;
    line(&first.baseline.name, &|size| Some(size.baseline.cost.clone()))?;
    for (at, scenario) in first.scenarios.iter().enumerate() {
        line(&scenario.name, &|size| Some(size.scenarios.get(at)?.cost.clone()))?;
    }
    Ok(())
}

fn write_tables(out: &mut String, measured: &Measured) -> Result<()> {
    let Measured { contacts, generated, baseline, baseline_seconds, scenarios } = measured;
    writeln!(out, "\n### {contacts} contacts\n")?;
    let [first, middle, last] = baseline_seconds;
    writeln!(
        out,
        "`curfew generate` took {:.1} s. The baseline took {first:.2} s before, {middle:.2} s between \
         and {last:.2} s after the runs.\n",
        generated.wall_seconds
    )?;
    writeln!(
        out,
        "| run | rows written | wall, s | CPU, s | ratio to baseline | ratio by CPU | peak memory, MiB | database, MiB | WAL at its longest, MiB |"
    )?;
    writeln!(out, "| --- |{}", " ---: |".repeat(8))?;
    for Scenario { name, cost, rows, database_mib, .. } in
        std::iter::once(baseline).chain(scenarios)
    {
        let ratio = cost.wall_seconds / baseline.cost.wall_seconds;
        let by_cpu = cost.cpu_seconds / baseline.cost.cpu_seconds;
        writeln!(
            out,
            "| {name} | {rows} | {:.2} | {:.2} | {ratio:.2} | {by_cpu:.2} | {:.0} | {database_mib:.0} | {:.0} |",
            cost.wall_seconds, cost.cpu_seconds, cost.peak_mib, cost.wal_mib
        )?;
    }
    let stages = ["prepare", "backup", "read", "balance", "write"];
    writeln!(
        out,
        "\nSeconds of each stage, as `curfew run --json` tells them; *rest* is the opening, the \
         checksums after writing and the last sync. And how many messages the daily cap moved to a \
         later day:\n"
    )?;
    writeln!(out, "| run | {} | rest | total | moved by the cap |", stages.join(" | "))?;
    writeln!(out, "| --- |{}", " ---: |".repeat(stages.len() + 3))?;
    for Scenario { name, report, .. } in scenarios {
        let Some(report) = report else { continue };
        let seconds = |stage: &str| report["seconds"][stage].as_f64().unwrap_or(f64::NAN);
        write!(out, "| {name} |")?;
        for stage in stages {
            write!(out, " {:.2} |", seconds(stage))?;
        }
        let total = seconds("total");
        let rest = total - stages.into_iter().map(seconds).sum::<f64>();
        writeln!(out, " {rest:.2} | {total:.2} | {} |", report["moved_by_cap"])?;
    }
    Ok(())
}

/// Puts the tables between the marks of the document.
fn replace_tables(document: &Path, tables: &str) -> Result<()> {
    replace_between(document, BEGIN, END, tables)
}

/// Puts a text between two marks of a document.
pub(crate) fn replace_between(
    document: &Path,
    begin_mark: &str,
    end_mark: &str,
    tables: &str,
) -> Result<()> {
    let text = std::fs::read_to_string(document)
        .with_context(|| format!("cannot read {}", document.display()))?;
    let (Some(begin), Some(end)) = (text.find(begin_mark), text.find(end_mark)) else {
        bail!("{} lacks the marks `{begin_mark}` and `{end_mark}`", document.display());
    };
    let text = format!("{}{tables}\n{}", &text[..begin + begin_mark.len()], &text[end..]);
    std::fs::write(document, text)?;
    eprintln!("rewritten: {}", document.display());
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove_database(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match std::fs::remove_file(with_suffix(path, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("cannot remove an older database"),
        }
    }
    Ok(())
}

/// The backups of the runs: a folder beside the database.
fn remove_backups(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder.join(BACKUPS)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("cannot remove the backups")
        }
        _ => Ok(()),
    }
}

fn mib(path: &Path) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    std::fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(wall_seconds: f64, peak_mib: f64) -> Scenario {
        let cost =
            Cost { wall_seconds, cpu_seconds: 1.0, peak_mib, wal_mib: 0.0, stdout: String::new() };
        Scenario { name: "run".into(), cost, rows: 0, database_mib: 0.0, report: None }
    }

    #[test]
    fn the_median_of_a_short_run_counts_and_a_long_one_is_measured_once() {
        let mut times = [4.0, 9.0, 1.0].into_iter();
        let short = repeated(|| Ok(took(times.next().unwrap(), 1.0))).unwrap();
        assert!((short.cost.wall_seconds - 4.0).abs() < 1e-9);
        let long = repeated(|| Ok(took(9.0, 1.0))).unwrap();
        assert!((long.cost.wall_seconds - 9.0).abs() < 1e-9);
        assert!(median(Vec::new()).is_none());
        let largest = median(vec![took(1.0, 7.0), took(2.0, 3.0), took(3.0, 5.0)]).unwrap();
        assert!((largest.cost.peak_mib - 7.0).abs() < 1e-9);
        assert!((largest.cost.wall_seconds - 2.0).abs() < 1e-9);
    }
}
