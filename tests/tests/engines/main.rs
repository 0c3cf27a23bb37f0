//! The contract suites over Cassandra, Kafka, PostgreSQL and Elasticsearch.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod another_application;
mod cassandra_leases;
mod cassandra_log;
mod elasticsearch_indices;
mod elasticsearch_parts;
mod elasticsearch_rebuild;
mod elasticsearch_search;
mod elasticsearch_shared;
mod feed;
mod follower;
mod generations;
mod keys;
mod leases;
mod origin;
mod owners;
mod read_models;
mod read_store;
mod rebuild;
mod repository;
mod roles;
mod saga_standing;
mod upgrade;
