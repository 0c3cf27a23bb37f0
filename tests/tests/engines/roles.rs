//! Roles in processes of their own.
