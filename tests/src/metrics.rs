//! Reading what `/metrics` tells.

use std::str::FromStr;

/// A series' count: its name without `tillstream_`, with its labels.
pub fn number(metrics: &str, series: &str) -> u64 {
    value(metrics, series).unwrap_or_else(|| panic!("{series} is missing in {metrics}"))
}

/// A series' value, if it is there.
pub fn value<T: FromStr>(metrics: &str, series: &str) -> Option<T> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("tillstream_{series} ")))?;
    Some(line.parse().unwrap_or_else(|_| panic!("{series} is {line}")))
}
