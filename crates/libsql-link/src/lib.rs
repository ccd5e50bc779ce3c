//! One way to open libSQL: a local file, a remote database, an embedded replica.
//!
//! ```
//! use libsql_link::blocking::Link;
//! use libsql_link::{Location, Options, Statement, Value};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = folder.path().join("plan.db");
//! # let address = file.to_str().unwrap();
//! // A path, or `libsql://plan.example.org?authToken=…`: everything below is the same.
//! let (location, token) = Location::parse(address)?;
//! let link = Link::open(&location, Options::new().token(token))?;
//!
//! link.batch(&[
//!     "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT UNIQUE)".into(),
//!     Statement::new("INSERT INTO contacts VALUES (1, ?1)", ["a@example.org".into()]),
//! ])?;
//! let rows = link.query("SELECT email FROM contacts WHERE id = ?1", &[1.into()])?;
//! assert_eq!(rows.single(), Some(&Value::Text("a@example.org".into())));
//! # Ok::<(), libsql_link::Error>(())
//! ```
//!
//! [`Link`] is the asynchronous door, [`blocking::Link`] the same without `async`.
//!
//! # What happens if nothing is said
//!
//! * A call ends within 30 s ([`Options::call_timeout`]), repetitions included; making a connection
//!   takes at most 10 s of them ([`Options::connect_timeout`]). Dropping the future of a call, or a
//!   [`CancelToken`], ends it at once.
//! * What surely only reads, or surely did not reach the server, is tried up to four times, with
//!   growing, random waits ([`Options::retry`]). Everything else is tried once: whether an
//!   [`Error`] leaves open that it was applied, says [`Error::may_have_been_applied`].
//! * A call to a server is one request, which opens and closes what it needs there. Nothing is left
//!   open, so nothing expires; only a [`Snapshot`] keeps something open between its calls.
//! * [`Link::batch`] is a transaction: all or nothing, in one request.
//! * A replica is fetched when it does not exist, and then syncs when told to
//!   ([`Options::sync`]). It is a cache: it holds nothing that the server does not have, and is made
//!   anew when it turns out to differ.
//! * Foreign keys are enforced, as libSQL's SQLite does by default. The journal mode is left as it
//!   is.
//! * Encryption is checked against the certificates that the machine trusts, and those of
//!   [`Options::trust`].
//!
//! # Errors
//!
//! An [`Error`] says what to do about it, not where it came from: the same constraint is the same
//! variant for a file and for a server.
//!
//! ```
//! # use libsql_link::{blocking::Link, ConstraintKind, Error, Location, Options};
//! # let folder = tempfile::tempdir().unwrap();
//! # let location = Location::Local(folder.path().join("plan.db"));
//! # let link = Link::open(&location, Options::new())?;
//! link.execute("CREATE TABLE contacts (email TEXT UNIQUE)", &[])?;
//! let twice = link.execute("INSERT INTO contacts VALUES ('a'), ('a')", &[]);
//! match twice {
//!     Err(Error::Constraint { kind: ConstraintKind::Unique, extended_code: 2067, .. }) => {}
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! # What servers cannot carry
//!
//! Values travel as JSON. An infinity, or a text that is not UTF-8, is an [`Error::Unreadable`] and
//! never a changed value; read them with `quote()` or `hex()`, write them as literals (`9e999`). A
//! statement and each of its values may have 5 MB. An answer may have any size; but all of it is
//! held in memory, so page through large tables.
//!
//! # Encrypted files
//!
//! With the cargo feature `encryption`, `Options::encryption_key` opens and creates encrypted local
//! files, the same as the libsql crate's. SQLite is then built by cmake, so it is off unless asked
//! for, and its tests run by hand: `cargo test -p libsql-link --features encryption --test
//! encryption`.

pub mod blocking;
mod error;
mod hrana;
mod initialize;
mod link;
mod local;
mod location;
pub mod offline;
mod options;
mod packed;
mod position;
mod probe;
mod protobuf;
mod proxy;
mod remote;
mod repeat;
mod replica;
mod sql;
mod transport;
mod value;

pub use error::{ConstraintKind, Error};
pub use initialize::initialize;
pub use link::{Link, Snapshot};
pub use location::{Location, RemoteUrl, Token};
#[cfg(feature = "encryption")]
pub use options::EncryptionKey;
pub use options::{CancelToken, Options, Retry, SyncStrategy};
pub use packed::{PackedRows, ValueRef};
pub use position::Position;
pub use probe::{Probed, Step, probe};
pub use proxy::Proxy;
pub use remote::ServerInfo;
pub use replica::{Synced, remove_replica};
pub use value::{Rows, Statement, Value};
