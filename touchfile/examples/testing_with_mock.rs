//! Testing what a program does when locking goes wrong, with the mock.
//!
//! What is tested is generic over its backend: it gets flock in production and the mock's
//! simulated processes in tests, which `cargo test --example testing_with_mock` runs.

use std::io;
use std::path::Path;
use std::time::Duration;

use touchfile::{DefaultBackend, LockBackend, LockMode, Result, TouchFile};

/// A job of which one runs at a time. It gives up when it has waited for an hour.
struct Job<B: LockBackend> {
    touch: TouchFile<B>,
}

impl<B: LockBackend> Job<B> {
    fn new(backend: B, path: &Path) -> Result<Self> {
        let touch = TouchFile::new(backend, path)?;
        Ok(Self { touch })
    }

    async fn run(&self) -> Result<&'static str> {
        let patience = Duration::from_secs(60 * 60);
        let guard = self.touch.lock_timeout(LockMode::Exclusive, patience);
        let guard = match guard.await {
            Ok(guard) => guard,
            Err(error) if error.is_timeout() => return Ok("skipped"),
            Err(error) => return Err(error),
        };
        // … the job …
        guard.unlock().await?;
        Ok("done")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let job = Job::new(DefaultBackend::new(), &dir.path().join("job.lock"))?;
    println!("with real locks: {}", job.run().await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use touchfile::{Error, OwnedLockGuard};
    use touchfile_mock::{Call, MockBackend, World};

    use super::*;

    const PATH: &str = "/var/lock/job.lock";

    fn job(world: &World) -> Job<MockBackend> {
        Job::new(world.process("me"), PATH.as_ref()).unwrap()
    }

    async fn hold(backend: MockBackend) -> OwnedLockGuard<MockBackend> {
        let touch = Arc::new(TouchFile::new(backend, PATH).unwrap());
        touch.lock_exclusive_owned().await.unwrap()
    }

    #[tokio::test(start_paused = true)] // an hour passes in no time
    async fn a_lock_that_is_never_free_is_a_job_skipped() {
        let world = World::new();
        let _held = hold(world.process("other")).await;
        assert_eq!(job(&world).run().await.unwrap(), "skipped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_dies_lets_the_job_run() {
        let world = World::new();
        let _held = hold(world.process("other")).await;
        let job = job(&world);
        let (outcome, _) = tokio::join!(job.run(), async { world.kill("other") });
        assert_eq!(outcome.unwrap(), "done");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_cannot_be_released_is_an_error() {
        let world = World::new();
        world.fail_next(Call::Unlock, 5); // EIO
        assert!(matches!(
            job(&world).run().await.unwrap_err(),
            Error::Release { .. }
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_cannot_be_written_is_an_error() {
        let world = World::new();
        world.fail_next(Call::Open, 13); // EACCES
        assert!(matches!(
            job(&world).run().await.unwrap_err(),
            Error::Permission { .. }
        ));
    }
}
