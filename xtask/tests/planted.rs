//! The gate can fail: every rule is broken once, in a small workspace made for the purpose, and the
//! real program must notice that and nothing else.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A workspace that keeps every rule, and in which each rule has something to look at.
const SOUND: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\nexclude = [\"vendored\"]\n\
         [workspace.lints.rust]\nunsafe_code = \"deny\"\n",
    ),
    (
        "crates/curfew-engine/Cargo.toml",
        "[package]\nname = \"curfew-engine\"\nedition = \"2024\"\n[lints]\nworkspace = true\n\
         [dependencies]\n[dev-dependencies]\ntestkit = { path = \"../testkit\" }\n",
    ),
    ("crates/curfew-engine/src/lib.rs", "#[cfg(test)]\nmod tests {\n#[test]\nfn a() {}\n}\n"),
    ("crates/curfew-engine/cases/birthday/nevada.case", "Nevada closes with the month\n---\n"),
    (
        "crates/curfew/Cargo.toml",
        "[package]\nname = \"curfew\"\nedition = \"2024\"\n[lints]\nworkspace = true\n\
         [dependencies]\ncurfew-engine = { path = \"../curfew-engine\" }\n\
         libsql-ffi = { path = \"../../vendored/libsql-ffi\" }\n",
    ),
    ("crates/curfew/src/lib.rs", "#[expect(dead_code, reason = \"read by C\")]\nfn a() {}\n"),
    (
        "crates/testkit/Cargo.toml",
        "[package]\nname = \"testkit\"\nedition = \"2024\"\n[lints]\nworkspace = true\n\
         [dependencies]\ncurfew-engine = { path = \"../curfew-engine\" }\n",
    ),
    ("crates/testkit/src/lib.rs", ""),
    ("vendored/libsql-ffi/Cargo.toml", "[package]\nname = \"libsql-ffi\"\nversion = \"0.10.0\"\n"),
    ("vendored/libsql-ffi/src/lib.rs", ""),
    ("README.md", "[rules](docs/rules.md)\n"),
    ("docs/rules.md", "[up](../README.md)\n"),
];

struct Workspace {
    folder: TempDir,
}

impl Workspace {
    fn sound() -> Self {
        let workspace = Workspace { folder: tempfile::tempdir().unwrap() };
        for (file, text) in SOUND {
            workspace.write(file, text);
        }
        workspace
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    fn append(&self, file: &str, text: &str) {
        self.write(file, &(self.read(file) + text));
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} does not contain `{from}`");
        self.write(file, &text.replace(from, to));
    }

    /// Adds a crate, or with a folder in `vendored/` a package from elsewhere.
    fn add_crate(&self, folder: &str, name: &str, version: &str) {
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n");
        let lints = if folder.starts_with("crates") { "[lints]\nworkspace = true\n" } else { "" };
        self.write(&format!("{folder}/Cargo.toml"), &(manifest + lints));
        self.write(&format!("{folder}/src/lib.rs"), "");
    }

    fn tidy(&self) -> Output {
        let lock = ["generate-lockfile", "--offline", "--quiet"];
        let lock = cargo().args(lock).current_dir(&self.folder).output().unwrap();
        assert!(lock.status.success(), "{}", String::from_utf8_lossy(&lock.stderr));
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["tidy", "--root"])
            .arg(self.folder.path())
            .output()
            .unwrap()
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
}

fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Breaks the sound workspace with `plant` and expects exactly the problems that start so.
#[track_caller]
fn check(plant: impl FnOnce(&Workspace), expected: &[&str]) {
    let workspace = Workspace::sound();
    plant(&workspace);
    let output = workspace.tidy();
    let talk = talk(&output);
    assert_eq!(output.status.code(), Some(1), "the planted problem went unnoticed:\n{talk}");
    assert!(talk.contains("run it alone with: cargo xtask tidy"), "{talk}");

    let problems: Vec<&str> = talk.lines().filter(|line| line.ends_with(']')).collect();
    let as_expected = problems.len() == expected.len()
        && problems.iter().zip(expected).all(|(problem, start)| problem.starts_with(start));
    assert!(as_expected, "expected {expected:#?}, found {problems:#?}");
}

#[test]
fn a_sound_workspace_passes() {
    let output = Workspace::sound().tidy();
    let talk = talk(&output);
    assert!(output.status.success(), "{talk}");
    assert!(talk.contains("crates 3, Rust files 4, case files 1, Markdown files 2"), "{talk}");
}

#[test]
fn a_dependency_on_a_higher_tier_is_noticed() {
    check(
        |workspace| {
            workspace.add_crate("crates/curfew-store", "curfew-store", "0.1.0");
            workspace.replace(
                "crates/curfew-engine/Cargo.toml",
                "[dependencies]\n",
                "[dependencies]\ncurfew-store = { path = \"../curfew-store\" }\n",
            );
        },
        &["crates/curfew-engine/Cargo.toml: depends on curfew-store: a crate of tier 0"],
    );
}

#[test]
fn a_dependency_on_a_door_is_noticed_even_in_tests() {
    check(
        |workspace| {
            workspace.add_crate("crates/turso-ffi", "turso-ffi", "0.1.0");
            workspace.append(
                "crates/curfew/Cargo.toml",
                "[dev-dependencies]\nturso-ffi = { path = \"../turso-ffi\" }\n",
            );
        },
        &["crates/curfew/Cargo.toml: depends on turso-ffi: it is a door"],
    );
}

#[test]
fn a_normal_dependency_on_testkit_is_noticed_under_another_name_too() {
    check(
        |workspace| {
            workspace.append(
                "crates/curfew/Cargo.toml",
                "samples = { package = \"testkit\", path = \"../testkit\" }\n",
            );
        },
        &["crates/curfew/Cargo.toml: depends on testkit: it may only be a dev-dependency"],
    );
}

#[test]
fn a_crate_without_a_tier_is_noticed() {
    check(
        |workspace| workspace.add_crate("crates/curfew-mail", "curfew-mail", "0.1.0"),
        &["crates/curfew-mail: no tier is declared"],
    );
}

#[test]
fn a_folder_with_another_name_than_its_crate_is_noticed() {
    check(
        |workspace| workspace.add_crate("crates/store", "curfew-store", "0.1.0"),
        &["crates/store: the folder of crate curfew-store must bear its name"],
    );
}

#[test]
fn a_drawer_for_everything_is_noticed() {
    check(
        |workspace| workspace.write("crates/curfew/src/utils.rs", "mod helpers {}\n"),
        &["crates/curfew/src/utils.rs: `utils`", "crates/curfew/src/utils.rs:1: `helpers`"],
    );
}

#[test]
fn a_crate_without_the_lints_is_noticed() {
    check(
        |workspace| {
            workspace.replace("crates/testkit/Cargo.toml", "[lints]\nworkspace = true\n", "");
        },
        &["crates/testkit/Cargo.toml: does not inherit"],
    );
}

#[test]
fn a_second_sqlite_is_noticed() {
    check(
        |workspace| {
            workspace.add_crate("vendored/libsqlite3-sys", "libsqlite3-sys", "0.30.1");
            workspace.append(
                "crates/testkit/Cargo.toml",
                "libsqlite3-sys = { path = \"../../vendored/libsqlite3-sys\" }\n",
            );
        },
        &["Cargo.lock: libsqlite3-sys 0.30.1 would be a second SQLite"],
    );
}

#[test]
fn a_second_libsql_is_noticed_behind_a_feature_too() {
    check(
        |workspace| {
            workspace.add_crate("vendored/older", "libsql-ffi", "0.9.30");
            workspace.append(
                "crates/curfew/Cargo.toml",
                "older = { package = \"libsql-ffi\", path = \"../../vendored/older\", \
                 optional = true }\n",
            );
        },
        &["Cargo.lock: libsql-ffi comes in the versions"],
    );
}

#[test]
fn ignored_and_sleeping_tests_are_noticed() {
    let test = "#[test]\n#[ignore = \"slow\"]\nfn a() {\n    std::thread::sleep(WAIT);\n}\n";
    check(
        |workspace| workspace.write("crates/curfew/tests/run.rs", test),
        &[
            "crates/curfew/tests/run.rs:2: a test that does not run",
            "crates/curfew/tests/run.rs:4: a test does not sleep",
        ],
    );
}

#[test]
fn an_allowed_lint_without_a_reason_is_noticed() {
    check(
        |workspace| {
            workspace.append("crates/curfew/src/lib.rs", "#[allow(dead_code)]\nfn b() {}\n");
        },
        &["crates/curfew/src/lib.rs:3: say why"],
    );
}

#[test]
fn a_case_without_a_claim_is_noticed() {
    let case = "today 2026-03-01\n---\n";
    check(
        |workspace| workspace.write("crates/curfew-engine/cases/ohio.case", case),
        &["crates/curfew-engine/cases/ohio.case:1: the first line must be the claim"],
    );
}

#[test]
fn a_link_to_nowhere_is_noticed() {
    check(
        |workspace| workspace.append("docs/rules.md", "\n[gone](states/ohio.md)\n"),
        &["docs/rules.md:3: the link `states/ohio.md`"],
    );
}

#[test]
fn all_problems_are_reported_not_only_the_first() {
    check(
        |workspace| {
            workspace.write("crates/curfew/src/common.rs", "#[allow(dead_code)]\nfn b() {}\n");
            workspace.append("README.md", "\n[gone](gone.md)\n");
        },
        &[
            "crates/curfew/src/common.rs: `common`",
            "crates/curfew/src/common.rs:1: say why",
            "README.md:3: the link `gone.md`",
        ],
    );
}

/// Clippy's own ban list is a file of names that nothing else proves to be spelled right.
#[test]
fn the_engine_cannot_reach_clocks_files_threads_or_random_order() {
    const REACHES: &[(&str, &str)] = &[
        ("let _ = std::time::SystemTime::now();", "std::time::SystemTime::now"),
        ("let _ = std::time::Instant::now();", "std::time::Instant::now"),
        ("let _ = jiff::Timestamp::now();", "jiff::Timestamp::now"),
        ("let _ = jiff::Zoned::now();", "jiff::Zoned::now"),
        ("let _ = std::fs::read(\"a\");", "std::fs::read"),
        ("let _ = std::fs::write(\"a\", \"b\");", "std::fs::write"),
        ("let _ = std::fs::File::open(\"a\");", "std::fs::File"),
        ("let _ = std::env::var(\"TZ\");", "std::env::var"),
        ("let _ = std::thread::spawn(|| ());", "std::thread::spawn"),
        ("let _ = std::collections::HashMap::<u8, u8>::new();", "std::collections::HashMap"),
        ("let _ = std::collections::HashSet::<u8>::new();", "std::collections::HashSet"),
    ];
    let mut source = String::new();
    for (at, (statement, _)) in REACHES.iter().enumerate() {
        writeln!(source, "pub fn reach_{at}() {{ {statement} }}").unwrap();
    }
    let workspace = Workspace { folder: tempfile::tempdir().unwrap() };
    workspace.add_crate("jiff", "jiff", "0.2.0");
    let jiff = "pub struct Zoned;\nimpl Zoned { pub fn now() {} }\n\
                pub struct Timestamp;\nimpl Timestamp { pub fn now() {} }\n";
    workspace.write("jiff/src/lib.rs", jiff);
    workspace.add_crate("engine", "engine", "0.1.0");
    let dependency =
        "edition = \"2024\"\n[dependencies]\njiff = { path = \"../jiff\" }\n[workspace]\n";
    workspace.append("engine/Cargo.toml", dependency);
    workspace.write("engine/src/lib.rs", &source);
    let bans = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/curfew-engine/clippy.toml");
    workspace.write("engine/clippy.toml", &std::fs::read_to_string(bans).unwrap());

    let output = cargo()
        .args(["clippy", "--offline", "--", "-D", "clippy::disallowed_methods"])
        .args(["-D", "clippy::disallowed_types"])
        .current_dir(workspace.folder.path().join("engine"))
        .env("CARGO_TARGET_DIR", workspace.folder.path().join("target"))
        .output()
        .unwrap();
    let talk = talk(&output);
    assert!(!output.status.success(), "{talk}");
    for (_, name) in REACHES {
        assert!(talk.contains(&format!("`{name}`")), "{name} is not banned:\n{talk}");
    }
}
