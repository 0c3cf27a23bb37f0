//! Rows that were made from something else than the log.

use domain::ports::log::LogReader;

use super::{Applier, ApplyError};
use crate::engine::origin::Looked;
use crate::engine::store::StoreError;

/// How often a projection is compared with the log while other processes change it.
const RECONCILED: usize = 8;

impl Applier {
    /// Builds the projections anew whose rows were made from something that the log doesn't hold. Those of another version are
    /// replaced anyhow.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub async fn reconcile(&mut self, log: &dyn LogReader) -> Result<(), ApplyError> {
        let mut looked = Looked::default();
        for lane in &self.lanes {
            let name = lane.projection.name();
            for _ in 0..RECONCILED {
                let loaded = self.store.load(name).await?;
                if loaded.foreign.is_some() {
                    break;
                }
                let Some(found) = looked.contradiction(&loaded, self.store.as_ref(), log).await? else {
                    break;
                };
                tracing::warn!(projection = name, reason = %found, "its rows were not made from this log; building them anew");
                match self.store.renew(&lane.projection, &loaded).await {
                    // Another process was faster, or goes on with them.
                    Err(StoreError::Moved(_)) | Ok(()) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(self.reload().await?)
    }
}
