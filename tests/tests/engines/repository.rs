//! A cqrs-es application over the log.
