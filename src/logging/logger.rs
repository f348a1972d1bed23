//! The lines of the log: which events are logged, and what each line says.

use super::log_file::LogFile;
use crate::util::clock;
use log::{LevelFilter, Log, Metadata, Record};
use simplelog::{CombinedLogger, Config, SharedLogger};

/// Events of libraries are left out.
const LOGGED: &str = env!("CARGO_PKG_NAME");

/// Sends events of `level` and above to `log`, one line each: time in UTC, level, text.
///
/// The time is left out if the log goes to the systemd journal. A second call in a process has no effect.
pub fn start(log: &LogFile, level: LevelFilter) {
    let logger = Logger { log: log.clone(), level, has_time: !log.is_journal() };
    _ = CombinedLogger::init(vec![Box::new(logger)]);
}

/// Formats the events. simplelog's own `WriteLogger` and the formatter of `time` would add 70 kB to the program, because
/// they know every format of time.
struct Logger {
    log: LogFile,
    level: LevelFilter,
    has_time: bool,
}

impl Log for Logger {
    fn enabled(&self, event: &Metadata<'_>) -> bool {
        event.level() <= self.level && event.target().starts_with(LOGGED)
    }

    fn log(&self, event: &Record<'_>) {
        if !self.enabled(event.metadata()) {
            return;
        }
        let time = if self.has_time { clock::time_of_day() + " " } else { String::new() };
        self.log.write(&format!("{time}[{}] {}", event.level(), event.args()));
    }

    fn flush(&self) {}
}

impl SharedLogger for Logger {
    fn level(&self) -> LevelFilter {
        self.level
    }

    fn config(&self) -> Option<&Config> {
        None
    }

    fn as_log(self: Box<Self>) -> Box<dyn Log> {
        self
    }
}
