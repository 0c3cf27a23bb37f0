SELECT last_position FROM log WHERE slot = ?1
