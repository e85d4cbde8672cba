//! Backends that are each wrong in one way, for testing suites of tests.
