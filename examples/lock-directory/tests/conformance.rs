//! Every law of locking, over real processes.
use lock_directory::LockDirectory;

touchfile_testkit::conformance_main!(|_env| LockDirectory);
