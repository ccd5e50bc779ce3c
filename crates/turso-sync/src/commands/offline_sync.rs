//! `turso-sync offline-sync`, of the older tool: libSQL's own protocol for offline writes.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use libsql_link::{Error, Location, RemoteUrl, blocking::Link, offline};
use serde::Serialize;
use turso_sync::{Remote, shell_word};

use super::files;
use crate::{
    Ending,
    args::{
        GlobalArgs,
        older::{Direction, OfflineSyncArgs},
    },
    environment,
    output::{self, Talk, count},
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    url: String,
    pushed_frames: u32,
    /// Not known before they come.
    pulled_frames: Option<u32>,
    fetched: bool,
    generation: Option<u32>,
    backup: Option<PathBuf>,
}

pub(crate) fn run(
    args: &OfflineSyncArgs,
    global: &GlobalArgs,
    talk: Talk,
) -> anyhow::Result<Ending> {
    let (remote, url) = environment::named_remote(&args.remote, global)?;
    let file = args.file.path();
    let link = Link::open(&Location::Remote(url.clone()), remote.options.clone())?;
    let info = link.server()?;
    if info.offline_generation.is_none() {
        // Is it a libSQL server, and does it let us in? If not, that is what to say.
        link.query("SELECT 1", &[])?;
        return Err(not_offered(args, &url));
    }
    let direction = match args.direction {
        Direction::Pull => offline::Direction::Pull,
        Direction::Push => offline::Direction::Push,
        Direction::Both => offline::Direction::Both,
    };
    if args.manner.dry_run {
        return preview(args, &remote, &url, direction);
    }
    let backup = if file.exists() { Some(back_up(file)?) } else { None };
    let bar = talk.bar("Syncing");
    let outcome = offline::sync(file, &url, &remote.options, direction);
    drop(bar);
    let synced = outcome.map_err(|error| explained(error, backup.as_deref()))?;
    if args.manner.json {
        output::print_json(&Report {
            dry_run: false,
            url: url.to_string(),
            pushed_frames: synced.pushed_frames,
            pulled_frames: Some(synced.pulled_frames),
            fetched: synced.fetched,
            generation: Some(synced.generation),
            backup,
        })?;
        return Ok(Ending::Done);
    }
    let name = file.display();
    let fetched = if synced.fetched { " (fetched, as there was none)" } else { "" };
    output::print(&format!(
        "Synced {name}{fetched} with {url}: {} changed pages sent, {} came; compared with the \
         server's\n",
        count(synced.pushed_frames.into()),
        count(synced.pulled_frames.into()),
    ))?;
    if let Some(backup) = backup {
        talk.say(&format!("What it was before is in {}", backup.display()));
    }
    Ok(Ending::Done)
}

/// Says what would go to the server, and whether anything stands in the way.
fn preview(
    args: &OfflineSyncArgs,
    remote: &Remote,
    url: &RemoteUrl,
    direction: offline::Direction,
) -> anyhow::Result<Ending> {
    let file = args.file.path();
    let to_push = offline::preview(file, url, &remote.options, direction)?;
    let backup = to_push.is_some().then(|| backup_folder(file));
    if args.manner.json {
        output::print_json(&Report {
            dry_run: true,
            url: url.to_string(),
            pushed_frames: to_push.unwrap_or_default(),
            pulled_frames: None,
            fetched: to_push.is_none(),
            generation: None,
            backup,
        })?;
        return Ok(Ending::Done);
    }
    let name = file.display();
    output::print(&match (to_push, backup) {
        (Some(pages), Some(backup)) => format!(
            "Would sync {name} with {url}: {} changed pages to send. What it is would be kept in {}\n",
            count(pages.into()),
            backup.display()
        ),
        _ => format!("Would fetch {name} from {url}\n"),
    })?;
    Ok(Ending::Done)
}

/// What to do where the server does not have the protocol.
fn not_offered(args: &OfflineSyncArgs, url: &RemoteUrl) -> anyhow::Error {
    let db = shell_word(args.file.path());
    let instead = match args.direction {
        Direction::Pull => format!("`turso-sync pull {db}`"),
        Direction::Push => format!("`turso-sync push {db}`"),
        Direction::Both => format!("`turso-sync pull {db}` and then `turso-sync push {db}`"),
    };
    anyhow!(
        "{url} does not have libSQL's protocol for offline writes (it does not know /info); nothing \
         was done. Use {instead}, which works with every libSQL server"
    )
}

/// Says where the copy is that was made before.
fn explained(error: Error, backup: Option<&Path>) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    match backup {
        Some(backup) => {
            let message = format!("{error}; what the file was before is in {}", backup.display());
            error.context(message)
        }
        None => error,
    }
}

fn backup_folder(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".offline-backup");
    name.into()
}

/// Copies the file and what belongs to it into a folder beside it, in the place of the last such
/// copy.
fn back_up(file: &Path) -> anyhow::Result<PathBuf> {
    let folder = backup_folder(file);
    let cannot = || format!("cannot copy {} to {}", file.display(), folder.display());
    let copy = || -> std::io::Result<()> {
        let new = tempfile::Builder::new()
            .prefix(".offline-backup")
            .tempdir_in(files::folder_of(file))?;
        for part in offline::files(file) {
            if let (true, Some(name)) = (part.exists(), part.file_name()) {
                let target = new.path().join(name);
                std::fs::copy(&part, &target)?;
                std::fs::File::open(&target)?.sync_all()?;
            }
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::rename(new.keep(), &folder)
    };
    copy().with_context(cannot)?;
    Ok(folder)
}
