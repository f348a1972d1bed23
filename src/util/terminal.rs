//! Terminals, and processes in their background.

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};
use std::os::fd::AsFd;

/// Whether a write to `file` would stop the process with SIGTTOU: it is a terminal, the process is in its background,
/// and `stty tostop` is set.
pub fn stops_writers(file: impl AsFd) -> bool {
    let file = file.as_fd();
    tcgetpgrp(file).is_ok_and(|foreground| foreground != getpgrp())
        && tcgetattr(file).is_ok_and(|settings| settings.local_modes.contains(LocalModes::TOSTOP))
}
