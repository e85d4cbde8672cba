//! What a long wait tells whoever asked to be told.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::sampler::SampleNow;
use crate::{Holder, LockMode, error};

/// A wait that is taking long, as told to [`TouchFileBuilder::on_wait`](super::TouchFileBuilder::on_wait).
///
/// Displays as a sentence for the user: `waiting for the exclusive lock on /a.lock, held by pid 4242
/// (cargo build)`. To say by whom, it calls [`holders`](Self::holders), and takes as long as that.
#[derive(Clone, Copy)]
pub struct WaitEvent<'a> {
    pub(super) path: &'a Path,
    pub(super) backend: &'static str,
    pub(super) mode: LockMode,
    pub(super) permits: Option<usize>,
    pub(super) waited: Duration,
    pub(super) sampler: &'a dyn SampleNow,
}

impl WaitEvent<'_> {
    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path
    }

    /// The name of the backend.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// The mode that is waited for.
    #[must_use]
    pub fn mode(&self) -> LockMode {
        self.mode
    }

    /// How many permits there are, if this is a wait for one of a [`Semaphore`](crate::Semaphore).
    #[must_use]
    pub fn permits(&self) -> Option<usize> {
        self.permits
    }

    /// How long it has been waited for, the queue inside the process included.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Who is in the way, as far as anybody can tell ([`LockBackend::holders`](crate::LockBackend::holders)); and
    /// after them who [waits](Holder::waiting) before this wait, in the order in which they began.
    ///
    /// The answer is found when this is called. With backends on real files that takes some
    /// milliseconds, in which this thread is blocked: call it once in a while, not each time.
    ///
    /// # Errors
    ///
    /// The errors of the backend; [`io::ErrorKind::TimedOut`] if there is no answer in a quarter of a
    /// second.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use touchfile_core::TouchFile;
    /// # use touchfile_mock::World;
    /// # let backend = World::new().process("a");
    ///
    /// let touch = TouchFile::builder(backend)
    ///     .path("/some/where/a.lock")
    ///     .on_wait(Duration::from_secs(10), |wait| {
    ///         for holder in wait.holders().unwrap_or_default() {
    ///             eprintln!("waiting for {holder}");
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), touchfile_core::Error>(())
    /// ```
    pub fn holders(&self) -> io::Result<Vec<Holder>> {
        self.sampler.sample_now()
    }
}

impl fmt::Display for WaitEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = error::what(self.mode, self.permits);
        write!(f, "waiting for {what} {}", self.path.display())?;
        // A message without the holder is better than none.
        match Holder::in_words(&self.holders().unwrap_or_default()) {
            Some(words) => write!(f, ", {words}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for WaitEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitEvent")
            .field("path", &self.path)
            .field("backend", &self.backend)
            .field("mode", &self.mode)
            .field("waited", &self.waited)
            .finish_non_exhaustive()
    }
}
