SELECT value FROM switches WHERE name = ?1
