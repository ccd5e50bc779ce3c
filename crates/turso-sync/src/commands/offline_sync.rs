//! `turso-sync offline-sync`, of the older tool: libSQL's own protocol for offline writes.

use anyhow::anyhow;
use libsql_link::blocking::Link;

use crate::{
    Ending,
    args::{
        GlobalArgs,
        older::{Direction, OfflineSyncArgs},
    },
    environment,
};

pub(crate) fn run(args: &OfflineSyncArgs, global: &GlobalArgs) -> anyhow::Result<Ending> {
    let remote = environment::remote(&args.remote.remote(), global)?;
    let link = Link::open(&remote.location, remote.options.clone())?;
    // Whether a libSQL server is there and lets us in; what it offers says little without that.
    link.query("SELECT 1", &[])?;
    let server = link.server()?;
    if server.offline_generation.is_none() {
        return Err(not_offered(args, &remote));
    }
    Err(anyhow!("not built yet"))
}

/// What to do where the server does not have the protocol.
fn not_offered(args: &OfflineSyncArgs, remote: &environment::Remote) -> anyhow::Error {
    let db = args.db_path.display();
    let instead = match args.direction {
        Direction::Pull => format!("`turso-sync pull --db {db}`"),
        Direction::Push => format!("`turso-sync push --db {db}`"),
        Direction::Both => {
            format!("`turso-sync pull --db {db}` and then `turso-sync push --db {db}`")
        }
    };
    anyhow!(
        "{} does not have libSQL's protocol for offline writes (it does not know /info); nothing \
         was done. Use {instead}, which works with every libSQL server",
        remote.location
    )
}
