//! `cargo xtask bench diff`: comparing two databases, beside `sqldiff` on the same files in the same
//! session. Rewrites its own table in `docs/performance.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::bench::replace_between;
use crate::shell;

const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- begin: cargo xtask bench diff -->";
const END: &str = "<!-- end: cargo xtask bench diff -->";
const ROWS: u64 = 3_000_000;
/// Each program runs this often on each pair of files, in turn; the fastest run counts.
const RUNS: usize = 3;

/// What is done to a copy of the database.
const SCENARIOS: [(&str, &str); 6] = [
    ("unchanged", ""),
    (
        "1% changed, every hundredth row",
        "UPDATE plan SET scheduled_on = date(scheduled_on, '+1 day') WHERE id % 100 = 0",
    ),
    (
        "1% changed, in one piece",
        "UPDATE plan SET scheduled_on = date(scheduled_on, '+1 day')
         WHERE id * 3 / (SELECT max(id) FROM plan) = 1 AND id * 100 / (SELECT max(id) FROM plan) = 50",
    ),
    ("1% deleted, every hundredth row", "DELETE FROM plan WHERE id % 100 = 0"),
    (
        "1% inserted at the end",
        "INSERT INTO plan SELECT id + (SELECT max(id) FROM plan), contact_id, kind, scheduled_on, status, subject
         FROM plan WHERE id % 100 = 0",
    ),
    // Pages cannot be compared then.
    ("unchanged, other page size", "PRAGMA page_size = 8192; VACUUM"),
];

#[derive(Clone, Copy, Debug)]
struct Cost {
    wall_seconds: f64,
    cpu_seconds: f64,
    peak_mib: f64,
}

/// `cargo xtask bench diff [ROWS]`: three million rows unless told otherwise.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let rows = match arguments {
        [] => ROWS,
        [rows] => rows
            .replace([',', '_'], "")
            .parse()
            .with_context(|| format!("`{rows}` is not a number of rows"))?,
        _ => bail!("usage: cargo xtask bench diff [ROWS]"),
    };
    for (tool, package) in
        [("sqlite3", "sqlite3"), ("sqldiff", "sqlite3-tools"), ("/usr/bin/time", "time")]
    {
        // Their exit codes differ; that they can be started is enough.
        if Command::new(tool).arg("--help").stdin(Stdio::null()).output().is_err() {
            bail!("`{tool}` is missing: apt-get install {package}");
        }
    }
    let build = "cargo build --release --locked -p libsql-diff --example diff";
    shell::run(&mut shell::command(root, build))?;
    let program = root.join("target/release/examples/diff");
    let folder = root.join("target/bench-diff");
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(&program, &folder, rows);
    // The files are large.
    std::fs::remove_dir_all(&folder).context("cannot remove the benchmark's files")?;
    replace_between(&root.join(DOCUMENT), BEGIN, END, &format!("\n{}", outcome?))
}

fn measure(program: &Path, folder: &Path, rows: u64) -> Result<String> {
    let (a, b) = (folder.join("a.db"), folder.join("b.db"));
    create(&a, rows)?;
    let mut text = format!(
        "\n### {rows} rows, {:.0} MiB\n\n\
         | difference | `sqldiff`, wall s | CPU s | libsql-diff, wall s | CPU s | times as fast, wall | by CPU | peak memory, MiB |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        mib(&a)
    );
    for (name, change) in SCENARIOS {
        std::fs::copy(&a, &b)?;
        if !change.is_empty() {
            sql(&b, &format!("PRAGMA synchronous = OFF; {change}"))?;
        }
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            theirs.push(time(folder, Command::new("sqldiff").args([&a, &b]))?);
            let out = folder.join("out.diff");
            ours.push(time(folder, Command::new(program).args([&a, &b, &out]))?);
        }
        let (theirs, ours) = (fastest(&theirs), fastest(&ours));
        eprintln!("{name}: sqldiff {:.2} s, {:.2} s", theirs.wall_seconds, ours.wall_seconds);
        writeln!(
            text,
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.0} |",
            theirs.wall_seconds,
            theirs.cpu_seconds,
            ours.wall_seconds,
            ours.cpu_seconds,
            theirs.wall_seconds / ours.wall_seconds,
            theirs.cpu_seconds / ours.cpu_seconds,
            ours.peak_mib,
        )?;
    }
    Ok(text)
}

/// A table like a plan of messages: rows of about 100 bytes, two indexes.
fn create(path: &Path, rows: u64) -> Result<()> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    sql(
        path,
        &format!(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
             CREATE TABLE plan(id INTEGER PRIMARY KEY, contact_id INTEGER NOT NULL, kind TEXT NOT NULL,
               scheduled_on TEXT NOT NULL, status TEXT NOT NULL, subject TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO plan SELECT i, i / 3,
               CASE i % 3 WHEN 0 THEN 'birthday' WHEN 1 THEN 'effective_date' ELSE 'aep' END,
               date('2026-11-20', (i * 7919 % 700) || ' days'),
               CASE WHEN i % 5 THEN 'pre-scheduled' ELSE 'skipped' END,
               'Your plan, and what it means for ' || (i * 2654435761 % 4294967296) FROM n;
             CREATE INDEX plan_status ON plan(status, scheduled_on);
             CREATE INDEX plan_contact ON plan(contact_id);"
        ),
    )?;
    Ok(())
}

fn sql(database: &Path, sql: &str) -> Result<String> {
    let mut command = Command::new("sqlite3");
    shell::output(command.stdin(Stdio::null()).args(["-batch", "-bail"]).arg(database).arg(sql))
}

/// Runs a command under `time`, its output dropped.
fn time(folder: &Path, command: &mut Command) -> Result<Cost> {
    let figures: PathBuf = folder.join("time.txt");
    let mut timed = Command::new("/usr/bin/time");
    timed
        .args(["-f", "%e %U %S %M", "-o"])
        .arg(&figures)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = timed.status().context("cannot start /usr/bin/time")?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().to_string_lossy());
    }
    let text = std::fs::read_to_string(&figures)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall_seconds, user, system, kib] = numbers[..] else {
        bail!("`time` printed {text:?}");
    };
    Ok(Cost { wall_seconds, cpu_seconds: user + system, peak_mib: kib / 1024.0 })
}

/// The fastest run, which others disturbed least; the largest memory of all.
fn fastest(costs: &[Cost]) -> Cost {
    let least = |figure: fn(&Cost) -> f64| costs.iter().map(figure).fold(f64::INFINITY, f64::min);
    Cost {
        wall_seconds: least(|cost| cost.wall_seconds),
        cpu_seconds: least(|cost| cost.cpu_seconds),
        peak_mib: costs.iter().map(|cost| cost.peak_mib).fold(0.0, f64::max),
    }
}

fn mib(path: &Path) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    std::fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1_048_576.0)
}
