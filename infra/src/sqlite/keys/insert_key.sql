INSERT INTO subject_keys (subject, key) VALUES (?1, ?2)
