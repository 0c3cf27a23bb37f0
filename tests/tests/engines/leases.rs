//! The contract of leases, handover and asking the owner, over Cassandra.

use std::sync::Arc;

use domain::ports::leases::Leases;
use tests::contract::leases::FreshLeases;

use super::owners::Cassandra;

impl FreshLeases for Cassandra {
    fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(self.log.clone())
    }
}

tests::leases_contract!(Cassandra);
