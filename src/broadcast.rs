//! The feed and who may append to it. Pure: no socket, no clock, no log.

pub mod channel;
pub mod feed;
pub mod pace;
