//! Stock per product and warehouse.

use std::sync::Arc;

use domain::event::RecordedEvent;
use domain::inventory::{InventoryEvent, LevelAfter};
use domain::upcast::DecodeError;
use uuid::Uuid;

use crate::engine::mapping::{TENANT, UPDATED_AT, int, tenant, text};
use crate::engine::model::Projection;
use crate::engine::query::Direction::Ascending;
use crate::engine::query::{Condition, Row, Select, Unreadable, View, all};
use crate::engine::read_models::{ReadError, ReadModels};
use crate::engine::rows::{ColumnKind, Group, RowChange, Table, Value, col};

/// One row per product and warehouse.
pub static STOCK: Table = Table {
    name: "stock",
    about: "One row per product and warehouse.",
    key: &[
        TENANT,
        col("product_id", ColumnKind::Uuid, "The product"),
        col("warehouse", ColumnKind::Text, "The warehouse"),
    ],
    groups: &[Group {
        name: "stock",
        source: "stock",
        columns: &[
            col("on_hand", ColumnKind::Int, "Pieces there"),
            col("reserved", ColumnKind::Int, "Of these, set aside for orders"),
            UPDATED_AT,
        ],
    }],
    indexes: &[],
};

/// The name of the projection.
pub const NAME: &str = "inventory";

/// The projection `inventory`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inventory;

impl Projection for Inventory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static Table] {
        const { &[&STOCK] }
    }

    fn map(&self, event: &RecordedEvent) -> Result<Vec<RowChange>, DecodeError> {
        if event.stream.kind() != "inventory" {
            return Ok(vec![]);
        }
        let (product, levels) = match event.typed::<InventoryEvent>()? {
            InventoryEvent::StockSet(set) => (set.product_id, vec![set.level]),
            InventoryEvent::Reserved(reserved) => (reserved.product_id, reserved.levels),
            InventoryEvent::Released(released) => (released.product_id, released.levels),
            InventoryEvent::Committed(committed) => (committed.product_id, committed.levels),
            // Nothing was set aside.
            InventoryEvent::Withdrawn(_) => return Ok(vec![]),
        };
        levels.into_iter().map(|level| row(event, product, level)).collect()
    }
}

/// Its row projections.
#[must_use]
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(Inventory)]
}

fn row(event: &RecordedEvent, product: Uuid, level: LevelAfter) -> Result<RowChange, DecodeError> {
    Ok(RowChange {
        table: &STOCK,
        key: vec![tenant(event), Value::Uuid(product), text(level.warehouse)],
        group: "stock",
        version: event.version,
        set: vec![
            ("on_hand", int(event, level.on_hand)?),
            ("reserved", int(event, level.reserved)?),
            ("updated_at", Value::Time(event.time)),
        ],
    })
}

/// Stock of one product in one warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockRow {
    /// The product.
    pub product_id: Uuid,
    /// The warehouse.
    pub warehouse: String,
    /// Pieces there.
    pub on_hand: u64,
    /// Of these, set aside for orders.
    pub reserved: u64,
}

impl View for StockRow {
    const PROJECTION: &'static str = NAME;
    const TABLE: &'static Table = &STOCK;

    fn of_row(row: &Row) -> Result<Self, Unreadable> {
        Ok(Self {
            product_id: row.uuid("product_id")?,
            warehouse: row.text("warehouse")?.to_owned(),
            on_hand: row.number("on_hand")?,
            reserved: row.number("reserved")?,
        })
    }
}

/// Questions about stock.
pub trait ReadStock: ReadModels {
    /// Stock of the products in every warehouse; nothing for a product without stock.
    ///
    /// # Errors
    /// [`ReadError`].
    fn stock(
        &self,
        tenant: &str,
        products: &[Uuid],
    ) -> impl Future<Output = Result<Vec<StockRow>, ReadError>> + Send {
        async move {
            let products = products.iter().copied().map(Value::Uuid).collect();
            let select = Select::of::<StockRow>(tenant).and(Condition::In("product_id", products));
            all(self, select.by("product_id", Ascending).by("warehouse", Ascending)).await
        }
    }
}

impl<R: ReadModels + ?Sized> ReadStock for R {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{ID, event, set};
    use domain::inventory::StockCommitted;

    #[test]
    fn every_warehouse_of_an_event_is_a_row() {
        let level =
            |warehouse: &str, on_hand| LevelAfter { warehouse: warehouse.into(), on_hand, reserved: 1 };
        let committed = InventoryEvent::Committed(StockCommitted {
            product_id: ID,
            order_id: ID,
            line: 1,
            quantity: 2,
            levels: vec![level("main", 4), level("north", 0)],
        });
        let rows = Inventory.map(&event("inventory", 9, &committed)).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].key, [text("default"), Value::Uuid(ID), text("north")]);
        assert_eq!(set(&rows[0], "on_hand"), Some(&Value::Int(4)));
        let huge = InventoryEvent::Committed(StockCommitted {
            product_id: ID,
            order_id: ID,
            line: 1,
            quantity: 2,
            levels: vec![level("main", u64::MAX)],
        });
        assert!(Inventory.map(&event("inventory", 9, &huge)).is_err());
    }
}
