//! The read models' questions over PostgreSQL.
