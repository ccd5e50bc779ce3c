//! Data in, plan out: what Curfew's scheduler decides, with no clock, I/O or threads.
