//! SQLite's threading mode, chosen before anything else uses SQLite.

use std::sync::OnceLock;

use rusqlite::ffi;

use crate::error::Error;

/// Prepares SQLite for the libsql crate, which replicas and offline writes are built on.
///
/// That crate insists on choosing SQLite's threading mode itself, and can do so only before SQLite
/// is first used in the process; otherwise it panics. A program that opens SQLite files by other
/// means, and later a replica, calls this first, at best at the beginning of `main`. Every
/// [`Link::open`](crate::Link::open) calls it too. Calling it again does nothing.
///
/// # Errors
/// [`Error::Unsupported`] when SQLite has already been used: files and servers work all the same,
/// replicas and offline writes do not.
///
/// ```
/// libsql_link::initialize()?;
/// # Ok::<(), libsql_link::Error>(())
/// ```
pub fn initialize() -> Result<(), Error> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let done = *DONE.get_or_init(|| {
        let code = configure();
        // The first database of the libsql crate chooses the mode once more and initializes SQLite;
        // from then on, everybody may come first.
        #[expect(deprecated, reason = "its replacement is asynchronous")]
        let initialized = || libsql::Database::open_in_memory().is_ok();
        code == ffi::SQLITE_OK && initialized()
    });
    if done {
        return Ok(());
    }
    Err(Error::Unsupported {
        subject: "this program".into(),
        reason: "it used SQLite before libsql_link::initialize(); call that first".into(),
    })
}

#[expect(unsafe_code, reason = "rusqlite has no safe way to choose the threading mode")]
fn configure() -> std::ffi::c_int {
    // SAFETY: the option takes no further argument. SQLite refuses it, and changes nothing, once it
    // is initialized; before that, the documentation of this module's function asks that nobody
    // else uses SQLite at the same time, as SQLite itself does.
    unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_SERIALIZED) }
}
