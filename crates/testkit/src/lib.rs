//! For tests only: a second, naive planner, sample organizations, case reader.
