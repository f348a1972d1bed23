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
    /// CPU time in all.
    pub(crate) cpu: Duration,
    /// CPU time of its own code, in whole ticks of the kernel's.
    pub(crate) user: Duration,
    /// CPU time of the kernel on its behalf, likewise.
    pub(crate) system: Duration,
    /// Memory resident now, in KiB.
    pub(crate) resident: u64,
    /// The most that was ever resident, in KiB.
    pub(crate) peak: u64,
}

impl Usage {
    /// The part of the CPU time that was its own code's, from 0 to 1.
    pub(crate) fn user_share(&self) -> f64 {
        self.user.as_secs_f64() / (self.user + self.system).as_secs_f64().max(1e-9)
    }

    /// CPU time since `earlier`; memory as it is now.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
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
                .map_err(|error| format!("cannot read {path}: {}", hubbub::util::os_error::text(&error)))
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
            let cpu = self.run_time().unwrap_or(user + system);
            Some(Usage { cpu, user, system, resident: memory("VmRSS:")?, peak: memory("VmHWM:")? })
        };
        usage().ok_or_else(|| format!("process {} is gone", self.pid))
    }

    /// The CPU time of its threads in nanoseconds, of which ticks are ten million; see
    /// <https://docs.kernel.org/scheduler/sched-stats.html>. Not every kernel counts it.
    fn run_time(&self) -> Option<Duration> {
        let mut sum = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            // A thread may end while it is looked at.
            let Ok(stat) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
            sum += stat.split(' ').next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(sum)).filter(|time| !time.is_zero())
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
        while after.cpu == before.cpu || after.user + after.system == before.user + before.system {
            after = own.usage().expect("this process is there");
        }
        let spent = after.since(&before);
        assert!(spent.cpu > Duration::ZERO && (0.0..=1.0).contains(&spent.user_share()), "{spent:?}");
        // Process numbers end far below.
        let nobody = Process::new(u32::MAX);
        assert!(nobody.usage().expect_err("nobody").contains("/proc/4294967295/stat: No such file"));
    }
}
