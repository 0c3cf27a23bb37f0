INSERT OR IGNORE INTO refusals (key, reason) VALUES (?1, ?2)
