//! `tillstream history <type> <id>`: a stream event by event.

use std::process::ExitCode;

use anyhow::bail;
use domain::event::RecordedEvent;
use domain::ports::walk::Walk;
use domain::stream::{DEFAULT_TENANT, StreamId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::out;
use super::store::{Opened, Store, for_reading};
use crate::config::Config;

const PAGE: usize = 500;

pub(super) async fn run(
    config: &Config,
    kind: &str,
    id: &str,
    json: bool,
    shutdown: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let store = match for_reading(config).await? {
        Opened::Store(store) => store,
        Opened::Fault(_, reason) => bail!(reason),
    };
    // Ids are written in lower case; whoever copies one may have another spelling of it.
    let id = Uuid::try_parse(id).map_or_else(|_| id.to_owned(), |uuid| uuid.to_string());
    let stream = StreamId::new(DEFAULT_TENANT, kind, &id);
    // Read before the rows: beside a running server they grow meanwhile, and what they show is skipped below.
    let derived = store.log.progress(stream.shard(store.log.store().shards)).await?.derived_through;
    let mut version = 0;
    loop {
        let page = tokio::select! {
            page = store.log.read_stream(&stream, version, PAGE) => page?,
            () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
        };
        let Some(last) = page.last() else { break };
        version = last.version;
        page.iter().try_for_each(|event| print(event, json))?;
        if !out::is_open() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    // Derived rows may be behind the log, most of all after a crash: the rest is read from the frames themselves.
    version = rest(&store, &stream, derived, version, json, &shutdown).await?;
    if version == 0 {
        bail!("there is no {kind} {id}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn rest(
    store: &Store,
    stream: &StreamId,
    derived: u64,
    mut version: u64,
    json: bool,
    shutdown: &CancellationToken,
) -> anyhow::Result<u64> {
    let shard = stream.shard(store.log.store().shards);
    let mut walk = Walk::from_frame(&*store.log, shard, derived + 1);
    while !shutdown.is_cancelled() && out::is_open() {
        let page = walk.page().await?;
        if page.is_empty() {
            break;
        }
        for frame in &page {
            for event in frame.events.iter().filter(|event| event.stream == *stream) {
                if event.version > version {
                    version = event.version;
                    print(event, json)?;
                }
            }
        }
    }
    Ok(version)
}

fn print(event: &RecordedEvent, json: bool) -> anyhow::Result<()> {
    if json {
        out::line(serde_json::to_string(event)?);
        return Ok(());
    }
    out::line(format!(
        "{:>4}  {}  {} {}",
        event.version,
        domain::event::wire_time(event.time),
        out::styled(out::NAME, &event.event_type),
        out::styled(out::QUIET, format!("v{}", event.schema_version)),
    ));
    out::line(format!("      at {} by {}", event.position, event.actor));
    out::line(out::styled(
        out::QUIET,
        format!("      correlation {} · caused by {}", event.correlation_id, event.causation_id),
    ));
    let data: serde_json::Value = serde_json::from_str(&event.data)?;
    for line in serde_json::to_string_pretty(&data)?.lines() {
        out::line(format!("      {line}"));
    }
    out::gap();
    Ok(())
}
