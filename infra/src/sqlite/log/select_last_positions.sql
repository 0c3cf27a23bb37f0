SELECT last_position FROM log WHERE slot BETWEEN ?1 AND ?2 ORDER BY slot LIMIT ?3
