//! Backends over the mock's worlds that tell wrongly of lost locks: the suite rejects each of them, by the
//! cases that take locks away.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use touchfile_core::{
    Attempt, Capabilities, LockBackend, LockHandle, LockMode, OpenOptions, Platform,
};
use touchfile_mock::{Event, EventKind, MockBackend, MockHandle, World};
use touchfile_testkit::{Law, Report, Suite};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    None,
    /// A loss is never told.
    NeverTells,
    /// Who asks is told of a loss, and who waits for it is not.
    WakesNobody,
    /// A lost lock is unlocked as if it were held.
    UnlocksSilently,
    /// A lock that was taken after a loss has the token of the one that was lost.
    OldToken,
}

#[test]
fn a_correct_backend_passes() {
    let report = check(Fault::None);
    assert!(report.passed(), "{report}");
}

#[test]
fn a_loss_that_is_never_told_is_rejected() {
    rejects(Fault::NeverTells, Law::Capabilities);
}

#[test]
fn a_loss_that_wakes_nobody_is_rejected() {
    rejects(Fault::WakesNobody, Law::Capabilities);
}

#[test]
fn a_lost_lock_that_is_unlocked_in_silence_is_rejected() {
    rejects(Fault::UnlocksSilently, Law::Capabilities);
}

#[test]
fn a_token_that_is_not_higher_than_that_of_a_lost_lock_is_rejected() {
    rejects(Fault::OldToken, Law::Fencing);
}

fn check(fault: Fault) -> Report {
    let suite = Suite::in_process("losses", move |world, process| Backend {
        honest: world.process(process),
        fault,
    });
    let suite = suite.seed(1).cases(8).patience(Duration::from_secs(1));
    suite.check(&()).unwrap()
}

/// Nothing but the cases about losses and tokens finds the fault.
fn rejects(fault: Fault, law: Law) {
    let report = check(fault);
    let found: Vec<_> = report.findings().collect();
    assert!(!found.is_empty(), "{fault:?} passes:\n{report}");
    for finding in found {
        assert_eq!(finding.law, law, "{report}");
        assert!(
            finding.case.contains("lost") || finding.case.contains("loss"),
            "{report}"
        );
    }
}

#[derive(Debug)]
struct Backend {
    honest: MockBackend,
    fault: Fault,
}

#[async_trait]
impl LockBackend for Backend {
    type Handle = Handle;

    fn name(&self) -> &'static str {
        "losses"
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = self.honest.capabilities();
        claims.atomic_conversion = false;
        claims
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<Handle> {
        Ok(Handle {
            honest: self.honest.open(path, options).await?,
            world: self.honest.world().clone(),
            fault: self.fault,
        })
    }

    fn platform(&self) -> &'static dyn Platform {
        self.honest.platform()
    }
}

#[derive(Debug)]
struct Handle {
    honest: MockHandle,
    world: World,
    fault: Fault,
}

#[async_trait]
impl LockHandle for Handle {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.honest.try_lock(mode).await
    }

    async fn lock(&mut self, mode: LockMode) -> io::Result<()> {
        self.honest.lock(mode).await
    }

    async fn unlock(&mut self) -> io::Result<()> {
        match self.honest.unlock().await {
            Err(error)
                if self.fault == Fault::UnlocksSilently
                    && error.kind() == io::ErrorKind::StaleNetworkFileHandle =>
            {
                Ok(())
            }
            done => done,
        }
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.honest.is_current(path).await
    }

    async fn is_lost(&self) -> io::Result<bool> {
        match self.fault {
            Fault::NeverTells => Ok(false),
            _ => self.honest.is_lost().await,
        }
    }

    async fn lost(&self, interval: Duration) -> io::Result<()> {
        match self.fault {
            Fault::NeverTells | Fault::WakesNobody => std::future::pending().await,
            _ => self.honest.lost(interval).await,
        }
    }

    fn valid_until(&self) -> Option<Instant> {
        self.honest.valid_until()
    }

    fn token(&self) -> Option<u64> {
        let token = self.honest.token()?;
        let is_loss = |event: &Event| matches!(event.what, EventKind::LockLost(_));
        // The count falls back where a lock was lost.
        if self.fault == Fault::OldToken && self.world.history().iter().any(is_loss) {
            return Some(token - 1);
        }
        Some(token)
    }
}
