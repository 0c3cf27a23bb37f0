//! The verifier of `GET /api/v1/audit/verify`, over this process's log.

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::log::EventLog;
use query_api::{ShardReport, Verifier, VerifyError, VerifyReport};

use crate::verify::verify_store;

/// Verifies a log and its derived rows.
pub(super) struct LogVerifier(pub(super) Arc<dyn EventLog>);

#[async_trait]
impl Verifier for LogVerifier {
    async fn verify(&self) -> Result<VerifyReport, VerifyError> {
        let report =
            verify_store(self.0.as_ref(), |_, _| {}).await.map_err(|e| VerifyError(e.to_string()))?;
        let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let shards = report.shards.into_iter();
        Ok(VerifyReport {
            ok: report.ok,
            shards: shards.map(|s| ShardReport { shard: s.shard, head: s.head, hash: hex(s.hash) }).collect(),
            first_fault: report.first_fault,
            fault_reason: report.fault_reason,
        })
    }
}
