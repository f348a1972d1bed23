//! Helpers of all layers: time, memory, files, client ids, error text.

pub mod buffer;
pub mod clock;
pub mod id_slab;
pub mod os_error;
pub mod plural;
pub mod quoted;
pub mod seconds;
pub mod small_file;
pub mod span;
pub mod terminal;
pub mod timers;
pub mod trim;
