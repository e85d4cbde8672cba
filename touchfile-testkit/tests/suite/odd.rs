//! Backends that misbehave in ways that the suite must survive.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use touchfile_core::{
    Attempt, Capabilities, LockBackend, LockHandle, LockMode, OpenOptions, Platform,
};
use touchfile_flock::FlockHandle;

use crate::honest;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Odd {
    /// It claims almost nothing, and refuses the rest.
    ClaimsLittle,
    ExitsInUnlock,
    HangsInUnlock,
    /// It releases the locks of killed processes after some time, as a network file system does.
    LingersAfterDeath,
    /// It releases them after a time that is longer than any test.
    LingersForLong,
    LocksNothing,
    /// It prints all the time, mostly without ending the line.
    Noisy,
    /// It does not misbehave.
    Not,
    PanicsInDrop,
    PanicsInTryLock,
    /// Each attempt takes 30 ms.
    Slow,
}

impl Odd {
    pub(crate) const ALL: [Self; 11] = [
        Self::ClaimsLittle,
        Self::ExitsInUnlock,
        Self::HangsInUnlock,
        Self::LingersAfterDeath,
        Self::LingersForLong,
        Self::LocksNothing,
        Self::Noisy,
        Self::Not,
        Self::PanicsInDrop,
        Self::PanicsInTryLock,
        Self::Slow,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClaimsLittle => "claims-little",
            Self::ExitsInUnlock => "exits-in-unlock",
            Self::HangsInUnlock => "hangs-in-unlock",
            Self::LingersAfterDeath => "lingers-after-death",
            Self::LingersForLong => "lingers-for-long",
            Self::LocksNothing => "locks-nothing",
            Self::Noisy => "noisy",
            Self::Not => "not-odd",
            Self::PanicsInDrop => "panics-in-drop",
            Self::PanicsInTryLock => "panics-in-try-lock",
            Self::Slow => "slow",
        }
    }
}

#[derive(Debug)]
pub(crate) struct OddBackend(pub(crate) Odd);

#[async_trait]
impl LockBackend for OddBackend {
    type Handle = OddHandle;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        match self.0 {
            Odd::ClaimsLittle => Capabilities::NONE,
            _ => honest().capabilities(),
        }
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<OddHandle> {
        if self.0 == Odd::ClaimsLittle && options.remove_on_release {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let handle = honest().open(path, options).await?;
        Ok(OddHandle {
            odd: self.0,
            handle,
        })
    }

    fn platform(&self) -> &'static dyn Platform {
        honest().platform()
    }
}

#[derive(Debug)]
pub(crate) struct OddHandle {
    odd: Odd,
    handle: FlockHandle,
}

#[async_trait]
impl LockHandle for OddHandle {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        match self.odd {
            Odd::ClaimsLittle if mode == LockMode::Shared => {
                return Err(io::ErrorKind::Unsupported.into());
            }
            Odd::LocksNothing => return Ok(Attempt::Acquired),
            Odd::Noisy => {
                print!("@touchfile");
                println!("trying\n@touch");
                print!("acquired");
            }
            Odd::PanicsInTryLock => panic!("at once"),
            Odd::Slow => std::thread::sleep(Duration::from_millis(30)),
            _ => {}
        }
        let attempt = self.handle.try_lock(mode).await?;
        let lingers = match self.odd {
            Odd::LingersAfterDeath => Duration::from_millis(300),
            Odd::LingersForLong => Duration::from_secs(10),
            _ => return Ok(attempt),
        };
        // A child keeps the file open, which prolongs the lock until it is unlocked.
        if attempt == Attempt::Acquired
            && let Ok(fork::Fork::Child) = fork::fork()
        {
            std::thread::sleep(lingers);
            std::process::exit(0);
        }
        Ok(attempt)
    }

    async fn unlock(&mut self) -> io::Result<()> {
        match self.odd {
            Odd::ExitsInUnlock => std::process::exit(0),
            Odd::HangsInUnlock => std::thread::sleep(Duration::from_secs(60)),
            _ => {}
        }
        self.handle.unlock().await
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        if self.odd == Odd::ClaimsLittle {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.handle.is_current(path).await
    }
}

impl Drop for OddHandle {
    fn drop(&mut self) {
        assert!(self.odd != Odd::PanicsInDrop, "as it is dropped");
    }
}
