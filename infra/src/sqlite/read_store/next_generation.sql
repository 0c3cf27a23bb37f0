INSERT INTO generations (projection, number) VALUES (?1, 1) ON CONFLICT DO UPDATE SET number = number + 1
