//! Bytes in, lines out. Pure: no socket, no clock, no log.

pub mod escape;
pub mod first_line;
pub mod http;
pub mod line_decoder;
pub mod opening;
pub mod other_protocol;
pub mod proxy;
mod telnet;
pub mod view;
