//! `tillstream rebuild [names…]`: projections from the log, beside the live ones, compared and swapped.

use std::process::ExitCode;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{out, store};
use crate::config::{Config, Family};
use crate::rebuild::{Difference, Hex, Phase, RebuildReport, rebuild};

pub(super) async fn run(
    config: &Config,
    names: &[String],
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let Family::Embedded(places) = config.family()? else { bail!("not yet") };
    let (_locks, log) = store::alone(places)?;
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg:<28} {wide_bar} {pos}/{len} events ({elapsed})")?);
    let mut phase: Option<Phase> = None;
    let mut progress = |now: crate::rebuild::RebuildProgress| {
        if phase != Some(now.phase) {
            phase = Some(now.phase);
            bar.set_message(now.phase.title());
        }
        bar.set_length(now.total);
        bar.set_position(now.done);
    };
    let rebuilt = tokio::select! {
        rebuilt = rebuild(places.read, names, &log, &mut progress) => rebuilt,
        () = shutdown.cancelled() => {
            bar.finish_and_clear();
            out::line("interrupted; run it again to rebuild");
            return Ok(ExitCode::SUCCESS);
        }
    };
    bar.finish_and_clear();
    print(&rebuilt?);
    Ok(ExitCode::SUCCESS)
}

fn print(reports: &[RebuildReport]) {
    let heading = format!(
        "{:<11} {:>9} {:>7} {:>9}  {:<16}  result",
        "projection", "events", "parked", "rows", "digest"
    );
    out::line(out::styled(out::TITLE, heading));
    for report in reports {
        let result = if report.equal() {
            out::styled(out::GOOD, "equal")
        } else {
            out::styled(out::WARN, format!("{} rows differed, now as the log says", report.differing_rows))
        };
        out::line(format!(
            "{:<11} {:>9} {:>7} {:>9}  {:<16}  {result}",
            report.projection,
            report.events,
            report.parked,
            report.rows,
            Hex(&report.digest_after[..8]).to_string(),
        ));
        for row in &report.examples {
            let how = match &row.difference {
                Difference::OnlyLive => "was there, but not by the log".to_owned(),
                Difference::OnlyBuilt => "was missing".to_owned(),
                Difference::Changed { columns } if columns.is_empty() => "had other contents".to_owned(),
                Difference::Changed { columns } => format!("differed in {}", columns.join(", ")),
            };
            out::line(format!("  {} {}: {how}", row.table, row.key));
        }
        let hidden = report.differing_rows.saturating_sub(report.examples.len() as u64);
        if hidden > 0 && !report.examples.is_empty() {
            out::line(format!("  and {hidden} more"));
        }
    }
}
