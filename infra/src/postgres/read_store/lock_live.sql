SELECT generation, pg_notify($2, '')::text AS notified FROM projections WHERE name = $1 FOR SHARE
