//! What the environment says: which remote database, and the token for it.

use std::{collections::BTreeMap, path::Path};

use libsql_link::{Location, Options, RemoteUrl, Token};
use turso_sync::{Place, Remote};

use crate::{
    args::{GlobalArgs, RemoteArgs, Secret},
    interrupt,
    output::{self, Usage},
};

/// Names the remote database.
const URL_VARIABLE: &str = "TURSO_DATABASE_URL";
/// Holds the token for it.
const TOKEN_VARIABLE: &str = "TURSO_AUTH_TOKEN";

/// How long one call to the server may take, unless `--timeout` says otherwise.
const CALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
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

/// The remote database that the arguments name, or else the environment; one that is known from
/// the state folder need not be named.
///
/// An address of the environment counts where the file is synced already, too: if it is another
/// one, the token beside it is for another server, and must not be sent.
///
/// A token in the address counts if none is given apart.
pub(crate) fn remote(args: &RemoteArgs, global: &GlobalArgs) -> anyhow::Result<Remote> {
    let environment = Environment::read()?;
    let mut token = None;
    let mut url = None;
    if let Some(text) = args.url.clone().or_else(|| environment.get(URL_VARIABLE)) {
        match Location::parse(&text)? {
            (Location::Remote(address), own) => {
                url = Some(address);
                token = own;
            }
            // What a JWT begins with.
            (Location::Local(_), _) if text.trim_start().starts_with("eyJ") => {
                return Err(Usage::error(
                    "what is given as the address looks like a token; give that with --token, or \
                     better in TURSO_AUTH_TOKEN",
                ));
            }
            (location, _) => {
                return Err(Usage::error(format!(
                    "{location} is a file, not a remote database; an address begins with \
                     libsql://, https:// or http://"
                )));
            }
        }
    }
    if let Some(own) = token_for(url.as_ref(), args.token.as_ref(), &environment)? {
        token = Some(own);
    }
    let options = options(token, global);
    Ok(Remote { url, options })
}

/// The token that was given, or else that of the environment: but the latter only for the address
/// that stands beside it.
fn token_for(
    address: Option<&RemoteUrl>,
    given: Option<&Secret>,
    environment: &Environment,
) -> anyhow::Result<Option<Token>> {
    if let Some(secret) = given {
        return Ok(Some(Token::new(&secret.0)?));
    }
    let Some(text) = environment.get(TOKEN_VARIABLE) else { return Ok(None) };
    if let (Some(address), Some(known)) = (address, environment.get(URL_VARIABLE)) {
        let known = Location::parse(&known)?.0;
        if known.url() != Some(address) {
            output::warn(&format!(
                "{TOKEN_VARIABLE} is for {known} and is not sent to {address}; give --token if it is \
                 for both"
            ));
            return Ok(None);
        }
    }
    Ok(Some(Token::new(text)?))
}

fn options(token: Option<Token>, global: &GlobalArgs) -> Options {
    let timeout = global.timeout.unwrap_or(CALL_TIMEOUT);
    Options::new()
        .token(token)
        .call_timeout(timeout)
        .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX))
        .cancel(interrupt::stop().cancel_token())
}

/// A file, or a remote database. The token of the environment is for the address of the
/// environment, and goes to no other one.
pub(crate) fn place(
    text: &str,
    token: Option<&Secret>,
    global: &GlobalArgs,
) -> anyhow::Result<Place> {
    let (location, own) = Location::parse(text)?;
    let Some(address) = location.url() else {
        return Ok(Place { location, options: Options::new() });
    };
    let environment = Environment::read()?;
    let token = token_for(Some(address), token, &environment)?.or(own);
    Ok(Place { location, options: options(token, global) })
}

/// A file.
pub(crate) fn local(path: &Path) -> Place {
    Place { location: Location::Local(path.to_owned()), options: Options::new() }
}

/// As [`remote`], where nothing else can name the remote database.
pub(crate) fn named_remote(
    args: &RemoteArgs,
    global: &GlobalArgs,
) -> anyhow::Result<(Remote, RemoteUrl)> {
    let remote = remote(args, global)?;
    match remote.url.clone() {
        Some(url) => Ok((remote, url)),
        None => Err(Usage::error(format!(
            "no remote database is named; give --url, or set {URL_VARIABLE} in the environment or \
             in a file .env"
        ))),
    }
}
