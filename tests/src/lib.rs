//! Contract suites, journeys, fault and crash tests, benchmarks.
