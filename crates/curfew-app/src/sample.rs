//! Made-up contacts.

pub(crate) mod places;
