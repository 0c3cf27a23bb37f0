//! Shipments. The address stays in the log: no query here needs it.

use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::shipping::shipment::{ShipmentEvent, ShipmentStatus, ShipmentView};
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::mapping::{CREATED_AT, TENANT, UPDATED_AT, tenant, text, wire_name};
use crate::engine::model::Projection;
use crate::engine::query::{Condition, Row, Select, Unreadable, View, first};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, Index, RowChange, Table, Value, col};

/// One row per shipment.
pub static SHIPMENTS: Table = Table {
    name: "shipments",
    about: "One row per shipment.",
    key: &[TENANT, col("shipment_id", ColumnKind::Uuid, "The shipment")],
    groups: &[Group {
        name: "shipment",
        source: "shipment",
        columns: &[
            col("order_id", ColumnKind::Uuid, "The order"),
            col("customer_id", ColumnKind::Uuid, "The customer's user id"),
            col("status", ColumnKind::Text, "requested, created, dispatched, delivered, failed, cancelled"),
            col("country", ColumnKind::Text, "Where it goes, ISO 3166-1 alpha-2"),
            col("carrier_reference", ColumnKind::Text, "The carrier's own id"),
            col("failure", ColumnKind::Text, "Why the carrier refused"),
            CREATED_AT,
            UPDATED_AT,
        ],
    }],
    indexes: &[Index { name: "shipments_by_order", on: &["tenant", "order_id"], only: None }],
};

/// The name of the projection.
pub const NAME: &str = "shipments";

/// The projection `shipments`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shipments;

impl Projection for Shipments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&SHIPMENTS] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != "shipment" {
            return Ok(vec![]);
        }
        let decoded = event.typed::<ShipmentEvent>()?;
        let mut set = vec![("status", wire_name(event, &status_after(&decoded))?)];
        match decoded {
            ShipmentEvent::Requested(requested) => set.extend([
                ("order_id", Value::Uuid(requested.order_id)),
                ("customer_id", Value::Uuid(requested.customer_id)),
                ("country", text(requested.address.country)),
                ("created_at", Value::Time(event.time)),
            ]),
            ShipmentEvent::Created(created) => {
                set.push(("carrier_reference", text(created.carrier_reference)))
            }
            ShipmentEvent::Failed(failed) => set.push(("failure", text(failed.reason))),
            ShipmentEvent::Cancelled(_) | ShipmentEvent::Dispatched(_) | ShipmentEvent::Delivered(_) => {}
        }
        set.push(("updated_at", Value::Time(event.time)));
        Ok(vec![RowChange {
            table: &SHIPMENTS,
            key: vec![tenant(event), Value::Uuid(event.stream_uuid()?)],
            group: "shipment",
            version: event.version,
            set,
        }])
    }
}

/// Its row projections.
#[must_use]
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(Shipments)]
}

/// The status that an event leads to.
pub(crate) fn status_after(event: &ShipmentEvent) -> ShipmentStatus {
    match event {
        ShipmentEvent::Requested(_) => ShipmentStatus::Requested,
        ShipmentEvent::Created(_) => ShipmentStatus::Created,
        ShipmentEvent::Failed(_) => ShipmentStatus::Failed,
        ShipmentEvent::Cancelled(_) => ShipmentStatus::Cancelled,
        ShipmentEvent::Dispatched(_) => ShipmentStatus::Dispatched,
        ShipmentEvent::Delivered(_) => ShipmentStatus::Delivered,
    }
}

impl View for ShipmentView {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &SHIPMENTS;

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self {
            id: row.uuid("shipment_id")?,
            order_id: row.uuid("order_id")?,
            customer_id: row.uuid("customer_id")?,
            status: row.parsed("status")?,
            carrier_reference: row.text_or_none("carrier_reference")?.map(str::to_owned),
            version: row.version("shipment")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

/// Questions about shipments.
pub trait ReadShipments: ReadModels {
    /// A shipment.
    ///
    /// # Errors
    /// [`ReadError`].
    fn shipment(
        &self,
        tenant: &str,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<ShipmentView>, ReadError>> + Send {
        async move {
            first(self, Select::of::<ShipmentView>(tenant).and(Condition::Is("shipment_id", Value::Uuid(id))))
                .await
        }
    }
}

impl<R: ReadModels + ?Sized> ReadShipments for R {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{ID, event, set, text as t};
    use domain::shipping::shipment::{ShipmentCreated, ShipmentFailed};

    #[test]
    fn a_status_follows_every_event() {
        let created = ShipmentEvent::Created(ShipmentCreated { order_id: ID, carrier_reference: "c".into() });
        let rows = Shipments.map(&event("shipment", 2, &created)).unwrap();
        assert_eq!(
            (set(&rows[0], "status"), set(&rows[0], "carrier_reference")),
            (Some(&t("created")), Some(&t("c")))
        );
        let failed = ShipmentEvent::Failed(ShipmentFailed { order_id: ID, reason: "no".into() });
        let rows = Shipments.map(&event("shipment", 2, &failed)).unwrap();
        assert_eq!((set(&rows[0], "status"), set(&rows[0], "failure")), (Some(&t("failed")), Some(&t("no"))));
    }
}
