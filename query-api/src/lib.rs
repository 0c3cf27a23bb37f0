//! The query side: HTTP operations over the read models, and the auditors' view of the log.
