DELETE FROM fold_snapshots
WHERE shard = ?1 AND stream = ?2 AND fold_id <> ?3 AND fold_id NOT IN (
    SELECT fold_id FROM fold_snapshots
    WHERE shard = ?1 AND stream = ?2 AND fold_id <> ?3
    ORDER BY version DESC, fold_id LIMIT 1
)
