SELECT shipment_id, order_id, customer_id, status, carrier_reference, shipment_version, created_at, updated_at
FROM shipments WHERE tenant = $1
