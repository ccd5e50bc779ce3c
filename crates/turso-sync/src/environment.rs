//! What the environment says: which remote database, and the token for it.

use std::collections::BTreeMap;

use libsql_link::{Location, Options, Token};

use crate::{
    args::{GlobalArgs, RemoteArgs},
    output::Usage,
};

/// Names the remote database.
const URL_VARIABLE: &str = "TURSO_DATABASE_URL";
/// Holds the token for it.
const TOKEN_VARIABLE: &str = "TURSO_AUTH_TOKEN";

/// How long it may take to be connected, unless `--timeout` is less.
const CONNECT_TIMEOUT_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// The variables of the process, and those of a file `.env` in the folder of the command or the
/// nearest above it. The process's own win; an empty one counts as not set.
#[derive(Debug, Default)]
struct Environment {
    file: BTreeMap<String, String>,
}

impl Environment {
    fn read() -> anyhow::Result<Self> {
        let entries = match dotenvy::dotenv_iter() {
            Ok(entries) => entries,
            Err(error) if error.not_found() => return Ok(Self::default()),
            Err(error) => return Err(env_file_error(&error)),
        };
        let mut file = BTreeMap::new();
        for entry in entries {
            let (name, value) = entry.map_err(|error| env_file_error(&error))?;
            // As every reader of such files does: the last one of a name counts.
            file.insert(name, value);
        }
        Ok(Self { file })
    }

    fn get(&self, name: &str) -> Option<String> {
        let own = std::env::var(name).ok().filter(|value| !value.is_empty());
        own.or_else(|| self.file.get(name).filter(|value| !value.is_empty()).cloned())
    }
}

/// The line that cannot be read is not shown: it may hold a token.
fn env_file_error(error: &dotenvy::Error) -> anyhow::Error {
    match error {
        dotenvy::Error::Io(error) => Usage::error(format!("cannot read .env: {error}")),
        _ => Usage::error("cannot read .env: write one NAME=value on each line"),
    }
}

/// A remote database and how to open it.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) location: Location,
    pub(crate) options: Options,
}

/// The remote database that the arguments name, or else the environment.
///
/// A token in the address counts if none is given apart.
pub(crate) fn remote(args: &RemoteArgs, global: &GlobalArgs) -> anyhow::Result<Remote> {
    let environment = Environment::read()?;
    let url = args.url.clone().or_else(|| environment.get(URL_VARIABLE)).ok_or_else(|| {
        Usage::error(format!(
            "no remote database is named; give --url, or set {URL_VARIABLE} in the environment or \
             in a file .env"
        ))
    })?;
    let (location, own_token) = Location::parse(&url)?;
    if location.url().is_none() {
        return Err(Usage::error(format!(
            "{location} is a file, not a remote database; an address begins with libsql://, \
             https:// or http://"
        )));
    }
    let given = args.token.clone().map(|secret| secret.0);
    let token = match given.or_else(|| environment.get(TOKEN_VARIABLE)) {
        Some(text) => Some(Token::new(text)?),
        None => own_token,
    };
    Ok(Remote { location, options: options(token, global) })
}

fn options(token: Option<Token>, global: &GlobalArgs) -> Options {
    Options::new()
        .token(token)
        .call_timeout(global.timeout)
        .connect_timeout(global.timeout.min(CONNECT_TIMEOUT_MAX))
}
