//! The laws of locking, kept by this backend.

#[cfg(windows)]
touchfile_testkit::conformance_main!(|_| touchfile_lockfileex::LockFileExBackend::new());

#[cfg(not(windows))]
fn main() {}
