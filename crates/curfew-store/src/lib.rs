//! The scheduler's tables: migrations, reading contacts, writing a plan, checkpoints, history.

pub mod contacts;
