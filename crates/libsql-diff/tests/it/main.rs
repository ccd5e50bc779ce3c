//! Differences found, applied and rendered, on real files.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod applying;
mod exactness;
mod files;
mod generated;
mod inputs;
mod merge;
mod pages;
mod splitting;
mod support;
