//! A local SQLite file and a libSQL or Turso database, in step, without loss.
