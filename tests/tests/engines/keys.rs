//! The key store over PostgreSQL.
