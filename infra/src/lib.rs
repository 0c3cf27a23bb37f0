//! Adapters by technology, configuration, and the binary tillstream.
