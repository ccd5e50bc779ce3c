//! The steps of the gate that hand over to another tool.

use anyhow::Result;

use crate::shell::{command, run, succeeds};
use crate::{Outcome, Task, tidy, tools};

pub(crate) fn fmt(task: &Task) -> Result<Outcome> {
    run(&mut command(&task.root, "cargo fmt --all --check"))?;
    Ok(Outcome::Passed)
}

pub(crate) fn lint(task: &Task) -> Result<Outcome> {
    let line = "cargo clippy --workspace --all-targets --locked -- -D warnings";
    run(&mut command(&task.root, line))?;
    Ok(Outcome::Passed)
}

/// All tests, with nextest where it is installed: it runs each test in a process of its own and
/// ends one that hangs. Without it, `cargo test` runs the same tests.
pub(crate) fn test(task: &Task) -> Result<Outcome> {
    tools::install_debian_packages()?;
    let sqld = if tidy::Workspace::load(&task.root)?.needs_sqld() {
        Some(tools::sqld(&task.root)?)
    } else {
        None
    };
    let nextest = succeeds(&mut command(&task.root, "cargo nextest --version"));
    let line = if nextest {
        "cargo nextest run --workspace --locked --no-fail-fast --config-file xtask/nextest.toml"
    } else {
        "cargo test --workspace --tests --locked --no-fail-fast"
    };
    let mut tests = command(&task.root, line);
    // The gate compares with the expected output of cases and never rewrites it.
    tests.env_remove("UPDATE_EXPECT");
    if let Some(sqld) = sqld {
        tests.env(tools::SQLD_VARIABLE, sqld);
    }
    run(&mut tests)?;
    // Another build of SQLite, which takes a good minute of processor time, once.
    let line = "cargo test -p libsql-link --features encryption --test encryption --locked";
    run(&mut command(&task.root, line))?;
    Ok(Outcome::Passed)
}

pub(crate) fn doctest(task: &Task) -> Result<Outcome> {
    run(&mut command(&task.root, "cargo test --doc --workspace --locked"))?;
    Ok(Outcome::Passed)
}

/// No `advisories`: their database is fetched from the network on every run, so that the gate would
/// turn red without a change of ours. Licences, bans and sources depend on `Cargo.lock` alone.
pub(crate) fn deny(task: &Task) -> Result<Outcome> {
    let mut deny = tools::cargo_deny(&task.root)?;
    run(deny.args(["--locked", "check", "bans", "licenses", "sources"]))?;
    Ok(Outcome::Passed)
}
