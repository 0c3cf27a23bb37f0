SELECT generation FROM generations WHERE projection = $1 AND generation <> $2 ORDER BY generation DESC
