//! Command lines: options, addresses and their errors. Shared by the three programs, but for `options`.

pub mod address;
pub mod args;
mod listen;
pub mod options;
pub mod secret;
