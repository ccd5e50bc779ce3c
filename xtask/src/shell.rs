//! Running other programs: echoed before they start, without a standard input, output untouched.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The cargo that runs this task, so that a toolchain chosen with `cargo +NAME` stays chosen.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// A command in `folder`, from words separated by spaces. The first word `cargo` means [`cargo`].
pub(crate) fn command(folder: &Path, line: &str) -> Command {
    let mut words = line.split_whitespace();
    let program = match words.next().unwrap_or_default() {
        "cargo" => cargo(),
        program => program.to_owned(),
    };
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs `command` with its output passed through.
///
/// # Errors
/// When it cannot be started, or ends with another exit code than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = written(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs `command` and returns what it wrote to standard output.
///
/// # Errors
/// As [`run`], and when the output is not UTF-8. The error carries what the command wrote to
/// standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = written(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` ended with {}\n{}", output.status, errors.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote no UTF-8"))
}

/// Whether `command` can be started and ends with exit code 0. Its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as a person would type it.
fn written(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_other_than_zero_is_an_error_that_names_the_command() {
        let error = run(&mut command(Path::new("."), "cargo no-such-subcommand")).unwrap_err();
        assert!(error.to_string().starts_with("`cargo no-such-subcommand` ended with"), "{error}");
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let error = output(&mut command(Path::new("."), "no-such-program")).unwrap_err();
        assert!(error.to_string().contains("cannot start `no-such-program`"), "{error}");
        assert!(!succeeds(&mut command(Path::new("."), "no-such-program")));
    }
}
