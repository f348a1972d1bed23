//! The room: members, commands, events and views.
//!
//! Pure: no socket, no clock, no log. A line comes in, bytes go into the feeds, a [`Reply`](room::Reply)
//! comes out.

pub mod blank;
pub mod command;
pub mod event;
pub mod members;
pub mod name;
pub mod private;
pub mod room;
pub mod text;
pub mod view;
