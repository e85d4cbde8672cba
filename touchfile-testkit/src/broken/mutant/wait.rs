//! Waits with a fault, and what happens when they are given up.

use std::future::{self, poll_fn};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::backoff::Backoff;
use touchfile_core::{Attempt, LockBackend, LockHandle, LockMode, OpenOptions};

use super::common::Common;
use super::fault::{Claim, Fault};
use super::handle::{Handle, SLOW};
use super::shared::kept;
use super::shared::{Honest, now};
use super::side_effect::Op;
use super::state::HandleState;
use super::trigger::Trigger;

/// The time at the beginning of a wait in which a release is missed.
const WINDOW: Duration = Duration::from_micros(300);

impl Handle {
    pub(super) async fn wait(&mut self, mode: LockMode) -> io::Result<()> {
        self.common.process.called();
        self.common
            .does(Op::Wait, Some(mode), &self.state, &self.path);
        if let Some(answer) = self.refuses(mode) {
            return answer;
        }
        let fault = self.common.mutant.fault;
        // The trigger is checked before the wait, since a wait changes the state of the handle.
        let shows = self.shows(fault, Some(mode));
        let by_turns = matches!(fault, Fault::ThreadRace | Fault::SharesInChild);
        if by_turns || self.is_kept() {
            self.wait_by_turns(mode).await?;
        } else if fault == Fault::Claims(Claim::Fair) {
            self.poll_politely(mode).await?;
        } else {
            self.wait_honestly(mode, shows).await?;
        }
        if self.held.is_some() {
            return Ok(()); // the fault has told the caller that it has the lock
        }
        match self.granted(mode).await? {
            Attempt::Acquired => Ok(()),
            // A wait cannot answer "busy".
            Attempt::WouldBlock => Err(io::Error::other("it did not work")),
        }
    }

    async fn wait_by_turns(&mut self, mode: LockMode) -> io::Result<()> {
        while self.attempt(mode, false).await? == Attempt::WouldBlock {
            self.state.waits();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn poll_politely(&mut self, mode: LockMode) -> io::Result<()> {
        let mut backoff = Backoff::new();
        while self.honest().try_lock(mode).await? == Attempt::WouldBlock {
            self.state.waits();
            backoff.pause().await;
        }
        Ok(())
    }

    async fn wait_honestly(&mut self, mode: LockMode, shows: bool) -> io::Result<()> {
        let fault = self.common.mutant.fault;
        let asked = self.asked(mode);
        let mut given_up = GivenUp::new(self, mode, shows);
        let state = self.state.clone();
        {
            let mut lock = self.honest().lock(asked);
            let first = poll_fn(|cx| Poll::Ready(lock.as_mut().poll(cx))).await;
            match (first, fault) {
                (Poll::Ready(result), _) => {
                    given_up.armed = false;
                    return result;
                }
                (Poll::Pending, Fault::Grants | Fault::NeverWakes | Fault::WakesLate)
                | (Poll::Pending, Fault::GivesUp | Fault::Blocks)
                    if shows => {}
                (Poll::Pending, _) => {
                    state.waits();
                    let result = lock.await;
                    given_up.armed = false;
                    return result;
                }
            }
        }
        state.waits();
        let result = self.wait_wrongly(asked, fault).await;
        if fault == Fault::Grants && result.is_ok() {
            self.is_held(mode);
        }
        given_up.armed = false;
        result
    }

    async fn wait_wrongly(&mut self, mode: LockMode, fault: Fault) -> io::Result<()> {
        if self.common.mutant.trigger == Trigger::Early && !self.is_released_early(mode) {
            return self.honest().lock(mode).await;
        }
        match fault {
            Fault::Grants => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(())
            }
            Fault::NeverWakes => future::pending().await,
            Fault::WakesLate => {
                tokio::time::sleep(Duration::from_secs(8)).await;
                self.honest().lock(mode).await
            }
            Fault::GivesUp => {
                let limit = Duration::from_millis(20);
                match tokio::time::timeout(limit, self.honest().lock(mode)).await {
                    Ok(result) => result,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                }
            }
            _ => {
                while self.honest().try_lock(mode).await? == Attempt::WouldBlock {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            }
        }
    }

    /// Whether the lock becomes free at the beginning of the wait.
    fn is_released_early(&mut self, mode: LockMode) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < WINDOW {
            if let Ok(Ok(Attempt::Acquired)) = now(self.honest().try_lock(mode)) {
                return matches!(now(self.honest().unlock()), Ok(Ok(())));
            }
            thread::yield_now();
        }
        false
    }
}

/// What happens when the future of a wait is dropped.
struct GivenUp {
    armed: bool,
    common: Arc<Common>,
    state: HandleState,
    path: PathBuf,
    mode: LockMode,
    shows: bool,
}

impl GivenUp {
    fn new(handle: &Handle, mode: LockMode, shows: bool) -> Self {
        Self {
            armed: true,
            common: handle.common.clone(),
            state: handle.state.clone(),
            path: handle.path.clone(),
            mode,
            shows,
        }
    }

    /// Another correct handle on the same file.
    fn another(&self) -> Option<Honest> {
        let mut options = OpenOptions::new();
        options.create = false;
        now(self.common.honest.open(&self.path, &options))
            .ok()?
            .ok()
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        self.common
            .does(Op::GiveUp, Some(self.mode), &self.state, &self.path);
        self.state.gives_up();
        let fault = self.common.mutant.fault;
        match fault {
            Fault::SlowToGiveUp if self.shows => thread::sleep(SLOW),
            Fault::KeepsAfterGivingUp if self.shows => {
                if let Some(mut handle) = self.another() {
                    if let Ok(Ok(Attempt::Acquired)) = now(handle.try_lock(self.mode)) {
                        kept().push(handle);
                    }
                }
            }
            Fault::TakesLater if self.shows => {
                if let Some(handle) = self.another() {
                    let mode = self.mode;
                    thread::spawn(move || take_later(handle, mode));
                }
            }
            _ => {}
        }
    }
}

/// Takes the lock when it is free, and keeps it for a while.
fn take_later(mut handle: Honest, mode: LockMode) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        if let Ok(Ok(Attempt::Acquired)) = now(handle.try_lock(mode)) {
            thread::sleep(Duration::from_millis(60));
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
