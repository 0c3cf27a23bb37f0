//! The verifier of `/api/v1/audit/…`, over this process's log.

use std::time::Duration;

use async_trait::async_trait;
use query_api::verifier::{Status, ThroughReport, Verification};
use query_api::{ShardReport, Verifier, VerifyError, VerifyReport};
use uuid::Uuid;

use crate::verify::jobs::{Job, Outcome, Verifications};

/// Verifies a log and its derived rows.
pub(super) struct LogVerifier(pub(super) Verifications);

#[async_trait]
impl Verifier for LogVerifier {
    fn start(&self) -> Uuid {
        self.0.start()
    }

    fn verification(&self, id: Uuid) -> Option<Verification> {
        self.0.job(id).map(verification)
    }

    async fn latest(&self, within: Duration) -> Result<Option<VerifyReport>, VerifyError> {
        let job = self.0.latest(within).await.map_err(|e| VerifyError(e.to_string()))?;
        Ok(job.and_then(report))
    }
}

fn verification(job: Job) -> Verification {
    let verified =
        job.through.iter().map(|through| ThroughReport { shard: through.shard, through: *through });
    let verified = verified.collect();
    let (status, first_fault, reason) = match job.outcome {
        Outcome::Running => (Status::Running, None, None),
        Outcome::Found(report) if report.ok => (Status::Ok, None, None),
        Outcome::Found(report) => (Status::Fault, report.first_fault, report.fault_reason.clone()),
        Outcome::Failed(reason) => {
            tracing::warn!(reason, "told of a verification that was given up");
            (Status::Failed, None, Some("storage could not be read".to_owned()))
        }
    };
    Verification {
        id: job.id,
        status,
        verified,
        first_fault,
        fault_reason: reason,
        started_at: job.started_at,
        ended_at: job.ended_at,
    }
}

/// The report of a verification that ended.
fn report(job: Job) -> Option<VerifyReport> {
    let Outcome::Found(report) = job.outcome else { return None };
    let shards = report.shards.iter();
    Some(VerifyReport {
        ok: report.ok,
        as_of: job.started_at,
        shards: shards
            .map(|s| ShardReport { shard: s.shard, head: s.head, hash: hex::encode(s.hash) })
            .collect(),
        first_fault: report.first_fault,
        fault_reason: report.fault_reason.clone(),
    })
}
