//! Runs the conformance suite with fcntl.

touchfile_testkit::conformance_main!(|_| touchfile_fcntl::FcntlBackend::new());
