//! Backends whose tokens do not rise from holder to holder.

use std::fs::OpenOptions as FileOptions;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use touchfile_core::{Attempt, BoxBackend, Capabilities, LockHandle, LockMode, OpenOptions};
use touchfile_file::FileHandle;

use super::Broken;
use super::base::{Fault, Flock, Honest, Twist, Twisted, honest_claims, with_fault};
use crate::Law;

pub(super) const ALL: &[Broken] = &[
    Broken {
        name: "tokens-repeat",
        what: "Two holders after each other have the same token.",
        law: Law::Fencing,
        in_lockstep: false,
        make: tokens_repeat,
    },
    Broken {
        name: "tokens-go-backwards",
        what: "Each holder has a lower token than the one before it.",
        law: Law::Fencing,
        in_lockstep: false,
        make: tokens_go_backwards,
    },
    Broken {
        name: "no-tokens",
        what: "It claims tokens, and has none.",
        law: Law::Fencing,
        in_lockstep: false,
        make: no_tokens,
    },
    Broken {
        name: "tokens-of-a-process",
        what: "Each process counts its own tokens.",
        law: Law::Fencing,
        in_lockstep: false,
        make: tokens_of_a_process,
    },
    Broken {
        name: "tokens-kept-at-release",
        what: "A token is counted when the lock is released, so that a holder which is killed leaves its \
               token to the next one.",
        law: Law::Fencing,
        in_lockstep: false,
        make: tokens_kept_at_release,
    },
    Broken {
        name: "tokens-unclaimed",
        what: "It has tokens, and does not claim them.",
        law: Law::Capabilities,
        in_lockstep: false,
        make: tokens_unclaimed,
    },
];

/// A correct backend with tokens, which the broken ones are made of: they are counted in a file in `dir`.
#[must_use]
pub fn honest_tokens(dir: &Path) -> BoxBackend {
    tokens("honest-tokens", dir, Tokens::Rise)
}

/// Two holders after each other have the same token.
#[must_use]
pub fn tokens_repeat(dir: &Path) -> BoxBackend {
    tokens("tokens-repeat", dir, Tokens::Repeat)
}

/// Each holder has a lower token than the one before it.
#[must_use]
pub fn tokens_go_backwards(dir: &Path) -> BoxBackend {
    tokens("tokens-go-backwards", dir, Tokens::GoBackwards)
}

/// It claims tokens, and has none.
#[must_use]
pub fn no_tokens(dir: &Path) -> BoxBackend {
    tokens("no-tokens", dir, Tokens::Missing)
}

/// Each process counts its own tokens.
#[must_use]
pub fn tokens_of_a_process(dir: &Path) -> BoxBackend {
    tokens("tokens-of-a-process", dir, Tokens::OfAProcess)
}

/// A token is counted when the lock is released.
#[must_use]
pub fn tokens_kept_at_release(dir: &Path) -> BoxBackend {
    tokens("tokens-kept-at-release", dir, Tokens::KeptAtRelease)
}

/// It has tokens, and does not claim them.
#[must_use]
pub fn tokens_unclaimed(dir: &Path) -> BoxBackend {
    tokens("tokens-unclaimed", dir, Tokens::Unclaimed)
}

fn tokens(name: &'static str, dir: &Path, tokens: Tokens) -> BoxBackend {
    let counter = Counter(dir.join("tokens"));
    with_fault(name, WithTokens { tokens, counter })
}

/// How the tokens of successive holders are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Tokens {
    #[default]
    Rise,
    Repeat,
    GoBackwards,
    Missing,
    OfAProcess,
    KeptAtRelease,
    Unclaimed,
}

#[derive(Debug)]
struct WithTokens {
    tokens: Tokens,
    counter: Counter,
}

impl Fault for WithTokens {
    type Handle = Twisted<HasToken>;

    fn capabilities(&self) -> Capabilities {
        let mut claims = honest_claims();
        claims.fencing = self.tokens != Tokens::Unclaimed;
        claims
    }

    fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Self::Handle> {
        let twist = HasToken {
            tokens: self.tokens,
            counter: self.counter.clone(),
            token: None,
        };
        Ok(Twisted::new(FileHandle::open(Flock, path, options)?, twist))
    }
}

/// A number in a file, which all processes count up.
#[derive(Clone, Debug, Default)]
struct Counter(PathBuf);

impl Counter {
    /// Adds `step`, and returns the sum.
    fn add(&self, step: u64) -> io::Result<u64> {
        let mut options = FileOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&self.0)?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let sum = text.parse().unwrap_or(0) + step;
        file.rewind()?;
        write!(file, "{sum}")?;
        // A child that is being forked has a copy of the descriptor, so closing it is not enough.
        flock(&file, FlockOperation::Unlock)?;
        Ok(sum)
    }
}

#[derive(Debug, Default)]
struct HasToken {
    tokens: Tokens,
    counter: Counter,
    token: Option<u64>,
}

impl HasToken {
    async fn acquired(&mut self, honest: &mut Honest) -> io::Result<()> {
        match self.next() {
            Ok(token) => {
                self.token = token;
                Ok(())
            }
            Err(error) => {
                honest.unlock().await?;
                Err(error)
            }
        }
    }

    fn next(&self) -> io::Result<Option<u64>> {
        static OF_THIS_PROCESS: AtomicU64 = AtomicU64::new(1);
        Ok(Some(match self.tokens {
            Tokens::Missing => return Ok(None),
            Tokens::OfAProcess => OF_THIS_PROCESS.fetch_add(1, Ordering::Relaxed),
            Tokens::KeptAtRelease => self.counter.add(0)? + 1,
            Tokens::Repeat => self.counter.add(1)? / 2,
            Tokens::GoBackwards => u64::MAX - self.counter.add(1)?,
            Tokens::Rise | Tokens::Unclaimed => self.counter.add(1)?,
        }))
    }

    /// The lock is about to be released.
    fn releases(&mut self) -> io::Result<()> {
        if self.token.take().is_some() && self.tokens == Tokens::KeptAtRelease {
            self.counter.add(1)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Twist for HasToken {
    async fn try_lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<Attempt> {
        let attempt = honest.try_lock(mode).await?;
        if attempt == Attempt::Acquired {
            self.acquired(honest).await?;
        }
        Ok(attempt)
    }

    async fn lock(&mut self, honest: &mut Honest, mode: LockMode) -> io::Result<()> {
        honest.lock(mode).await?;
        self.acquired(honest).await
    }

    async fn unlock(&mut self, honest: &mut Honest) -> io::Result<()> {
        self.releases()?;
        honest.unlock().await
    }

    fn token(&self) -> Option<u64> {
        self.token
    }

    fn drop(&mut self, honest: Honest) {
        self.releases().ok();
        drop(honest);
    }
}
