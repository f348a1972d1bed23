//! The room: events, members, commands and views. Pure: no socket, no clock, no log.

pub mod command;
pub mod event;
pub mod members;
pub mod room;
pub mod text;
pub mod view;
