SELECT product_id, warehouse, on_hand, reserved FROM stock WHERE tenant = $1
