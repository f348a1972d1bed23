//! The log file, which never blocks, and the limit on log lines about connections.

pub mod burst_limit;
pub mod log_file;
