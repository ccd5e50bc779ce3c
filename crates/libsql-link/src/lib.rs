//! One way to open libSQL: a local file, a remote database, an embedded replica.

pub mod blocking;
mod error;
mod hrana;
mod initialize;
mod link;
mod local;
mod location;
pub mod offline;
mod options;
mod probe;
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
pub use options::{CancelToken, Options, Retry, SyncStrategy};
pub use probe::{Probed, Step, probe};
pub use remote::ServerInfo;
pub use replica::{Synced, remove_replica};
pub use value::{Rows, Statement, Value};
