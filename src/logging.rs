//! The log, which never blocks the server, and the limit on its lines about connections.

pub mod burst_limit;
mod destination;
pub mod log_file;
pub mod logger;
