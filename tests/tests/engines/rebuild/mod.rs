//! Rebuilds beside the live read models.

mod postgres;
