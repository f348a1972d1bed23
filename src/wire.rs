//! Bytes in, lines out. Pure: no socket, no clock, no log.

pub mod escape;
pub mod line_decoder;
pub mod other_protocol;
mod telnet;
pub mod view;
