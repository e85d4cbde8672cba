//! The laws of locking, kept by this backend.

#[cfg(windows)]
touchfile_testkit::conformance_main!(
    |_| touchfile_lockfileex::LockFileExBackend::new(),
    // "The time it takes for the operating system to unlock these locks depends upon available system
    // resources" (LockFileEx).
    death_grace(std::time::Duration::from_secs(2)),
);

#[cfg(not(windows))]
fn main() {}
