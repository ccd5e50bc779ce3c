//! Paths as texts of a report. A path need not be UTF-8; what is not stands as `\u{FFFD}`.

use std::path::{Path, PathBuf};

use serde::Serializer;

#[expect(clippy::ptr_arg, reason = "serde passes a reference to the field")]
pub(crate) fn one<S: Serializer>(path: &PathBuf, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
pub(crate) fn optional<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => one(path, serializer),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn list<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| text(path)))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
