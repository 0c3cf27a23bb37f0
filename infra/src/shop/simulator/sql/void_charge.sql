UPDATE charges SET status = 'voided' WHERE seq = ?1
