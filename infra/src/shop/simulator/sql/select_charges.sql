SELECT seq, id, payment_id, order_id, amount, currency,
       CASE WHEN status = 'authorized' AND captures_at <= ?3 THEN 'captured' ELSE status END,
       (SELECT coalesce(sum(r.amount), 0) FROM refunds AS r WHERE r.charge = charges.seq)
FROM charges WHERE seq > ?1 ORDER BY seq LIMIT ?2
