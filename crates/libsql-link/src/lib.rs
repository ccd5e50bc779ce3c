//! One way to open libSQL: a local file, a remote database, an embedded replica.
