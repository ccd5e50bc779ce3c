//! Rules of the workspace that no compiler checks.
//!
//! Each rule is one file with its reason and its tests; `xtask/tests/planted.rs` breaks every rule
//! in a small workspace and expects this very program to notice.

mod cases;
mod links;
mod manifests;
mod names;
mod sources;
mod sqlite;
mod tiers;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::shell::{command, output};
use crate::{Outcome, Task};

/// A rule that does not hold somewhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The rule's name, as in the list of `CONTRIBUTING.md`.
    rule: &'static str,
    /// A file or folder relative to the workspace, with `:LINE` where there is one.
    place: String,
    /// What is wrong and what to do about it.
    message: String,
}

impl Problem {
    fn new(rule: &'static str, place: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { rule, place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.place, self.message, self.rule)
    }
}

/// Checks every rule and reports all problems, not only the first.
///
/// # Errors
/// When a rule does not hold, or when the workspace cannot be read.
pub(crate) fn run(task: &Task) -> Result<Outcome> {
    let workspace = Workspace::load(&task.root)?;
    let tree = Tree::load(&task.root)?;
    let mut problems = Vec::new();
    tiers::check(&workspace, &mut problems);
    names::check(&workspace, &tree, &mut problems);
    manifests::check(&workspace, &tree, &mut problems)?;
    sqlite::check(&workspace, &mut problems);
    sources::check(&tree, &mut problems)?;
    cases::check(&tree, &mut problems)?;
    links::check(&tree, &mut problems)?;

    let count = |ending: &str| tree.with_ending(ending).count();
    eprintln!(
        "looked at: crates {}, Rust files {}, case files {}, Markdown files {}",
        workspace.members.len(),
        count(".rs"),
        count(".case"),
        count(".md")
    );
    if problems.is_empty() {
        return Ok(Outcome::Passed);
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    bail!("{} problem(s) found by tidy", problems.len());
}

/// The workspace as cargo sees it.
#[derive(Debug)]
pub(crate) struct Workspace {
    members: Vec<Member>,
    /// Name, version of every package in the resolved graph, with all features, on all platforms.
    resolved: Vec<(String, String)>,
}

/// A crate of the workspace.
#[derive(Debug)]
struct Member {
    name: String,
    /// Relative to the workspace.
    folder: String,
    dependencies: Vec<Dependency>,
    needs_sqld: bool,
}

#[derive(Debug)]
struct Dependency {
    /// The package's name, whatever it is renamed to.
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// Asks cargo, with all features and `Cargo.lock` as it is.
    ///
    /// # Errors
    /// When cargo refuses a manifest, or `Cargo.lock` is missing or out of step.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let line = "cargo metadata --format-version 1 --all-features --locked";
        Self::parse(&output(&mut command(root, line))?)
    }

    /// Whether a crate asks for a libSQL server in its tests, with
    /// `[package.metadata.curfew] needs-sqld = true`.
    pub(crate) fn needs_sqld(&self) -> bool {
        self.members.iter().any(|member| member.needs_sqld)
    }

    fn parse(metadata: &str) -> Result<Self> {
        let metadata: Metadata =
            serde_json::from_str(metadata).context("cannot read the output of cargo metadata")?;
        let by_id: HashMap<&str, &Package> =
            metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let package = |id: &str| by_id.get(id).copied().with_context(|| format!("no package {id}"));

        let mut members = Vec::new();
        for id in &metadata.workspace_members {
            members.push(package(id)?.to_member(&metadata.workspace_root)?);
        }
        let mut resolved = Vec::new();
        for node in &metadata.resolve.nodes {
            let package = package(&node.id)?;
            resolved.push((package.name.clone(), package.version.clone()));
        }
        Ok(Workspace { members, resolved })
    }
}

// The part of cargo's answer that is used here; its format is fixed by `--format-version 1`.

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    workspace_root: PathBuf,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    manifest_path: PathBuf,
    dependencies: Vec<PackageDependency>,
    metadata: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct PackageDependency {
    name: String,
    kind: Option<String>,
}

impl Package {
    fn to_member(&self, root: &Path) -> Result<Member> {
        let folder = self.manifest_path.parent().unwrap_or(root);
        let folder = folder.strip_prefix(root).unwrap_or(folder);
        let mut dependencies = Vec::new();
        for dependency in &self.dependencies {
            let kind = match dependency.kind.as_deref() {
                None => Kind::Normal,
                Some("build") => Kind::Build,
                Some("dev") => Kind::Dev,
                Some(other) => bail!("{}: a dependency of an unknown kind: {other}", self.name),
            };
            dependencies.push(Dependency { name: dependency.name.clone(), kind });
        }
        let needs_sqld = self
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.pointer("/curfew/needs-sqld")?.as_bool())
            .unwrap_or(false);
        Ok(Member { name: self.name.clone(), folder: slashed(folder), dependencies, needs_sqld })
    }
}

/// The files of the workspace that are written by hand.
#[derive(Debug)]
struct Tree {
    root: PathBuf,
    /// Relative to the root, with `/` between folders, in order.
    files: Vec<String>,
}

impl Tree {
    /// Folders that tools fill: cargo, npm, mix and dune, opam.
    const GENERATED: &[&str] = &["target", "node_modules", "_build", "_opam"];

    fn load(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder)
                .with_context(|| format!("cannot read {}", folder.display()))?;
            for entry in entries {
                let entry = entry?;
                let kind = entry.file_type()?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let hidden = name.starts_with('.') && name != ".github";
                // The one generated folder that could be somebody's module elsewhere.
                let of_mix = name == "deps" && folder.join("mix.exs").exists();
                if kind.is_dir() {
                    if !hidden && !of_mix && !Self::GENERATED.contains(&name.as_str()) {
                        folders.push(entry.path());
                    }
                } else if kind.is_file() {
                    let path = entry.path();
                    files.push(slashed(path.strip_prefix(root).unwrap_or(&path)));
                }
            }
        }
        files.sort();
        Ok(Tree { root: root.to_path_buf(), files })
    }

    fn with_ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.iter().map(String::as_str).filter(move |file| file.ends_with(ending))
    }

    fn read(&self, file: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(file)).with_context(|| format!("cannot read {file}"))
    }
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of crates in `crates/`, each with its dependencies.
    pub(super) fn workspace(crates: &[(&str, &[(&str, Kind)])]) -> Workspace {
        let member = |&(name, dependencies): &(&str, &[(&str, Kind)])| Member {
            name: name.into(),
            folder: format!("crates/{name}"),
            dependencies: dependencies
                .iter()
                .map(|&(name, kind)| Dependency { name: name.into(), kind })
                .collect(),
            needs_sqld: false,
        };
        Workspace { members: crates.iter().map(member).collect(), resolved: vec![] }
    }

    pub(super) fn places(problems: &[Problem]) -> Vec<&str> {
        problems.iter().map(|problem| problem.place.as_str()).collect()
    }

    #[test]
    fn what_cargo_says_becomes_members_and_resolved_packages() {
        let workspace = Workspace::parse(
            r#"{"workspace_root": "/w", "workspace_members": ["a"], "packages": [
                {"id": "a", "name": "turso-sync", "version": "0.1.0",
                 "manifest_path": "/w/crates/turso-sync/Cargo.toml",
                 "metadata": {"curfew": {"needs-sqld": true}},
                 "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}]},
                {"id": "b", "name": "b", "version": "1.2.3", "manifest_path": "/r/b/Cargo.toml",
                 "metadata": null, "dependencies": []}],
             "resolve": {"nodes": [{"id": "a"}, {"id": "b"}]}}"#,
        )
        .unwrap();
        let member = &workspace.members[0];
        assert_eq!(
            (member.name.as_str(), member.folder.as_str()),
            ("turso-sync", "crates/turso-sync")
        );
        let kinds: Vec<Kind> = member.dependencies.iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [Kind::Normal, Kind::Dev]);
        assert!(workspace.needs_sqld());
        assert_eq!(workspace.resolved[1], ("b".to_owned(), "1.2.3".to_owned()));
    }

    #[test]
    fn the_tree_leaves_out_what_tools_generate() {
        let root = tempfile::tempdir().unwrap();
        let by_hand = ["README.md", "bindings/mix.exs", "crates/a/src/deps/a.md", "docs/a.md"];
        let generated =
            ["target/a.md", ".git/a.md", "x/node_modules/a.md", "bindings/deps/a/README.md"];
        for file in by_hand.iter().chain(&generated) {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let tree = Tree::load(root.path()).unwrap();
        assert_eq!(tree.files, by_hand);
    }
}
