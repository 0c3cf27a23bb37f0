INSERT INTO charges (key, id, payment_id, order_id, amount, currency, method, status, decline_reason, captures_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
