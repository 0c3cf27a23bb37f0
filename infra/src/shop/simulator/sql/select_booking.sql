SELECT reference, status FROM bookings WHERE key = ?1
