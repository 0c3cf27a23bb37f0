SELECT DISTINCT format('%s %s (process %s)', a.usename, quote_literal(a.application_name), a.pid)
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE n.nspname = $1 AND c.relkind = 'v' AND l.granted AND a.xact_start < clock_timestamp() - interval '1 second'
ORDER BY 1
