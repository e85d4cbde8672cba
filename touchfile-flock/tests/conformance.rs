//! Runs the conformance suite with flock.

touchfile_testkit::conformance_main!(|_| touchfile_flock::FlockBackend::new());
