//! Rebuilds beside the live read models.
