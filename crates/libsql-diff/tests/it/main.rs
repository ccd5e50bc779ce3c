//! Differences found, applied and rendered, on real files.

mod exactness;
mod support;
