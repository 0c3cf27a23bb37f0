INSERT INTO bookings (key, reference, shipment_id, order_id, country, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
