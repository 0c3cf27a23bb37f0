SELECT slot, last_position FROM log WHERE slot BETWEEN ?1 AND ?2 ORDER BY slot DESC LIMIT 1
