//! What the servers' settings promise: how a conditional write is decided, when it is on disk, and how many copies there are.

use scylla::client::session::Session;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::unprepared::Statement;

use super::open_error::{OpenError, failed, one_line};
use super::url::CassandraUrl;

/// What the settings of the cluster say, as far as it tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promises {
    /// `cassandra 5.0.4`, `scylladb 2025.4.0`.
    pub server: String,
    /// Name and value; a setting of one node is named with the node when nodes differ.
    pub facts: Vec<(String, String)>,
    /// What a production log should not stand on.
    pub warnings: Vec<String>,
}

impl Promises {
    /// Writes them to the program's own log.
    pub(super) fn log(&self) {
        let facts: Vec<String> = self.facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        tracing::info!(server = self.server, facts = facts.join(" "), "what the log's servers promise");
        for warning in &self.warnings {
            tracing::warn!(warning, "what the log's servers promise");
        }
    }
}

/// Settings that bear on P1 and on what an acknowledgement means.
const SETTINGS: [&str; 4] =
    ["paxos_variant", "paxos_state_purging", "commitlog_sync", "commitlog_sync_period"];

/// Asks the nodes of the local data centre.
pub(super) async fn look(
    session: &Session,
    url: &CassandraUrl,
    datacenter: &str,
) -> Result<Promises, OpenError> {
    let (server, is_cassandra) = server(session).await?;
    let mut facts = Vec::new();
    let replication = replication(session, url).await?;
    facts.push(("replication".to_owned(), replication.clone()));
    let state = session.get_cluster_state();
    let near = state.get_nodes_info().iter().filter(|node| node.datacenter.as_deref() == Some(datacenter));
    let near: Vec<_> = near.collect();
    facts.push(("nodes".to_owned(), near.len().to_string()));
    if is_cassandra {
        let mut told: Vec<(String, Vec<(String, String)>)> = Vec::new();
        for node in near {
            told.push((node.address.to_string(), settings(session, node).await));
        }
        facts.extend(agreed(&told));
    } else {
        // It syncs the commit log for every conditional write, whatever the setting, and has one Paxos.
        facts.extend(SETTINGS.map(|name| (name.to_owned(), "unknown".to_owned())));
    }
    let warnings = warnings(&replication, datacenter, &facts, is_cassandra);
    Ok(Promises { server, facts, warnings })
}

async fn server(session: &Session) -> Result<(String, bool), OpenError> {
    // Only ScyllaDB has this table.
    if let Ok(rows) = session.query_unpaged("SELECT version FROM system.versions", &[]).await
        && let Ok(rows) = rows.into_rows_result()
        && let Ok((version,)) = rows.first_row::<(String,)>()
    {
        return Ok((format!("scylladb {version}"), false));
    }
    let what = "the server's version";
    let rows =
        session.query_unpaged("SELECT release_version FROM system.local", &[]).await.map_err(failed(what))?;
    let rows = rows.into_rows_result().map_err(failed(what))?;
    let (version,) = rows.first_row::<(String,)>().map_err(failed(what))?;
    Ok((format!("cassandra {version}"), true))
}

/// `NetworkTopologyStrategy dc1=3`.
async fn replication(session: &Session, url: &CassandraUrl) -> Result<String, OpenError> {
    let what = "the keyspace's replication";
    let select = include_str!("cql/select_keyspace.cql");
    let rows = session.query_unpaged(select, (url.keyspace(),)).await.map_err(failed(what))?;
    let rows = rows.into_rows_result().map_err(failed(what))?;
    type Columns = (std::collections::BTreeMap<String, String>,);
    let (mut replication,) = rows.first_row::<Columns>().map_err(failed(what))?;
    let class = replication.remove("class").unwrap_or_default();
    let class = class.rsplit('.').next().unwrap_or_default();
    let counts = replication.into_iter().map(|(name, count)| format!(" {name}={count}"));
    Ok(counts.fold(class.to_owned(), |text, count| text + &count))
}

/// A node's own settings. That they can't be read is worth a word, and no reason not to start.
async fn settings(session: &Session, node: &std::sync::Arc<scylla::cluster::Node>) -> Vec<(String, String)> {
    let mut select = Statement::new(include_str!("cql/select_settings.cql"));
    let only = NodeIdentifier::Node(node.clone());
    select.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(only, None)));
    select.set_consistency(scylla::statement::Consistency::One);
    let read = async {
        let rows = session.query_unpaged(select, &[]).await.map_err(|e| one_line(&e))?;
        let rows = rows.into_rows_result().map_err(|e| one_line(&e))?;
        let rows = rows.rows::<(String, Option<String>)>().map_err(|e| one_line(&e))?;
        rows.collect::<Result<Vec<_>, _>>().map_err(|e| one_line(&e))
    };
    match read.await {
        Ok(rows) => rows.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
        Err(reason) => {
            tracing::warn!(node = %node.address, reason, "a node's settings can't be read");
            Vec::new()
        }
    }
}

/// One line for each setting where all nodes agree, one for each node where they don't.
fn agreed(told: &[(String, Vec<(String, String)>)]) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for name in SETTINGS {
        let values: Vec<(&str, &str)> = told
            .iter()
            .map(|(node, settings)| {
                let found = settings.iter().find(|(setting, _)| setting == name);
                (node.as_str(), found.map_or("unknown", |(_, value)| value.as_str()))
            })
            .collect();
        match values.first() {
            Some((_, first)) if values.iter().all(|(_, value)| value == first) => {
                facts.push((name.to_owned(), (*first).to_owned()));
            }
            _ => facts
                .extend(values.iter().map(|(node, value)| (format!("{name}@{node}"), (*value).to_owned()))),
        }
    }
    facts
}

fn warnings(
    replication: &str,
    datacenter: &str,
    facts: &[(String, String)],
    is_cassandra: bool,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if replication.starts_with("SimpleStrategy") {
        warnings.push("the keyspace uses SimpleStrategy, which ignores racks and data centres".to_owned());
    }
    let local = format!(" {datacenter}=");
    let replicas = replication.split_once(&local).or_else(|| replication.split_once(" replication_factor="));
    let replicas = replicas.and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("0");
    if matches!(replicas, "0" | "1") {
        warnings.push(format!(
            "the keyspace has {replicas} replica in {datacenter}: one disk lost is the log lost"
        ));
    }
    let says = |name: &str, wanted: &str| {
        facts.iter().any(|(fact, value)| fact.split('@').next() == Some(name) && value == wanted)
    };
    if says("commitlog_sync", "periodic") {
        warnings.push(
            "commitlog_sync is periodic: when all replicas lose power at once, acknowledged frames may be lost; use batch or group"
                .to_owned(),
        );
    }
    if says("paxos_variant", "v1") || says("paxos_variant", "v1_without_linearizable_reads") {
        warnings.push(
            "paxos_variant is v1: v2 needs fewer round trips and keeps its promises when replicas change"
                .to_owned(),
        );
    }
    if is_cassandra && says("commitlog_sync", "unknown") {
        warnings.push(
            "the servers don't tell their settings: check commitlog_sync and paxos_variant yourself"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(settings: &[(&str, &str)]) -> Vec<(String, String)> {
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_safe_log_draws_no_warning() {
        let safe = facts(&[("commitlog_sync", "batch"), ("paxos_variant", "v2")]);
        assert!(warnings("NetworkTopologyStrategy dc1=3 dc2=1", "dc1", &safe, true).is_empty());
    }

    #[test]
    fn what_may_lose_frames_is_said() {
        let weak = facts(&[("commitlog_sync@a:1", "periodic"), ("paxos_variant", "v1")]);
        assert_eq!(warnings("SimpleStrategy replication_factor=1", "dc1", &weak, true).len(), 4);
        let untold = facts(&[("commitlog_sync", "unknown")]);
        assert_eq!(warnings("NetworkTopologyStrategy dc1=3", "dc1", &untold, true).len(), 1);
        assert_eq!(warnings("NetworkTopologyStrategy dc1=3", "dc1", &untold, false).len(), 0);
    }

    #[test]
    fn nodes_that_differ_are_named() {
        let told = [
            ("a:1".to_owned(), facts(&[("paxos_variant", "v1")])),
            ("b:1".to_owned(), facts(&[("paxos_variant", "v2")])),
        ];
        let agreed = agreed(&told);
        assert!(agreed.contains(&("paxos_variant@a:1".to_owned(), "v1".to_owned())), "{agreed:?}");
        assert!(agreed.contains(&("commitlog_sync".to_owned(), "unknown".to_owned())), "{agreed:?}");
    }
}
