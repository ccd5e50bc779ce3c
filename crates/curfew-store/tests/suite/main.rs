//! The store as others see it, over databases in memory, in files, and of the older application.

mod campaigns;
mod fixture;
mod open;
mod scan;
