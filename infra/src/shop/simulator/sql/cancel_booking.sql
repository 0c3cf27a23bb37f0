UPDATE bookings SET status = 'cancelled' WHERE key = ?1 AND status = 'booked'
