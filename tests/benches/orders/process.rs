//! Processor time and memory by process, from `/proc`.

use std::path::PathBuf;
use std::time::Duration;

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processor time of all its threads.
    pub(crate) cpu: Duration,
    /// Bytes resident now.
    pub(crate) resident: u64,
    /// Bytes resident at its highest.
    pub(crate) highest: u64,
}

/// Linux counts processor time in hundredths of a second, whatever the kernel's own tick.
const TICK: Duration = Duration::from_millis(10);

fn usage(pid: u32) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name in parentheses, which may hold spaces: state is field 3, utime and stime are 14 and 15.
    let fields: Vec<u32> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    Usage { cpu: TICK * fields.iter().sum::<u32>(), resident: bytes("VmRSS:"), highest: bytes("VmHWM:") }
}

/// An engine's process and its children, as `infra/local/engines` left its id; none when `TILLSTREAM_ENGINES_DIR` doesn't name the set.
fn engine_pids(engine: &str) -> Vec<u32> {
    let Some(dir) = std::env::var_os("TILLSTREAM_ENGINES_DIR").map(PathBuf::from) else { return Vec::new() };
    let pid = std::fs::read_to_string(dir.join(format!("{engine}.pid"))).unwrap_or_default();
    pid.trim().parse().map(family).unwrap_or_default()
}

/// A process and its children.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    std::iter::once(pid).chain(pids.filter(|child| parent(*child) == Some(pid))).collect()
}

/// The processes of one system, with what they had used at a moment.
pub(crate) struct Processes(Vec<(String, Vec<u32>, Duration)>);

impl Processes {
    /// Those of a shop: its server, and the engines where it runs on some.
    pub(crate) fn of_shop(server: u32) -> Self {
        let mut named = vec![("tillstream".to_owned(), vec![server])];
        if std::env::var("TILLSTREAM_TESTS_BACKENDS").is_ok_and(|backends| backends == "engines") {
            named.extend(
                ["cassandra", "kafka", "elasticsearch", "postgres"]
                    .map(|engine| (engine.to_owned(), engine_pids(engine))),
            );
        }
        Self::now(named)
    }

    pub(crate) fn now(named: Vec<(String, Vec<u32>)>) -> Self {
        let at = |pids: &[u32]| pids.iter().map(|pid| usage(*pid).cpu).sum();
        Self(
            named
                .into_iter()
                .map(|(name, pids)| {
                    let used = at(&pids);
                    (name, pids, used)
                })
                .collect(),
        )
    }

    /// What each has used since.
    pub(crate) fn used(&self) -> Vec<(String, Usage)> {
        let one = |(name, pids, before): &(String, Vec<u32>, Duration)| {
            let mut sum = Usage::default();
            for now in pids.iter().map(|pid| usage(*pid)) {
                sum.cpu += now.cpu;
                sum.resident += now.resident;
                sum.highest += now.highest;
            }
            sum.cpu = sum.cpu.saturating_sub(*before);
            (name.clone(), sum)
        };
        self.0.iter().map(one).collect()
    }
}
