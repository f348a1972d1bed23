//! Helpers of all layers: time, memory, client ids, error text.

pub mod buffer;
pub mod clock;
pub mod id_slab;
pub mod os_error;
pub mod plural;
pub mod seconds;
pub mod span;
pub mod terminal;
pub mod timers;
pub mod trim;
