INSERT OR IGNORE INTO tombstones (key) VALUES (?1)
