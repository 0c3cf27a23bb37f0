SELECT seq, id, amount, currency, decline_reason,
       CASE WHEN status = 'authorized' AND captures_at <= ?2 THEN 'captured' ELSE status END
FROM charges WHERE key = ?1
