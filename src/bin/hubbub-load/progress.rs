//! Progress bars, which are drawn only if standard error is a terminal.

use hubbub::util::terminal::stops_writers;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io;
use std::time::Duration;

const DRAWS_PER_SECOND: u8 = 10;

/// The progress of one phase of the run.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Whether the bar shows seconds.
    is_by_time: bool,
}

impl Progress {
    /// Starts a bar that counts to `length`.
    pub(crate) fn count(label: &'static str, length: u64) -> Self {
        Self { bar: bar(label, length), is_by_time: false }
    }

    /// Starts a bar that shows the seconds until `duration`.
    pub(crate) fn time(duration: Duration) -> Self {
        Self { bar: bar("seconds", duration.as_secs()), is_by_time: true }
    }

    /// Shows the count or the time, whichever the bar is for.
    pub(crate) fn show(&self, count: u64, elapsed: Duration) {
        let length = self.bar.length().unwrap_or(0);
        self.bar.set_position(if self.is_by_time { elapsed.as_secs().min(length) } else { count });
    }

    /// Removes the bar from the terminal.
    pub(crate) fn end(self) {
        self.bar.finish_and_clear();
    }
}

/// In the background of a terminal with `stty tostop`, a visible bar would stop the run.
fn bar(label: &'static str, length: u64) -> ProgressBar {
    let target = if stops_writers(io::stderr()) {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let style = ProgressStyle::with_template("{msg:10} {wide_bar} {human_pos}/{human_len} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_message(label)
}
