//! The read store's contract over PostgreSQL and Elasticsearch.

mod elasticsearch;
mod postgres;
