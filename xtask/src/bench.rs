//! `cargo xtask bench`: how long a run takes and how much memory, beside the `sqlite3` shell inserting
//! as many rows into the same schema, both in one session. Rewrites the tables of
//! `docs/performance.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// The day that every plan of the benchmark is made for; the sample data is made around it.
const TODAY: &str = "2026-11-20";
const TOMORROW: &str = "2026-11-21";
/// Five days before the enrollment date, so that all its messages fall into the plan at once.
const BEFORE_AEP: &str = "2027-09-10";

const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- begin: cargo xtask bench -->";
const END: &str = "<!-- end: cargo xtask bench -->";

/// What one process took.
#[derive(Clone, Debug)]
struct Cost {
    wall_seconds: f64,
    cpu_seconds: f64,
    peak_mib: f64,
}

struct Scenario {
    name: &'static str,
    cost: Cost,
    /// Rows written, or a remark.
    rows: String,
    database_mib: f64,
    wal_mib: f64,
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

    let mut text = String::new();
    for size in sizes {
        let (baseline, scenarios) = bench.measure(size)?;
        write_table(&mut text, size, &baseline, &scenarios)?;
    }
    replace_tables(&root.join(DOCUMENT), &text)
}

struct Bench {
    curfew: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn measure(&self, contacts: u64) -> Result<(Scenario, Vec<Scenario>)> {
        let fresh = self.folder.join("contacts.db");
        let db = self.folder.join("plan.db");
        let base = self.folder.join("baseline.db");
        for file in [&fresh, &db, &base] {
            remove_database(file)?;
        }
        eprintln!("\n==== {contacts} contacts");
        let mut generate = Command::new(&self.curfew);
        generate.args(["generate", "--seed", "1", "--contacts", &contacts.to_string(), "--out"]);
        let made = self.time(generate.arg(&fresh))?;
        eprintln!("generated in {:.1} s", made.wall_seconds);
        std::fs::copy(&fresh, &db)?;

        let mut scenarios = vec![self.plan("cold", &db, TODAY)?];
        let baseline = self.baseline(&db, &base)?;
        remove_database(&base)?;
        scenarios.push(self.plan("unchanged", &db, TODAY)?);
        sql(
            &db,
            "UPDATE contacts SET birth_date = date(birth_date, '+17 days') WHERE id % 100 = 0",
        )?;
        scenarios.push(self.plan("1% of the contacts changed", &db, TODAY)?);
        scenarios.push(self.plan("next day", &db, TOMORROW)?);
        remove_database(&db)?;

        std::fs::copy(&fresh, &db)?;
        scenarios.push(self.plan("cold, five days before the aep date", &db, BEFORE_AEP)?);
        remove_database(&db)?;

        std::fs::copy(&fresh, &db)?;
        let config = self.folder.join("blast.yaml");
        std::fs::write(
            &config,
            "campaign_types:\n  blast: {target_all_contacts: true, priority: 5}\n\
             campaign_instances:\n  - {campaign_type: blast, instance_name: first, \
             email_template: blast, active_start_date: 2026-11-20, active_end_date: 2027-02-20}\n",
        )?;
        let before = ["--config", config.to_str().context("the folder's name is not UTF-8")?];
        scenarios.push(self.plan_with("cold, initial blast to all", &db, TODAY, &before)?);
        for file in [&fresh, &db, &base] {
            remove_database(file)?;
        }
        Ok((baseline, scenarios))
    }

    fn plan(&self, name: &'static str, db: &Path, today: &str) -> Result<Scenario> {
        self.plan_with(name, db, today, &[])
    }

    fn plan_with(
        &self,
        name: &'static str,
        db: &Path,
        today: &str,
        more: &[&str],
    ) -> Result<Scenario> {
        let mut command = Command::new(&self.curfew);
        command.arg("run").arg("--db").arg(db).args(["--today", today]).args(more);
        let cost = self.time(&mut command)?;
        let rows = sql(
            db,
            "SELECT rows_inserted + rows_updated + rows_expired + rows_deleted FROM scheduler_checkpoints ORDER BY rowid DESC LIMIT 1",
        )?;
        let scenario = Scenario {
            name,
            cost,
            rows: rows.trim().to_owned(),
            database_mib: mib(db),
            wal_mib: mib(&with_suffix(db, "-wal")),
        };
        eprintln!("{name}: {:.2} s, {:.0} MiB", scenario.cost.wall_seconds, scenario.cost.peak_mib);
        Ok(scenario)
    }

    /// The shell inserts all rows of the plan into an empty database of the same schema.
    fn baseline(&self, planned: &Path, into: &Path) -> Result<Scenario> {
        let schema = sql(planned, ".schema email_schedules")?;
        sql(into, &format!("PRAGMA page_size = 16384; PRAGMA journal_mode = wal;\n{schema}"))?;
        let statement = format!(
            "PRAGMA cache_size = -65536; ATTACH '{}' AS planned; \
             INSERT INTO email_schedules SELECT * FROM planned.email_schedules;",
            planned.display()
        );
        let mut command = Command::new("sqlite3");
        let cost = self.time(command.arg(into).arg(statement))?;
        let rows = sql(into, "SELECT count(*) FROM email_schedules")?;
        eprintln!("baseline: {:.2} s", cost.wall_seconds);
        Ok(Scenario {
            name: "baseline: `sqlite3` inserts the rows of the cold run",
            cost,
            rows: rows.trim().to_owned(),
            database_mib: mib(into),
            wal_mib: mib(&with_suffix(into, "-wal")),
        })
    }

    /// Runs a command under `time`, its output dropped.
    fn time(&self, command: &mut Command) -> Result<Cost> {
        let figures = self.folder.join("time.txt");
        let mut timed = Command::new("/usr/bin/time");
        timed
            .args(["-f", "%e %U %S %M", "-o"])
            .arg(&figures)
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null());
        shell::output(&mut timed)?;
        let text = std::fs::read_to_string(&figures)?;
        let numbers: Vec<f64> =
            text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [wall_seconds, user, system, kib] = numbers[..] else {
            bail!("`time` printed {text:?}");
        };
        Ok(Cost { wall_seconds, cpu_seconds: user + system, peak_mib: kib / 1024.0 })
    }
}

fn sql(db: &Path, sql: &str) -> Result<String> {
    shell::output(Command::new("sqlite3").stdin(Stdio::null()).arg("-batch").arg(db).arg(sql))
}

fn write_table(
    out: &mut String,
    contacts: u64,
    baseline: &Scenario,
    scenarios: &[Scenario],
) -> Result<()> {
    writeln!(out, "\n### {contacts} contacts\n")?;
    writeln!(
        out,
        "| run | rows written | wall, s | CPU, s | ratio to baseline | peak memory, MiB | database, MiB | WAL, MiB |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for scenario in std::iter::once(baseline).chain(scenarios) {
        let Scenario { name, cost, rows, database_mib, wal_mib } = scenario;
        let ratio = cost.wall_seconds / baseline.cost.wall_seconds;
        writeln!(
            out,
            "| {name} | {rows} | {:.2} | {:.2} | {ratio:.2} | {:.0} | {database_mib:.0} | {wal_mib:.0} |",
            cost.wall_seconds, cost.cpu_seconds, cost.peak_mib
        )?;
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

fn mib(path: &Path) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    std::fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1_048_576.0)
}
