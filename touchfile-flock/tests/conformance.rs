//! The laws of locking, checked for flock.

touchfile_testkit::conformance_main!(|_| touchfile_flock::FlockBackend::new());
