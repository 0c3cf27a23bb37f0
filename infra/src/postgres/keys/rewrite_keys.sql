-- A change of type with an expression writes the table and its index anew, of the rows that this transaction sees and of no older
-- version of one, whoever may still be reading those. (VACUUM FULL would keep what an old snapshot can see.)
ALTER TABLE {table} ALTER COLUMN key TYPE bytea USING substring(key FROM 1)
