//! A file that is open already when it is to be locked.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Attempt, LockMode};

/// A file that is open already and is to be locked as it is, whatever its name; see
/// [`TouchFileBuilder::file`](crate::TouchFileBuilder::file). Clones are the same open file, which is
/// closed with the last of them.
///
/// The lock of a file belongs to its open file description: asking for a second one there converts the
/// first, and releasing either releases both. So all handles on one `OpenFile` make their calls through
/// it, by which they exclude each other and share as handles of their own would.
///
/// # Examples
///
/// Two touch files over one open file:
///
/// ```
/// use touchfile_core::{LockMode, OpenFile, TouchFile};
/// use touchfile_flock::FlockBackend;
///
/// let file = OpenFile::from(tempfile::tempfile()?);
/// let one = TouchFile::from_file(FlockBackend::new(), file.clone())?;
/// let other = TouchFile::from_file(FlockBackend::new(), file)?;
/// let _held = one.blocking().lock_exclusive()?;
/// assert!(other.blocking().try_lock(LockMode::Shared)?.is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    held: Mutex<Held>,
}

/// What the handles on an open file hold together.
#[derive(Clone, Copy, Debug)]
enum Held {
    Exclusive,
    Shared { by: usize },
    Nothing,
}

impl OpenFile {
    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0.file
    }

    /// An attempt of one handle that holds nothing; `call` makes it, unless the other handles decide
    /// the answer. Others wait while `call` runs.
    ///
    /// # Errors
    ///
    /// Those of `call`.
    pub fn try_lock(
        &self,
        mode: LockMode,
        call: impl FnOnce(&File) -> io::Result<Attempt>,
    ) -> io::Result<Attempt> {
        let mut held = self.held();
        let then = match (*held, mode) {
            (Held::Nothing, LockMode::Exclusive) => Held::Exclusive,
            (Held::Nothing, LockMode::Shared) => Held::Shared { by: 1 },
            (Held::Shared { by }, LockMode::Shared) => {
                *held = Held::Shared { by: by + 1 };
                return Ok(Attempt::Acquired);
            }
            _ => return Ok(Attempt::WouldBlock),
        };
        let attempt = call(&self.0.file)?;
        if attempt == Attempt::Acquired {
            *held = then;
        }
        Ok(attempt)
    }

    /// The release of a handle that holds the lock; `call` makes it, unless other handles share the
    /// lock.
    ///
    /// # Errors
    ///
    /// Those of `call`. This handle holds nothing then, as far as other handles are concerned.
    pub fn unlock(&self, call: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let mut held = self.held();
        match *held {
            Held::Shared { by } if by > 1 => {
                *held = Held::Shared { by: by - 1 };
                Ok(())
            }
            _ => {
                *held = Held::Nothing;
                call(&self.0.file)
            }
        }
    }

    /// The attempt of a handle that holds the lock to hold it in `mode`; `call` makes it, unless the
    /// other handles decide the answer.
    ///
    /// # Errors
    ///
    /// Those of `call`.
    pub fn try_convert(
        &self,
        mode: LockMode,
        call: impl FnOnce(&File) -> io::Result<Attempt>,
    ) -> io::Result<Attempt> {
        let mut held = self.held();
        if mode == LockMode::Exclusive && matches!(*held, Held::Shared { by } if by > 1) {
            return Ok(Attempt::WouldBlock);
        }
        let attempt = call(&self.0.file)?;
        if attempt == Attempt::Acquired {
            *held = match mode {
                LockMode::Exclusive => Held::Exclusive,
                LockMode::Shared => Held::Shared { by: 1 },
            };
        }
        Ok(attempt)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<File> for OpenFile {
    fn from(file: File) -> Self {
        Self(Arc::new(Inner {
            file,
            held: Mutex::new(Held::Nothing),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attempt::{Acquired, WouldBlock};
    use crate::LockMode::{Exclusive, Shared};

    #[test]
    fn handles_on_one_open_file_exclude_each_other_and_the_last_that_shares_unlocks() {
        let file = OpenFile::from(tempfile::tempfile().unwrap());
        let calls = Mutex::new(Vec::new());
        let note = |call| calls.lock().unwrap().push(call);
        let try_lock = |mode| {
            let attempt = file.try_lock(mode, |_| {
                note("lock");
                Ok(Acquired)
            });
            attempt.unwrap()
        };
        let unlock = || {
            let done = file.unlock(|_| {
                note("unlock");
                Ok(())
            });
            done.unwrap();
        };
        let upgrade = || file.try_convert(Exclusive, |_| Ok(Acquired)).unwrap();

        assert_eq!(try_lock(Shared), Acquired);
        assert_eq!(try_lock(Shared), Acquired);
        assert_eq!(try_lock(Exclusive), WouldBlock);
        assert_eq!(upgrade(), WouldBlock);
        unlock();
        assert_eq!(*calls.lock().unwrap(), ["lock"]);
        assert_eq!(upgrade(), Acquired);
        assert_eq!(try_lock(Shared), WouldBlock);
        unlock();
        assert_eq!(*calls.lock().unwrap(), ["lock", "unlock"]);
        assert_eq!(try_lock(Exclusive), Acquired);
    }

    #[test]
    fn an_attempt_that_fails_or_finds_others_leaves_nothing_held() {
        let file = OpenFile::from(tempfile::tempfile().unwrap());
        let failed = file.try_lock(Exclusive, |_| Err(io::ErrorKind::Unsupported.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Unsupported);
        let busy = file.try_lock(Exclusive, |_| Ok(WouldBlock));
        assert_eq!(busy.unwrap(), WouldBlock);
        assert_eq!(file.try_lock(Shared, |_| Ok(Acquired)).unwrap(), Acquired);
    }
}
