SELECT coalesce(sum(amount), 0) FROM refunds WHERE charge = ?1
