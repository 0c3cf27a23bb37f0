SELECT reason FROM refusals WHERE key = ?1
