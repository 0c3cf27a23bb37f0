//! Leases: the tables `shard_owners`, by conditional writes, and `instances`, whose rows expire.

use std::time::Duration;

use async_trait::async_trait;
use domain::ports::leases::{Instance, InstanceId, Lease, Leases};
use domain::ports::log::{LogError, LogReader};
use domain::position::Shard;
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::CassandraLog;
use super::connect::{applied, corrupt, unavailable};
use super::log::serial;

/// Rows read together.
const AT_ONCE: usize = 16;

impl CassandraLog {
    async fn lease(&self, shard: Shard) -> Result<Lease, LogError> {
        type Columns<'a> = (Option<Uuid>, Option<&'a str>, Option<i64>, Option<i64>);
        let what = || format!("the owner of shard {shard}");
        let select = serial(&self.inner.statements.select_lease);
        let rows =
            self.inner.session.execute_unpaged(&select, (i32::from(shard.0),)).await.map_err(unavailable)?;
        let rows = rows.into_rows_result().map_err(|e| corrupt(what(), e))?;
        let row = rows.maybe_first_row::<Columns<'_>>().map_err(|e| corrupt(what(), e))?;
        let (owner, address, epoch, beat) =
            row.ok_or_else(|| corrupt(what(), "it has no row: run `tillstream migrate`"))?;
        Ok(Lease {
            shard,
            owner: owner
                .map(|id| Instance { id: InstanceId(id), address: address.unwrap_or_default().to_owned() }),
            epoch: epoch.unwrap_or(0) as u64,
            beat: beat.unwrap_or(0) as u64,
        })
    }
}

#[async_trait]
impl Leases for CassandraLog {
    async fn leases(&self) -> Result<Vec<Lease>, LogError> {
        let shards = (0..self.store().shards).map(|n| self.lease(Shard(n)));
        futures::stream::iter(shards).buffered(AT_ONCE).try_collect().await
    }

    async fn replace(&self, seen_beat: u64, next: &Lease) -> Result<Option<Lease>, LogError> {
        let what = || format!("the owner of shard {}", next.shard);
        let (owner, address) = match &next.owner {
            Some(Instance { id, address }) => (Some(id.0), Some(address.as_str())),
            None => (None, None),
        };
        let (epoch, beat, shard) = (next.epoch as i64, seen_beat as i64 + 1, i32::from(next.shard.0));
        let values = (owner, address, epoch, beat, shard, seen_beat as i64);
        let outcome = self.inner.session.execute_unpaged(&self.inner.statements.replace_lease, values).await;
        let rows = outcome.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what(), e))?;
        match applied(&rows) {
            Some(true) => Ok(None),
            // The answer holds the columns of the condition at most.
            Some(false) => self.lease(next.shard).await.map(Some),
            None => Err(corrupt(what(), "the server's answer doesn't say whether it was applied")),
        }
    }

    async fn announce(&self, instance: &Instance, ttl: Duration) -> Result<(), LogError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let values =
            (instance.id.0, instance.address.as_str(), i32::try_from(seconds.max(1)).unwrap_or(i32::MAX));
        let outcome = self.inner.session.execute_unpaged(&self.inner.statements.announce, values).await;
        outcome.map(drop).map_err(unavailable)
    }

    async fn withdraw(&self, instance: InstanceId) -> Result<(), LogError> {
        let outcome =
            self.inner.session.execute_unpaged(&self.inner.statements.withdraw, (instance.0,)).await;
        outcome.map(drop).map_err(unavailable)
    }

    async fn instances(&self) -> Result<Vec<Instance>, LogError> {
        let what = "the running processes";
        let rows = self.inner.session.execute_unpaged(&self.inner.statements.select_instances, &[]).await;
        let rows = rows.map_err(unavailable)?.into_rows_result().map_err(|e| corrupt(what, e))?;
        let rows = rows.rows::<(Uuid, Option<String>)>().map_err(|e| corrupt(what, e))?;
        let instance = |(id, address): (Uuid, Option<String>)| Instance {
            id: InstanceId(id),
            address: address.unwrap_or_default(),
        };
        rows.map(|row| row.map(instance).map_err(|e| corrupt(what, e))).collect()
    }
}
