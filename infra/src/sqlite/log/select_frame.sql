SELECT bytes FROM log WHERE slot = ?1
