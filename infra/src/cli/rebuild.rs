//! `tillstream rebuild [names…]`: projections from the log, beside the live ones, compared and swapped.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use domain::ports::log::LogReader as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{out, store};
use crate::application::{Application, Projections};
use crate::backends::distributed::expect_read_models;
use crate::cassandra::CassandraLog;
use crate::config::{Config, Distributed, Family};
use crate::elasticsearch;
use crate::postgres::rebuild::OnlyOne;
use crate::postgres::{self, Database, PostgresReadStore};
use crate::rebuild::{Difference, Phase, RebuildProgress, RebuildReport, rebuild};

pub(super) async fn run(
    application: &Application,
    config: &Config,
    names: &[String],
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg:<28} {wide_bar} {pos}/{len} events ({elapsed})")?);
    let mut phase: Option<Phase> = None;
    let mut progress = |now: RebuildProgress| {
        if phase != Some(now.phase) {
            phase = Some(now.phase);
            bar.set_message(now.phase.title());
        }
        bar.set_length(now.total);
        bar.set_position(now.done);
    };
    let projections = &application.projections;
    let rebuilding = async {
        match config.family()? {
            Family::Embedded(places) => {
                let (_locks, log) = store::alone(places)?;
                Ok(rebuild(places.read, projections.clone(), names, &log, &mut progress).await?)
            }
            Family::Distributed(urls) => beside_servers(projections, &urls, names, &mut progress).await,
        }
    };
    let rebuilt: anyhow::Result<Vec<RebuildReport>> = tokio::select! {
        rebuilt = rebuilding => rebuilt,
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

/// Rows and documents while servers go on.
async fn beside_servers(
    projections: &Projections,
    urls: &Distributed<'_>,
    names: &[String],
    progress: &mut (dyn FnMut(RebuildProgress) + Send),
) -> anyhow::Result<Vec<RebuildReport>> {
    let (rows, documents) = by_store(projections, names)?;
    let log = Arc::new(CassandraLog::open(urls.log).await?);
    let database = existing(projections, urls, &log, &rows, &documents).await?;
    let mut reports = Vec::new();
    if names.is_empty() || !rows.is_empty() {
        reports.extend(
            postgres::rebuild::rebuild(&database, projections.rows.clone(), &rows, log.clone(), progress)
                .await?,
        );
    }
    if names.is_empty() || !documents.is_empty() {
        let only_one = OnlyOne::take(&database).await?;
        let letters = Arc::new(PostgresReadStore::new(database));
        let all = &projections.documents;
        let rebuilding =
            elasticsearch::rebuild::rebuild(urls.search, letters, all, &documents, log, progress);
        let rebuilt = rebuilding.await;
        only_one.release().await;
        reports.extend(rebuilt?);
    }
    Ok(reports)
}

/// The database, when what is to be rebuilt is there and of this log: a name that is mistyped must not become an empty store.
async fn existing(
    projections: &Projections,
    urls: &Distributed<'_>,
    log: &CassandraLog,
    rows: &[String],
    documents: &[String],
) -> anyhow::Result<Database> {
    let database = Database::connect(urls.read).await?;
    expect_read_models(&database).await?;
    PostgresReadStore::new(database.clone()).refuse_other(log.store().id).await?;
    let all = &projections.documents;
    let everything = rows.is_empty() && documents.is_empty();
    for index in all.iter().filter_map(|documents| documents.index()) {
        let name = index.projection;
        let wanted = everything || documents.iter().any(|wanted| wanted == name);
        if wanted && !elasticsearch::is_made(urls.search, index).await? {
            bail!(
                "there is no index of {name} at {}: check search.url, or run `tillstream migrate`",
                urls.search
            );
        }
    }
    Ok(database)
}

/// The names of projections in the database, and of those in the search indices.
fn by_store(projections: &Projections, names: &[String]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let rows: Vec<&str> = projections.rows.iter().map(|p| p.name()).collect();
    let documents: Vec<&str> = projections.documents.iter().map(|p| p.name()).collect();
    if let Some(unknown) = names.iter().find(|name| !rows.iter().chain(&documents).any(|one| one == name)) {
        bail!("there is no projection {unknown}; there are {}", [rows, documents].concat().join(", "));
    }
    Ok(names.iter().cloned().partition(|name| rows.iter().any(|one| one == name)))
}

/// `--rollback`: the generation before becomes the live one again.
pub(super) async fn rollback(
    application: &Application,
    config: &Config,
    names: &[String],
) -> anyhow::Result<ExitCode> {
    let Family::Distributed(urls) = config.family()? else {
        bail!("embedded projections keep no earlier rows; `tillstream rebuild` makes them from the log");
    };
    let projections = &application.projections;
    let (rows, documents) = by_store(projections, names)?;
    let log = Arc::new(CassandraLog::open(urls.log).await?);
    let database = existing(projections, &urls, &log, &rows, &documents).await?;
    for name in &rows {
        postgres::rebuild::rollback(&database, &projections.rows, name, log.clone()).await?;
        out::line(format!("{name}: the rows of before are live again"));
    }
    let letters = Arc::new(PostgresReadStore::new(database));
    for name in &documents {
        let all = &projections.documents;
        elasticsearch::rebuild::rollback(urls.search, letters.clone(), all, name, log.clone()).await?;
        out::line(format!("{name}: the documents of before are live again"));
    }
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
            hex::encode(&report.digest_after[..8]),
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
