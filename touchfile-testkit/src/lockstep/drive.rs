//! Plays a schedule with real workers, and holds each answer against the model.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::{Capabilities, LockMode, OpenOptions};

use super::model::{Doubt, Inode, Model, State, unexpected};
use super::step::{FILES, HandleId, Step};
use crate::Law;
use crate::stage::{Host, Stage};
use crate::worker::{Answer, InWords, Lost, Order, Slot};

/// For how long a wait is polled that must not come to anything.
const GLANCE: Duration = Duration::from_millis(2);

/// For how long, at the end of a schedule of a few steps: now and then a wait is to be seen to
/// last, and all schedules with one would take too long.
const LOOK: Duration = Duration::from_millis(80);
const FEW: usize = 6;

/// The slot of the handle that looks whether a lock can be had after all.
const PROBE: Slot = 99;

/// How long correct backends may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For an answer.
    pub(crate) answer: Duration,
    /// For a lock that is free.
    pub(crate) grant: Duration,
}

/// A law that was broken, and how it came to that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) law: Law,
    pub(crate) what: String,
    /// What happened before, a line for each step.
    pub(crate) story: Vec<String>,
}

/// Plays a schedule from beginning to end.
///
/// # Errors
///
/// `Ok(Some(_))` is what was found. An error is the suite's own.
pub(crate) fn play(
    host: &Host,
    claims: Capabilities,
    steps: &[Step],
    patience: Patience,
) -> Result<Option<Found>, String> {
    let stage = host
        .stage()
        .map_err(|error| format!("no directory for lock files: {error}"))?;
    let mut drive = Drive {
        stage,
        model: Model::new(claims),
        patience,
        story: Vec::new(),
        forked: BTreeMap::new(),
    };
    let played = steps
        .iter()
        .try_for_each(|&step| drive.step(step))
        .and_then(|()| drive.wind_up(if steps.len() > FEW { GLANCE } else { LOOK }));
    match played {
        Ok(()) => {
            drive.stage.close();
            Ok(None)
        }
        Err(Halt::Found(law, what)) => Ok(Some(Found {
            law,
            what,
            story: drive.story,
        })),
        Err(Halt::Own(error)) => Err(error),
    }
}

/// Why a schedule is not played on.
enum Halt {
    Found(Law, String),
    /// The suite's own failure.
    Own(String),
}

impl From<String> for Halt {
    fn from(error: String) -> Self {
        Self::Own(error)
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Own(error.to_string())
    }
}

struct Drive<'h> {
    stage: Stage<'h>,
    model: Model,
    patience: Patience,
    story: Vec<String>,
    /// The children that live on and would die with their parents, if they could.
    forked: BTreeMap<u8, Vec<u32>>,
}

impl Drive<'_> {
    fn step(&mut self, step: Step) -> Result<(), Halt> {
        let acts = step.handle().map(|id| id.process).or(match step {
            Step::Fork { process } | Step::Spawn { process } => Some(process),
            _ => None,
        });
        if acts.is_some_and(|process| self.model.is_stopped(process)) {
            return Ok(());
        }
        match step {
            Step::TryLock { mode, .. } | Step::StartWaiting { mode, .. } => {
                let id = step.handle().expect("it has one");
                self.open(id)?;
                if !matches!(self.model.state(id), Some(State::Waiting(_))) {
                    self.attempt(step, id, mode)?;
                }
            }
            Step::Open { process, handle } => self.open(HandleId { process, handle })?,
            Step::Poll { process, handle } => self.poll(HandleId { process, handle })?,
            Step::Cancel { process, handle } => self.cancel(HandleId { process, handle })?,
            Step::Unlock { process, handle } => self.unlock(HandleId { process, handle })?,
            Step::Drop { process, handle } => self.drop_handle(HandleId { process, handle })?,
            Step::AskCurrent { process, handle } => {
                self.ask_current(HandleId { process, handle })?;
            }
            Step::Kill { process } => self.kill(process),
            Step::Stop { process } => {
                if !self.model.is_stopped(process) {
                    self.stage.stop(usize::from(process))?;
                    self.model.stop(process);
                    self.tell(step, "");
                }
            }
            Step::Continue { process } => {
                if self.model.is_stopped(process) {
                    self.resume(process);
                }
            }
            Step::ForkAndDrop { process, handle } => {
                self.fork_and_drop(HandleId { process, handle })?;
            }
            Step::Fork { process } | Step::Spawn { process } => self.have_a_child(step, process)?,
            Step::Unlink { file } => {
                self.stage.unlink(&self.path(file))?;
                self.model.unlink(file);
                self.tell(step, "");
            }
            Step::Replace { file } => {
                self.stage.replace(&self.path(file))?;
                self.model.replace(file);
                self.tell(step, "");
            }
            Step::HardLink { file } => self.hard_link(file)?,
        }
        Ok(())
    }

    /// After the last step everybody lets go, and every wait must end.
    fn wind_up(&mut self, look: Duration) -> Result<(), Halt> {
        for process in self.model.stopped() {
            self.resume(process);
        }
        for id in self.model.handles() {
            self.poll_for(id, look)?;
        }
        // Each round ends at least one wait, for whoever is granted the lock lets go of it.
        loop {
            for id in self.model.handles() {
                if let Some(State::Held(_)) = self.model.state(id) {
                    self.unlock(id)?;
                }
            }
            let handles = self.model.handles();
            let waiting = handles
                .into_iter()
                .find(|&id| matches!(self.model.state(id), Some(State::Waiting(_))));
            match waiting {
                Some(id) => self.poll(id)?,
                None => break,
            }
        }
        for file in 0..FILES {
            if self.model.names_a_file(file) {
                self.look_whether_free(file)?;
            }
        }
        Ok(())
    }

    /// Opens a handle, if it is not open.
    fn open(&mut self, id: HandleId) -> Result<(), Halt> {
        if self.model.state(id).is_some() {
            return Ok(());
        }
        let path = self.path(id.file());
        let answer = self.ask(
            id,
            Law::Errors,
            &Order::Open(slot(id), path, OpenOptions::new()),
        )?;
        let HandleId { process, handle } = id;
        self.tell(
            Step::Open { process, handle },
            &InWords(&answer).to_string(),
        );
        if answer != Answer::Done {
            return Err(self.halt(unexpected("opening", &answer)));
        }
        self.model.opened(id);
        Ok(())
    }

    fn attempt(&mut self, step: Step, id: HandleId, mode: LockMode) -> Result<(), Halt> {
        let waits = matches!(step, Step::StartWaiting { .. });
        let (order, law) = if waits {
            (Order::Start(slot(id), mode), Law::CancelSafety)
        } else {
            (Order::TryLock(slot(id), mode), Law::Liveness)
        };
        let answer = self.ask(id, law, &order)?;
        self.tell(step, &InWords(&answer).to_string());
        let judged = if waits {
            self.model.started(id, mode, &answer)
        } else {
            self.model.tried(id, mode, &answer)
        };
        match judged {
            Ok(()) => Ok(()),
            Err(Doubt::FalseBusy(inode)) => Err(self.investigate(id, mode, inode)?),
            Err(doubt) => Err(self.halt(doubt)),
        }
    }

    /// Polls a wait: until somebody gets the lock, if somebody must.
    fn poll(&mut self, id: HandleId) -> Result<(), Halt> {
        self.poll_for(id, GLANCE)
    }

    /// Polls a wait for `look`, or until somebody gets the lock, if somebody must.
    fn poll_for(&mut self, id: HandleId, look: Duration) -> Result<(), Halt> {
        let Some(State::Waiting(mode)) = self.model.state(id) else {
            return Ok(());
        };
        if self.model.is_stopped(id.process) {
            return Ok(());
        }
        let due = self.model.must_be_granted(id);
        if due.is_empty() {
            return self.poll_once(id, look).map(drop);
        }
        let deadline = Instant::now() + self.patience.grant;
        let slice = if due.len() == 1 {
            Duration::from_millis(500)
        } else {
            GLANCE
        };
        while Instant::now() < deadline {
            for &waiter in &due {
                let left = deadline.saturating_duration_since(Instant::now());
                if self.poll_once(waiter, slice.min(left))? {
                    return Ok(());
                }
            }
        }
        self.tell_poll(id, "still waiting");
        Err(self.blame_wait(id, mode)?)
    }

    /// Whether the wait ended.
    fn poll_once(&mut self, id: HandleId, time: Duration) -> Result<bool, Halt> {
        let answer = self.ask(id, Law::CancelSafety, &Order::Poll(slot(id), time))?;
        if answer != Answer::Pending {
            self.tell_poll(id, &InWords(&answer).to_string());
        }
        self.model
            .polled(id, &answer)
            .map_err(|doubt| self.halt(doubt))?;
        Ok(answer != Answer::Pending)
    }

    fn cancel(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Waiting(_))) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::CancelSafety, &Order::Cancel(slot(id)))?;
        self.tell(Step::Cancel { process, handle }, "");
        self.expect_done(Law::CancelSafety, "giving up a wait", &answer)?;
        self.model.cancelled(id);
        Ok(())
    }

    fn unlock(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Held(_) | State::Idle)) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::Release, &Order::Unlock(slot(id)))?;
        self.tell(Step::Unlock { process, handle }, "");
        self.expect_done(Law::Release, "unlocking", &answer)?;
        self.model.unlocked(id);
        Ok(())
    }

    fn drop_handle(&mut self, id: HandleId) -> Result<(), Halt> {
        if self.model.state(id).is_none() {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::Release, &Order::Drop(slot(id)))?;
        self.tell(Step::Drop { process, handle }, "");
        self.expect_done(Law::Release, "dropping the handle", &answer)?;
        self.model.dropped(id);
        Ok(())
    }

    fn ask_current(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Held(_) | State::Idle)) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let path = self.path(id.file());
        let answer = self.ask(id, Law::Errors, &Order::IsCurrent(slot(id), path))?;
        self.tell(
            Step::AskCurrent { process, handle },
            &InWords(&answer).to_string(),
        );
        self.model
            .asked_current(id, &answer)
            .map_err(|doubt| self.halt(doubt))
    }

    fn kill(&mut self, process: u8) {
        self.stage.kill(usize::from(process));
        // A child with copies keeps the locks of a parent that could not unlock, and cannot help it.
        for child in self.forked.remove(&process).unwrap_or_default() {
            self.stage.end_orphan(child);
        }
        self.model.killed(process);
        self.tell(Step::Kill { process }, "");
    }

    fn resume(&mut self, process: u8) {
        self.stage.resume(usize::from(process));
        self.model.resume(process);
        self.tell(Step::Continue { process }, "");
    }

    fn fork_and_drop(&mut self, id: HandleId) -> Result<(), Halt> {
        if !matches!(self.model.state(id), Some(State::Held(_) | State::Idle)) {
            return Ok(());
        }
        let HandleId { process, handle } = id;
        let answer = self.ask(id, Law::ForkAndExec, &Order::ForkAndDrop(slot(id)))?;
        if let Answer::Unable(_) = answer {
            return Ok(());
        }
        self.tell(Step::ForkAndDrop { process, handle }, "");
        self.expect_done(Law::ForkAndExec, "the child that dropped its copy", &answer)?;
        self.model.child_dropped(id);
        Ok(())
    }

    fn have_a_child(&mut self, step: Step, process: u8) -> Result<(), Halt> {
        let (order, forks) = match step {
            Step::Fork { .. } => (Order::Fork, true),
            _ => (Order::Spawn, false),
        };
        let id = HandleId { process, handle: 0 };
        if let Answer::Pid(pid) = self.ask(id, Law::ForkAndExec, &order)? {
            self.tell(step, "");
            self.model.child_lives(process);
            if forks {
                self.forked.entry(process).or_default().push(pid);
            }
            self.stage.remember_child(pid);
        }
        Ok(())
    }

    fn hard_link(&mut self, file: u8) -> Result<(), Halt> {
        if !self.model.names_a_file(file) {
            return Ok(());
        }
        let (original, link) = (self.path(file), self.path(FILES - 1 - file));
        self.stage.unlink(&link)?;
        self.stage.hard_link(&original, &link)?;
        self.model.hard_link(file);
        self.tell(Step::HardLink { file }, "");
        Ok(())
    }

    /// The lock of a file that nobody holds or waits for can be had.
    fn look_whether_free(&mut self, file: u8) -> Result<(), Halt> {
        let id = HandleId {
            process: 0,
            handle: 0,
        };
        let path = self.path(file);
        let mode = LockMode::Exclusive;
        self.ask(
            id,
            Law::Errors,
            &Order::Open(PROBE, path, OpenOptions::new()),
        )?;
        let answer = self.ask(id, Law::Liveness, &Order::TryLock(PROBE, mode))?;
        let line = format!(
            "at the end, with every lock released, process 0 tries to take the {mode} lock of file {file}"
        );
        self.story.push(format!("{line}: {}", InWords(&answer)));
        let inode = self.model.inode_at(file);
        match (answer, inode) {
            (Answer::Acquired, _) => {
                self.story.pop();
                let answer = self.ask(id, Law::Release, &Order::Drop(PROBE))?;
                self.expect_done(Law::Release, "dropping the handle", &answer)
            }
            (Answer::WouldBlock, Some(inode)) => {
                let stays = self.stays_busy(id, PROBE, mode)?;
                let (law, what) = self.model.blame_busy(inode, stays);
                Err(Halt::Found(law, what))
            }
            (answer, _) => Err(self.halt(unexpected("the attempt", &answer))),
        }
    }

    /// Busy though nobody holds: for how long?
    fn investigate(&mut self, id: HandleId, mode: LockMode, inode: Inode) -> Result<Halt, Halt> {
        let stays = self.stays_busy(id, slot(id), mode)?;
        let (law, what) = self.model.blame_busy(inode, stays);
        Ok(Halt::Found(law, what))
    }

    fn stays_busy(&mut self, id: HandleId, slot: Slot, mode: LockMode) -> Result<bool, Halt> {
        for _ in 0..40 {
            if self.ask(id, Law::Liveness, &Order::TryLock(slot, mode))? == Answer::Acquired {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    /// A wait that never ends: is the lock not free, or is it that nobody tells?
    fn blame_wait(&mut self, id: HandleId, mode: LockMode) -> Result<Halt, Halt> {
        let late = format!(
            "the {mode} lock is free, but the wait does not end within {:?}",
            self.patience.grant
        );
        let Some(inode) = self.model.inode_of(id) else {
            return Ok(Halt::Found(Law::Liveness, late));
        };
        let Some(file) = self.model.file_of(inode) else {
            return Ok(Halt::Found(Law::Liveness, late)); // nothing can look at a nameless file
        };
        let path = self.path(file);
        self.ask(
            id,
            Law::Errors,
            &Order::Open(PROBE, path, OpenOptions::new()),
        )?;
        let free = !self.stays_busy(id, PROBE, mode)?;
        if free {
            return Ok(Halt::Found(Law::Liveness, late));
        }
        let (law, what) = self.model.blame_busy(inode, true);
        Ok(Halt::Found(law, what))
    }

    fn expect_done(&self, law: Law, call: &str, answer: &Answer) -> Result<(), Halt> {
        match answer {
            Answer::Done => Ok(()),
            Answer::Panicked(message) => {
                Err(Halt::Found(law, format!("{call} panicked: {message}")))
            }
            answer => Err(self.halt(unexpected(call, answer))),
        }
    }

    /// An answer, unless the worker is lost: then `law` is broken.
    fn ask(&mut self, id: HandleId, law: Law, order: &Order) -> Result<Answer, Halt> {
        let extra = match order {
            Order::Poll(_, time) => *time,
            _ => Duration::ZERO,
        };
        let within = self.patience.answer + extra;
        let worker = self.stage.worker(usize::from(id.process))?;
        let lost = match worker.ask(order, within) {
            Ok(answer) => return Ok(answer),
            Err(lost) => lost,
        };
        let word = order.to_string();
        let verb = word.split(' ').next().unwrap_or_default();
        self.story
            .push(format!("process {} is asked to {verb}: {lost}", id.process));
        Err(match lost {
            Lost::Silent(time) => Halt::Found(
                law,
                format!("the call blocks its thread: no answer within {time:?}"),
            ),
            Lost::Ended => Halt::Found(Law::Errors, "the call ended its process".into()),
        })
    }

    fn halt(&self, doubt: Doubt) -> Halt {
        match doubt {
            Doubt::Breach(law, what) => Halt::Found(law, what),
            Doubt::FalseBusy(inode) => {
                let (law, what) = self.model.blame_busy(inode, false);
                Halt::Found(law, what)
            }
        }
    }

    fn tell(&mut self, step: Step, came_to: &str) {
        self.story.push(match came_to {
            "" | "done" => step.to_string(),
            came_to => format!("{step}: {came_to}"),
        });
    }

    fn tell_poll(&mut self, id: HandleId, came_to: &str) {
        let HandleId { process, handle } = id;
        self.tell(Step::Poll { process, handle }, came_to);
    }

    fn path(&self, file: u8) -> PathBuf {
        self.stage
            .path(["a.lock", "b.lock"][usize::from(file % FILES)])
    }
}

fn slot(id: HandleId) -> Slot {
    Slot::from(id.handle)
}
