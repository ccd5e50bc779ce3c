//! One database to another place: file or server, in both directions.

use std::path::{Path, PathBuf};

use libsql_link::blocking::Link;
use libsql_link::{Location, Options};

use super::{apply_to, compare, copy_database};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::push::schema::Schema;
use crate::push::{Outcome, Push, abandon};
use crate::report::{Changes, CopyReport};
use crate::state::{beside, random_id, remove_database, sync_folder};

/// How often a copy begins anew because somebody changed the target meanwhile.
const ATTEMPTS_MAX: u32 = 3;

/// A database, and how to talk to it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is; [`Location::Replica`] stands for its server.
    pub location: Location,
    /// Token, deadlines, retries, cancellation.
    pub options: Options,
}

/// How to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Whether what the target holds goes.
    pub replaces: bool,
    /// Only look: both are read and compared, and nothing is written.
    pub dry_run: bool,
}

/// Makes `to` what `from` is. At the target, all of it appears at once, or nothing.
///
/// # Errors
/// [`Error::TargetNotEmpty`] unless it may be replaced; [`Error::FileMissing`] if a file to copy from is not
/// there; when a server cannot be reached, refuses, or contradicts itself.
pub fn copy(
    from: &Place,
    to: &Place,
    options: CopyOptions,
    progress: &dyn Progress,
) -> Result<CopyReport> {
    let (_folder, scratch) = scratch(&to.location, options.dry_run)?;
    let source = scratch("source.db");
    if let Location::Local(path) = &from.location {
        if !path.exists() {
            return Err(Error::FileMissing { file: path.clone() });
        }
        copy_database(path, &source)?;
    } else {
        let (link, url) = open(from)?;
        crate::pull::fetch(&link, &url, &source, progress)?;
    }
    let changes = match &to.location {
        Location::Local(path) => into_file(&source, path, options, progress)?,
        _ => into_server(&source, to, &scratch("target.db"), options, progress)?,
    };
    Ok(CopyReport {
        dry_run: options.dry_run,
        from: from.location.to_string(),
        to: to.location.to_string(),
        changes,
    })
}

/// A folder for intermediate files: beside a target file, so that it can be renamed into place.
fn scratch(
    to: &Location,
    dry_run: bool,
) -> Result<(tempfile::TempDir, impl Fn(&str) -> PathBuf + use<>)> {
    let parent = match to {
        Location::Local(path) if !dry_run => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        },
        _ => std::env::temp_dir(),
    };
    let folder = tempfile::Builder::new()
        .prefix(".turso-sync-")
        .tempdir_in(&parent)
        .map_err(Error::io(&parent, "creating a folder for intermediate files"))?;
    let path = folder.path().to_owned();
    Ok((folder, move |name: &str| path.join(name)))
}

fn open(place: &Place) -> Result<(Link, String)> {
    let url = match &place.location {
        Location::Remote(url) | Location::Replica { url, .. } => url,
        other => {
            return Err(Error::Unsupported {
                subject: other.to_string(),
                what: "it is no server".to_owned(),
            });
        }
    };
    let link = Link::open(&Location::Remote(url.clone()), place.options.clone())?;
    Ok((link, url.base()))
}

fn is_empty(file: &Path) -> Result<bool> {
    Ok(Schema::of_file(file)?.entries.is_empty())
}

fn into_file(
    source: &Path,
    target: &Path,
    options: CopyOptions,
    progress: &dyn Progress,
) -> Result<Changes> {
    if target.exists() {
        if !options.replaces && !is_empty(target)? {
            return Err(Error::TargetNotEmpty { target: target.display().to_string() });
        }
        let changes = compare(target, source, progress)?;
        if !options.dry_run {
            apply_to(target, &changes, progress)?;
        }
        return Ok(Changes::of(changes.summary()));
    }
    let nothing = beside(source, ".nothing");
    super::init::create_empty(&nothing, source)?;
    let changes = compare(&nothing, source, progress)?;
    if options.dry_run {
        return Ok(Changes::of(changes.summary()));
    }
    // What is left of a file that was there once would be taken for the new one's.
    remove_database(target)?;
    std::fs::rename(source, target).map_err(Error::io(target, "putting the copy in its place"))?;
    if let Some(parent) = target.parent() {
        sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(Changes::of(changes.summary()))
}

fn into_server(
    source: &Path,
    to: &Place,
    before: &Path,
    options: CopyOptions,
    progress: &dyn Progress,
) -> Result<Changes> {
    let (link, url) = open(to)?;
    for _ in 0..ATTEMPTS_MAX {
        let found = crate::pull::fetch(&link, &url, before, progress)?;
        if found.tables > 0 && !options.replaces {
            return Err(Error::TargetNotEmpty { target: url });
        }
        super::carry_application_id(source, before)?;
        let changes = compare(before, source, progress)?;
        if changes.is_empty() || options.dry_run {
            return Ok(Changes::of(changes.summary()));
        }
        let (id, client) = (random_id(), random_id());
        let push = Push {
            link: &link,
            url: &url,
            id: &id,
            is_new: true,
            client: &client,
            diff: &changes,
            base: before,
            progress,
        };
        match push.run() {
            Ok(Outcome::Applied) => return Ok(Changes::of(changes.summary())),
            Ok(Outcome::Conflict(_)) => {
                abandon(&link, &url, &id, &client)?;
            }
            Err(error) => {
                // Nobody will come back for it; if this fails too, the stage is cleared in time.
                let _ = abandon(&link, &url, &id, &client);
                return Err(error);
            }
        }
    }
    Err(Error::TargetChanging { target: url })
}
