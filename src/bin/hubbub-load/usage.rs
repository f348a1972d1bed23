//! What the server's process uses, by the kernel's account of it.

use std::time::Duration;

/// A process to watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pid: u32,
    ticks_per_second: u64,
}

/// What it has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU time of its own code, as sampled by the kernel's ticks.
    pub(crate) user: Duration,
    /// CPU time of the kernel on its behalf.
    pub(crate) system: Duration,
    /// Memory resident now, in KiB.
    pub(crate) resident: u64,
    /// The most that was ever resident, in KiB.
    pub(crate) peak: u64,
}

impl Usage {
    /// All CPU time.
    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }

    /// CPU time since `earlier`; memory as it is now.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            ..*self
        }
    }
}

impl Process {
    /// The process of that number.
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid, ticks_per_second: rustix::param::clock_ticks_per_second().max(1) }
    }

    /// What it has used until now; see proc(5).
    ///
    /// # Errors
    /// What to tell where the process is gone or the system does not tell.
    pub(crate) fn usage(&self) -> Result<Usage, String> {
        let file = |name| {
            let path = format!("/proc/{}/{name}", self.pid);
            std::fs::read_to_string(&path)
                .map_err(|error| format!("cannot read {path}: {}", hubbub::os_error::text(&error)))
        };
        let (stat, status) = (file("stat")?, file("status")?);
        // Fields 14 and 15, counted from the third: the second, a name in brackets, may hold anything.
        let ticks = |field: usize| {
            let ticks = stat.rsplit(") ").next()?.split(' ').nth(field - 3)?.parse::<u64>().ok()?;
            Some(Duration::from_secs_f64(ticks as f64 / self.ticks_per_second as f64))
        };
        // A process that ended and was not yet waited for has no memory any more.
        let kib =
            |name| status.lines().find_map(|line: &str| line.strip_prefix(name)?.split_whitespace().next());
        let memory = |name| kib(name).and_then(|kib| kib.parse().ok());
        let usage = || {
            let (user, system) = (ticks(14)?, ticks(15)?);
            Some(Usage { user, system, resident: memory("VmRSS:")?, peak: memory("VmHWM:")? })
        };
        usage().ok_or_else(|| format!("process {} is gone", self.pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_time_and_one_that_is_not_there_is_named() {
        let own = Process::new(std::process::id());
        let before = own.usage().expect("this process is there");
        assert!(before.resident > 100 && before.peak >= before.resident, "{before:?}");
        let mut after = before;
        while after.cpu() == before.cpu() {
            after = own.usage().expect("this process is there");
        }
        assert!(after.since(&before).cpu() > Duration::ZERO);
        // Process numbers end far below.
        let nobody = Process::new(u32::MAX);
        assert!(nobody.usage().expect_err("nobody").contains("/proc/4294967295/stat: No such file"));
    }
}
