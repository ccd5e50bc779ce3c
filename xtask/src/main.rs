//! The project's own tasks. `cargo xtask ci` is the whole gate, the same here and in CI.
//!
//! Every step of the gate can be run alone: `cargo xtask lint`. A step prints what it runs, passes
//! the output of the tools through untouched, and fails with the command that repeats it.

#![expect(clippy::print_stderr, reason = "a task runner exists to talk to the terminal")]

mod bench;
mod bench_diff;
mod bench_sync;
mod documents;
mod shell;
mod steps;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// What a step may look at.
#[derive(Debug)]
pub(crate) struct Task {
    /// The folder of the workspace, absolute.
    pub(crate) root: PathBuf,
    /// `docs --write`: bring the documents up to date instead of comparing them.
    pub(crate) write: bool,
}

/// How a step ended, when it did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Nothing was checked, and why. Kept apart so that an empty step never reads as a passed one.
    Skipped(String),
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Task) -> Result<Outcome>,
}

/// The gate, in order: what fails fast comes first.
const STEPS: &[Step] = &[
    Step { name: "fmt", about: "the code is formatted (cargo fmt)", run: steps::fmt },
    Step {
        name: "tidy",
        about: "the rules of the workspace that no compiler checks",
        run: tidy::run,
    },
    Step { name: "lint", about: "clippy without a warning, on all targets", run: steps::lint },
    Step { name: "docs", about: "generated documents are up to date", run: documents::run },
    Step { name: "test", about: "all tests of the workspace", run: steps::test },
    Step { name: "doctest", about: "examples in the documentation run", run: steps::doctest },
    Step { name: "deny", about: "licences, bans and sources of dependencies", run: steps::deny },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("bench", sizes)) = arguments.split_first().map(|(first, rest)| (&**first, rest)) {
        let outcome = match sizes.split_first() {
            Some((first, rest)) if first == "diff" => bench_diff::run(&workspace_root(), rest),
            Some((first, [])) if first == "sync" => bench_sync::run(&workspace_root()),
            Some((first, [])) if first == "micro" => bench::micro::run(&workspace_root()),
            _ => bench::run(&workspace_root(), sizes),
        };
        return match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if arguments == ["sqld"] {
        return match tools::sqld(&workspace_root()) {
            Ok(program) => {
                eprintln!("tests start the libSQL server in {}", program.display());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let invocation = match parse(&arguments) {
        Ok(invocation) => invocation,
        Err(error) => {
            eprintln!("error: {error:#}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    let Invocation { steps, task } = invocation;
    if steps.is_empty() {
        eprintln!("{}", usage());
        return ExitCode::SUCCESS;
    }
    run(&steps, &task)
}

struct Invocation {
    steps: Vec<&'static Step>,
    task: Task,
}

fn parse(arguments: &[String]) -> Result<Invocation> {
    let mut steps = Vec::new();
    let mut root = workspace_root();
    let mut write = false;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "help" | "-h" | "--help" => {
                return Ok(Invocation { steps: vec![], task: Task { root, write: false } });
            }
            "ci" => steps.extend(STEPS),
            "--write" => write = true,
            "--root" => {
                let folder = rest.next().context("--root needs a folder")?;
                root = Path::new(folder)
                    .canonicalize()
                    .with_context(|| format!("--root {folder}: no such folder"))?;
            }
            name => steps.push(
                STEPS
                    .iter()
                    .find(|step| step.name == name)
                    .with_context(|| format!("no step is called `{name}`"))?,
            ),
        }
    }
    if steps.is_empty() {
        bail!("name a step, or `ci` for all of them");
    }
    if write && steps.iter().any(|step| step.name != "docs") {
        bail!("--write belongs to `docs` alone");
    }
    Ok(Invocation { steps, task: Task { root, write } })
}

fn usage() -> String {
    let steps = STEPS.iter().map(|step| format!("  {:<8} {}", step.name, step.about));
    let lines = [
        "usage: cargo xtask ci | STEP… [--root FOLDER]\n".to_owned(),
        "  ci       the whole gate: every step below, in this order".to_owned(),
    ];
    let write = "\n  docs --write   rewrite the generated documents that are stale\n  sqld           install the libSQL server for tests that start it\n  bench [CONTACTS…]   measure (100,000, 1,000,000 and 3,000,000), and rewrite docs/performance.md\n  bench diff [ROWS]   the same for comparing databases\n  bench micro         the same for the micro-benchmarks\n  bench sync          the same for pushing and pulling"
        .to_owned();
    lines.into_iter().chain(steps).chain([write]).collect::<Vec<_>>().join("\n")
}

/// Runs the steps in order and stops at the first that fails.
fn run(steps: &[&Step], task: &Task) -> ExitCode {
    let mut report: Vec<(&str, Outcome, Duration)> = Vec::new();
    for step in steps {
        eprintln!("\n==== {}: {}", step.name, step.about);
        let started_at = Instant::now();
        match (step.run)(task) {
            Ok(outcome) => report.push((step.name, outcome, started_at.elapsed())),
            Err(error) => {
                eprintln!("\nerror: {error:#}");
                eprintln!("FAILED: {}; run it alone with: cargo xtask {}", step.name, step.name);
                return ExitCode::FAILURE;
            }
        }
    }
    eprintln!();
    for (name, outcome, taken) in &report {
        let seconds = taken.as_secs_f64();
        match outcome {
            Outcome::Passed => eprintln!("passed   {name:<8} {seconds:>6.1} s"),
            Outcome::Skipped(why) => eprintln!("SKIPPED  {name:<8} {why}"),
        }
    }
    ExitCode::SUCCESS
}

/// The workspace this program was built from; `--root` names another one.
fn workspace_root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Vec<&'static str>> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Ok(parse(&words)?.steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn ci_is_every_step() {
        assert_eq!(parsed("ci").unwrap(), STEPS.iter().map(|step| step.name).collect::<Vec<_>>());
    }

    #[test]
    fn every_step_runs_alone() {
        for step in STEPS {
            assert_eq!(parsed(step.name).unwrap(), [step.name]);
        }
    }

    #[test]
    fn what_is_not_a_step_is_an_error() {
        for line in ["", "cii", "ci --wirte", "lint --write", "tidy --root"] {
            assert!(parsed(line).is_err(), "`{line}` was accepted");
        }
    }
}
