//! The command side: shard owners that decide commands, and the HTTP operations that issue them.
