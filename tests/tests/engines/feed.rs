//! The feed contract over Kafka.
