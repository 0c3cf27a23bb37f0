UPDATE store SET settled = settled + 1 WHERE only_row = 1
