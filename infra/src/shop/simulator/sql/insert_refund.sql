INSERT INTO refunds (refund_id, charge, amount, reference) VALUES (?1, ?2, ?3, ?4)
