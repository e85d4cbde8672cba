//! The laws of locking, checked for fcntl.

touchfile_testkit::conformance_main!(|_| touchfile_fcntl::FcntlBackend::new());
