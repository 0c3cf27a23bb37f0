//! Sessions, what they ask of the driver, and what its errors mean.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::log::LogError;
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::cluster::Node;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::{DefaultPolicy, LoadBalancingPolicy};
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::response::query_result::QueryRowsResult;
use scylla::statement::{Consistency, SerialConsistency};

use super::open_error::{OpenError, one_line};
use super::url::CassandraUrl;

/// How often the nodes are asked whether they agree on a new table.
const SCHEMA_AGREEMENT: Duration = Duration::from_millis(20);

/// A session, and the data centre whose quorums count.
pub(super) struct Connected {
    pub(super) session: Session,
    pub(super) datacenter: String,
}

/// Connects to the cluster, without a keyspace as the default yet.
pub(super) async fn connect(url: &CassandraUrl) -> Result<Connected, OpenError> {
    let unreachable = |e: &dyn std::error::Error| OpenError::Unreachable { reason: one_line(e) };
    let mut builder = SessionBuilder::new()
        .known_nodes(url.hosts())
        .connection_timeout(url.timeout())
        .schema_agreement_interval(SCHEMA_AGREEMENT)
        // Other keyspaces of the cluster are none of our business, and there may be many.
        .keyspaces_to_fetch([url.keyspace()])
        .default_execution_profile_handle(reading(url, None));
    if let Some((user, password)) = url.login() {
        builder = builder.user(user, password);
    }
    let session = builder.build().await.map_err(|e| unreachable(&e))?;
    let datacenter = local_datacenter(url, session.get_cluster_state().get_nodes_info())?;
    let mut profile = session.get_default_execution_profile_handle().clone();
    profile.map_to_another_profile(reading(url, Some(&datacenter)).to_profile());
    Ok(Connected { session, datacenter })
}

/// The data centre that the URL names, or the only one.
fn local_datacenter(url: &CassandraUrl, nodes: &[Arc<Node>]) -> Result<String, OpenError> {
    let found: BTreeSet<&str> = nodes.iter().filter_map(|node| node.datacenter.as_deref()).collect();
    let list = || found.iter().copied().collect::<Vec<_>>().join(", ");
    match (url.datacenter(), found.len()) {
        (Some(named), _) if found.contains(named) => Ok(named.to_owned()),
        (Some(named), _) => Err(OpenError::Datacenter(format!("there is no `{named}` among {}", list()))),
        (None, 1) => Ok(found.into_iter().next().unwrap_or_default().to_owned()),
        (None, _) => {
            Err(OpenError::Datacenter(format!("name the local one by ?datacenter= among {}", list())))
        }
    }
}

fn balancing(datacenter: Option<&str>) -> Arc<dyn LoadBalancingPolicy> {
    let policy = DefaultPolicy::builder().token_aware(true).permit_dc_failover(false);
    match datacenter {
        Some(name) => policy.prefer_datacenter(name.to_owned()),
        None => policy,
    }
    .build()
}

/// For everything that may be repeated: the driver retries as it does by default.
fn reading(url: &CassandraUrl, datacenter: Option<&str>) -> ExecutionProfileHandle {
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(url.timeout()))
        .load_balancing_policy(balancing(datacenter))
        .build()
        .into_handle()
}

/// For conditional writes (P3): one attempt, whose outcome is told to the caller as it is. The driver's own retries would hide
/// that an earlier attempt may have landed, and its default is to retry some of them.
pub(super) fn deciding(url: &CassandraUrl, datacenter: &str) -> ExecutionProfileHandle {
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(url.timeout()))
        .load_balancing_policy(balancing(Some(datacenter)))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .speculative_execution_policy(None)
        .build()
        .into_handle()
}

/// A read or derived write that failed. It may be repeated, whatever was the matter.
pub(super) fn unavailable(error: impl std::error::Error) -> LogError {
    LogError::Unavailable(one_line(&error))
}

/// Stored values that don't have the shape that this program writes.
pub(super) fn corrupt(what: impl std::fmt::Display, reason: impl std::fmt::Display) -> LogError {
    LogError::Corrupt(what.to_string(), reason.to_string())
}

/// Whether a conditional write that failed like this certainly left nothing behind. Everything that may have reached a node
/// which could have acted on it counts as unknown: time-outs, lost connections, failures, and also refusals as unavailable or
/// overloaded, since a coordinator may say so in a later round than the one that made the proposal.
pub(super) fn wrote_nothing(error: &ExecutionError) -> bool {
    match error {
        // Before anything was sent.
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::LastAttemptError(
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_)
            | RequestAttemptError::UnableToAllocStreamId,
        ) => true,
        // Before it was carried out.
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => matches!(
            error,
            DbError::SyntaxError
                | DbError::Invalid
                | DbError::Unauthorized
                | DbError::AuthenticationError
                | DbError::ConfigError
        ),
        _ => false,
    }
}

/// Whether a conditional write was applied: the column `[applied]`, by its name. Where it stands and which others come with it
/// depends on the server and on the outcome.
pub(super) fn applied(rows: &QueryRowsResult) -> Option<bool> {
    use scylla::value::{CqlValue, Row};
    let (index, _) = rows.column_specs().get_by_name("[applied]")?;
    let row: Row = rows.first_row().ok()?;
    match row.columns.get(index)? {
        Some(CqlValue::Boolean(applied)) => Some(*applied),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use scylla::errors::WriteType;

    use super::*;

    fn said(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()))
    }

    // proves: P3
    #[test]
    fn what_may_have_landed_is_not_called_not_written() {
        let consistency = Consistency::LocalQuorum;
        for error in [
            ExecutionError::RequestTimeout(Duration::from_secs(1)),
            said(DbError::WriteTimeout { consistency, received: 0, required: 2, write_type: WriteType::Cas }),
            said(DbError::Unavailable { consistency, required: 2, alive: 1 }),
            said(DbError::Overloaded),
            said(DbError::ServerError),
            said(DbError::IsBootstrapping),
        ] {
            assert!(!wrote_nothing(&error), "{error}");
        }
        for error in [ExecutionError::EmptyPlan, said(DbError::Invalid), said(DbError::Unauthorized)] {
            assert!(wrote_nothing(&error), "{error}");
        }
    }
}
