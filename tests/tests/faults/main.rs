//! Faults over engines that each test starts, breaks and stops.
