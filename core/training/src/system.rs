//! The memory of this process and of the machine, as Linux reports it.

use std::fs;

/// Memory of this process and around it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemMemory {
    /// What the process holds.
    pub resident: u64,
    /// What it may take beyond that.
    pub free: u64,
}

impl SystemMemory {
    /// What Linux says; `None` elsewhere.
    pub fn now() -> Option<Self> {
        let free = kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
        let limit = groups().filter_map(|group| left(&group)).min();
        Some(Self { resident: status("VmRSS:")?, free: free.min(limit.unwrap_or(u64::MAX)) })
    }

    /// The most that the process has held so far; `None` where the system does not say.
    pub fn peak() -> Option<u64> {
        status("VmHWM:")
    }
}

fn status(key: &str) -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/status").ok()?, key)
}

/// The bytes of a line "Key:   123 kB".
fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(key))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The folders of the control groups (version 2) that this process is in, from the innermost out.
fn groups() -> impl Iterator<Item = std::path::PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|l| l.strip_prefix("0::/")).unwrap_or_default().to_owned();
    let root = std::path::PathBuf::from("/sys/fs/cgroup");
    let inner = root.join(path);
    let above: Vec<_> = inner.ancestors().map(std::path::Path::to_owned).collect();
    above.into_iter().filter(move |folder| folder.starts_with(&root))
}

/// What a control group has left: files that were read and could be forgotten count as free.
fn left(group: &std::path::Path) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    let (most, used) = (number("memory.max")?, number("memory.current")?);
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let files = stat.lines().find_map(|l| l.strip_prefix("inactive_file ")?.parse::<u64>().ok());
    Some(most.saturating_sub(used.saturating_sub(files.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_read() {
        let text = "VmPeak:\t  10 kB\nVmRSS:\t  2048 kB\n";
        assert_eq!(kib(text, "VmRSS:"), Some(2 << 20));
        assert_eq!(kib(text, "VmHWM:"), None);
        assert_eq!(kib("VmRSS: many kB", "VmRSS:"), None);
        if cfg!(target_os = "linux") {
            let memory = SystemMemory::now().unwrap();
            assert!(memory.resident > 1 << 20 && memory.free > 1 << 20, "{memory:?}");
        }
    }
}
