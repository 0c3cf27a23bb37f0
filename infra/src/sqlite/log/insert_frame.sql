INSERT INTO log (slot, last_position, bytes) VALUES (?1, ?2, ?3)
