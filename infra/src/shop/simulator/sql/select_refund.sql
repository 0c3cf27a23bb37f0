SELECT charge, amount, reference FROM refunds WHERE refund_id = ?1
