//! The store as others see it, over databases in memory, in files, and of the older application.

mod audit;
mod backup;
mod campaigns;
mod fixture;
mod history;
mod lock;
mod open;
mod runs;
mod scan;
mod writer;
