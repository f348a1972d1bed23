//! Command lines: options, addresses and their errors.

pub mod address;
pub mod args;
pub mod options;
