//! Projections: pure mappings from events to read-model rows, and the runner that applies them.
