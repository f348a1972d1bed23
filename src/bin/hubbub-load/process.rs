//! CPU time and memory of the server's processes, as the kernel counts them.

use std::ops::Add;
use std::time::Duration;

/// A process to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pid: u32,
    ticks_per_second: u64,
}

/// What a process has used so far, or several together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU time in total.
    pub(crate) cpu: Duration,
    /// CPU time in user mode, counted in kernel ticks.
    pub(crate) user: Duration,
    /// CPU time in kernel mode, counted in kernel ticks.
    pub(crate) system: Duration,
    /// Resident memory, in KiB.
    pub(crate) resident: u64,
    /// The highest resident memory so far, in KiB.
    pub(crate) peak: u64,
}

impl Usage {
    /// Returns the share of the CPU time that was spent in user mode, 0 to 1.
    pub(crate) fn user_share(&self) -> f64 {
        self.user.as_secs_f64() / (self.user + self.system).as_secs_f64().max(1e-9)
    }

    /// Returns the CPU time since `earlier`, and the memory of `self`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            ..*self
        }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            user: self.user + other.user,
            system: self.system + other.system,
            resident: self.resident + other.resident,
            peak: self.peak + other.peak,
        }
    }
}

impl Process {
    /// Selects the process with this id.
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid, ticks_per_second: rustix::param::clock_ticks_per_second().max(1) }
    }

    /// Returns what the process has used until now; see proc(5).
    ///
    /// # Errors
    /// The process has ended, or its files in /proc cannot be read.
    pub(crate) fn usage(&self) -> Result<Usage, String> {
        let file = |name| {
            let path = format!("/proc/{}/{name}", self.pid);
            std::fs::read_to_string(&path).map_err(|error| {
                format!("cannot read \"{path}\": {}; check --pid", hubbub::util::os_error::text(&error))
            })
        };
        let (stat, status) = (file("stat")?, file("status")?);
        // The second of the fields, counted from 1, is a name in brackets that may contain blanks: split after it.
        let ticks = |field: usize| {
            let ticks = stat.rsplit(") ").next()?.split(' ').nth(field - 3)?.parse::<u64>().ok()?;
            Some(Duration::from_secs_f64(ticks as f64 / self.ticks_per_second as f64))
        };
        // A zombie process has no memory, and so no line for it.
        let kib =
            |name| status.lines().find_map(|line: &str| line.strip_prefix(name)?.split_whitespace().next());
        let memory = |name| kib(name).and_then(|kib| kib.parse().ok());
        let usage = || {
            let (user, system) = (ticks(14)?, ticks(15)?);
            let cpu = self.run_time().unwrap_or(user + system);
            Some(Usage { cpu, user, system, resident: memory("VmRSS:")?, peak: memory("VmHWM:")? })
        };
        usage().ok_or_else(|| format!("--pid \"{}\": the process has ended", self.pid))
    }

    /// Returns the CPU time of all threads in nanoseconds; a tick has 10 ms. Not every kernel counts it: see
    /// <https://docs.kernel.org/scheduler/sched-stats.html>.
    fn run_time(&self) -> Option<Duration> {
        let mut sum = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            // A thread may end in the middle of this loop.
            let Ok(stat) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
            sum += stat.split(' ').next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(sum)).filter(|time| !time.is_zero())
    }
}

/// Returns what the processes have used together until now; none if there are no processes.
///
/// # Errors
/// As [`Process::usage`].
pub(crate) fn sum(processes: &[Process]) -> Result<Option<Usage>, String> {
    let usages = processes.iter().map(Process::usage).collect::<Result<Vec<_>, _>>()?;
    Ok(usages.into_iter().reduce(Usage::add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_time_and_a_missing_process_is_an_error() {
        let own = Process::new(std::process::id());
        let before = own.usage().expect("this process runs");
        assert!(before.resident > 100 && before.peak >= before.resident, "{before:?}");
        let mut after = before;
        while after.cpu <= before.cpu || after.user + after.system == before.user + before.system {
            after = own.usage().expect("this process runs");
        }
        let used = after.since(&before);
        assert!(used.cpu > Duration::ZERO && (0.0..=1.0).contains(&used.user_share()), "{used:?}");
        // Linux never assigns this id.
        let missing = Process::new(u32::MAX);
        assert!(missing.usage().expect_err("no process").contains("/proc/4294967295/stat\": No such file"));
    }
}
