//! The macro that defines a conformance test.

/// Defines the `main` of a conformance test: the suite for the backend that the closure makes.
///
/// # Examples
///
/// In `tests/conformance.rs`, with `harness = false` for that target in `Cargo.toml`:
///
/// ```no_run
/// # use touchfile_mock::MockBackend;
/// # struct MyBackend;
/// # impl MyBackend { fn new(_: &std::path::Path) -> MockBackend { MockBackend::new() } }
/// touchfile_testkit::conformance_main!(|env| MyBackend::new(env.dir()));
/// ```
///
/// Methods of [`Suite`](crate::Suite) may follow:
///
/// ```no_run
/// # use touchfile_mock::MockBackend;
/// use touchfile_testkit::{LockMode, Step};
///
/// touchfile_testkit::conformance_main!(
///     |_| MockBackend::new(),
///     processes(4),
///     skip("liveness::a_writer_among_readers", "readers are short here"),
///     replay(&[
///         Step::TryLock { process: 0, handle: 0, mode: LockMode::Exclusive },
///         Step::Kill { process: 0 },
///     ]),
/// );
/// ```
#[macro_export]
macro_rules! conformance_main {
    ($make:expr $(, $method:ident($($argument:expr),* $(,)?))* $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            // A finding prints schedules that use these names.
            #[allow(unused_imports)]
            use $crate::{LockMode, Step};
            $crate::Suite::new(::std::env!("CARGO_PKG_NAME"), $make)
                .source_dir(::std::env!("CARGO_MANIFEST_DIR"))
                $(.$method($($argument),*))*
                .run()
        }
    };
}
