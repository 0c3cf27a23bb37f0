SELECT min(due_at) FROM saga_work
WHERE opened_version > 0 AND closed_version = 0 AND due_at > $1
