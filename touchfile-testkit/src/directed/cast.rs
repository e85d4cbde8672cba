//! What a directed case is written with: processes that do things, and sentences about them.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use touchfile_core::LockMode::{self, Exclusive};
use touchfile_core::OpenOptions;

use crate::Law;
use crate::countdown::Countdown;
use crate::process::{Answer, InWords, Lost, Order, Slot};
use crate::stage::Stage;
use crate::suite::{Bench, Finding, Undone};

/// How much longer a scene may take than a call.
const SCENE: u32 = 5;

/// The processes and files of one directed case, and the story so far.
pub(crate) struct Cast<'a> {
    pub(crate) bench: &'a Bench<'a>,
    pub(crate) stage: Stage<'a>,
    pub(super) law: Law,
    story: Vec<String>,
}

/// One process.
pub(crate) type Process = usize;

impl<'a> Cast<'a> {
    /// Gives a file a second name, if there is such a thing here.
    pub(super) fn hard_link(&self, original: &Path, link: &Path) -> Result<(), Undone> {
        linked(self.stage.hard_link(original, link))
    }

    /// Nobody yet. What goes wrong breaks `law`, unless said otherwise.
    pub(crate) fn new(bench: &'a Bench<'a>, law: Law) -> Result<Self, Undone> {
        Ok(Self {
            bench,
            stage: bench.host.stage()?,
            law,
            story: Vec::new(),
        })
    }

    /// The lock file of most cases.
    pub(crate) fn path(&self) -> PathBuf {
        self.stage.path("a.lock")
    }

    /// The number of another process than 0, if the backend knows others.
    pub(crate) fn other(&self) -> Process {
        usize::from(self.bench.claims.cross_process)
    }

    /// Keeps the workers for other cases. To be called when all is well.
    pub(crate) fn close(self) {
        self.stage.close();
    }

    /// Orders, and tells the story of it.
    pub(crate) fn ask(&mut self, process: Process, order: &Order) -> Result<Answer, Undone> {
        self.tell(process, order)?;
        self.hear(process, order)
    }

    /// Orders, and does not wait for the answer.
    pub(crate) fn tell(&mut self, process: Process, order: &Order) -> Result<(), Undone> {
        self.stage.worker(process)?.tell(order);
        Ok(())
    }

    /// The answer to an order that was told.
    pub(crate) fn hear(&mut self, process: Process, order: &Order) -> Result<Answer, Undone> {
        let call = self.bench.patience * 2;
        let within = match order {
            Order::Poll(_, time) => call + *time,
            Order::Play(..) => call * SCENE,
            _ => call,
        };
        let worker = self.stage.worker(process)?;
        match worker.hear(within) {
            Ok(answer) => {
                let line = format!(
                    "process {process}: {}: {}",
                    in_words(order),
                    InWords(&answer)
                );
                self.note(line);
                Ok(answer)
            }
            Err(lost) => {
                self.note(format!("process {process}: {}: {lost}", in_words(order)));
                let (law, what) = match (lost, order) {
                    (Lost::Ended, _) => (Law::Errors, "the call ended its process"),
                    (_, Order::Start(..) | Order::Poll(..) | Order::Cancel(_)) => {
                        (Law::CancelSafety, "the call blocks its thread")
                    }
                    (_, Order::Unlock(_) | Order::Drop(_)) => {
                        (Law::Release, "the call blocks its thread")
                    }
                    (_, Order::TryLock(..) | Order::TryUpgrade(_)) => {
                        (Law::Liveness, "the attempt waits")
                    }
                    _ => (self.law, "it never ends"),
                };
                Err(self.broken(law, what))
            }
        }
    }

    /// Opens the usual lock file in the usual way.
    pub(crate) fn open(&mut self, process: Process, slot: Slot) -> Result<(), Undone> {
        let path = self.path();
        self.open_with(process, slot, &path, &OpenOptions::new())
    }

    pub(crate) fn open_with(
        &mut self,
        process: Process,
        slot: Slot,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<(), Undone> {
        let order = Order::Open(slot, path.to_owned(), options.clone());
        match self.ask(process, &order)? {
            Answer::Done => Ok(()),
            _ => Err(self.broken(Law::Errors, "the lock file could not be opened")),
        }
    }

    pub(crate) fn try_lock(
        &mut self,
        process: Process,
        slot: Slot,
        mode: LockMode,
    ) -> Result<Answer, Undone> {
        self.ask(process, &Order::TryLock(slot, mode))
    }

    /// Tries to take a lock that nobody holds who lives.
    pub(super) fn try_free(
        &mut self,
        process: Process,
        slot: Slot,
        mode: LockMode,
    ) -> Result<Answer, Undone> {
        loop {
            let answer = self.try_lock(process, slot, mode)?;
            if answer != Answer::WouldBlock || !self.stage.may_be_held_by_the_dead() {
                return Ok(answer);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Opens and takes the exclusive lock of the usual file, as the beginning of a case.
    pub(crate) fn hold(&mut self, process: Process, slot: Slot) -> Result<(), Undone> {
        self.hold_as(process, slot, Exclusive)
    }

    pub(crate) fn hold_as(
        &mut self,
        process: Process,
        slot: Slot,
        mode: LockMode,
    ) -> Result<(), Undone> {
        self.open(process, slot)?;
        match self.try_free(process, slot, mode)? {
            Answer::Acquired => Ok(()),
            Answer::WouldBlock => Err(self.broken(Law::NoFalseBusy, "nobody holds the lock")),
            answer => Err(self.wrong(&answer)),
        }
    }

    /// Begins to wait while somebody holds the lock.
    pub(crate) fn wait(
        &mut self,
        process: Process,
        slot: Slot,
        mode: LockMode,
    ) -> Result<(), Undone> {
        match self.ask(process, &Order::Start(slot, mode))? {
            Answer::Pending => Ok(()),
            Answer::Acquired => {
                Err(self.broken(Law::Exclusion, "it got the lock, but somebody holds it"))
            }
            answer => Err(self.wrong(&answer)),
        }
    }

    pub(crate) fn unlock(&mut self, process: Process, slot: Slot) -> Result<(), Undone> {
        self.must_be_done(process, &Order::Unlock(slot))
    }

    pub(crate) fn drop_handle(&mut self, process: Process, slot: Slot) -> Result<(), Undone> {
        self.must_be_done(process, &Order::Drop(slot))
    }

    /// Plays a scene, which must go well, and says what came of it.
    pub(crate) fn play(
        &mut self,
        process: Process,
        scene: &str,
        words: &[&dyn Display],
    ) -> Result<String, Undone> {
        let order = self.scene(scene, words);
        self.tell(process, &order)?;
        self.played(process, &order)
    }

    /// The order to play a scene on the usual file.
    pub(crate) fn scene(&self, scene: &str, words: &[&dyn Display]) -> Order {
        let words = words.iter().map(ToString::to_string).collect();
        Order::Play(scene.to_owned(), self.path(), words)
    }

    /// What came of a scene that was told.
    pub(crate) fn played(&mut self, process: Process, order: &Order) -> Result<String, Undone> {
        match self.hear(process, order)? {
            Answer::Text(text) => Ok(text),
            answer => Err(self.wrong(&answer)),
        }
    }

    pub(crate) fn kill(&mut self, process: Process) {
        self.stage.kill(process);
        self.note(format!("process {process} is killed"));
    }

    /// An answer that no law allows here.
    pub(crate) fn wrong(&self, answer: &Answer) -> Undone {
        let law = match answer {
            Answer::Panicked(_) => self.law,
            answer if answer.is_kind(io::ErrorKind::Unsupported) => Law::Capabilities,
            Answer::Failed { .. } => Law::Errors,
            _ => self.law,
        };
        self.broken(law, format!("the answer was: {}", InWords(answer)))
    }

    /// A broken law, with the story so far.
    pub(crate) fn broken(&self, law: Law, what: impl Into<String>) -> Undone {
        let mut story = String::new();
        let left_out = self.story.len().saturating_sub(12);
        if left_out > 0 {
            story.push_str(&format!("  … {left_out} lines before\n"));
        }
        for (number, line) in self.story.iter().enumerate().skip(left_out) {
            story.push_str(&format!("{:3}. {line}\n", number + 1));
        }
        story.push_str(&format!("This breaks {law}: {}.\n", what.into()));
        let finding = Finding {
            law,
            case: String::new(),
            story,
            steps: Vec::new(),
        };
        Undone::Broken(Box::new(finding), 1)
    }

    pub(crate) fn note(&mut self, line: impl Into<String>) {
        self.story.push(line.into());
    }

    /// How much of the story was told so far.
    pub(super) fn told(&self) -> usize {
        self.story.len()
    }

    /// Leaves out of the story what was told since.
    pub(super) fn forget(&mut self, told: usize) {
        self.story.truncate(told);
    }
}

/// Repeats until something holds, and says whether it came to.
pub(crate) fn until(
    within: Duration,
    mut holds: impl FnMut() -> Result<bool, Undone>,
) -> Result<bool, Undone> {
    let mut countdown = Countdown::new(within);
    while !holds()? {
        if countdown.slice().is_none() {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

fn in_words(order: &Order) -> String {
    match order {
        Order::Open(slot, path, _) => format!(
            "opens {} as handle {slot}",
            path.file_name().unwrap_or_default().to_string_lossy()
        ),
        Order::TryLock(slot, mode) => format!("tries to take the {mode} lock, handle {slot}"),
        Order::Start(slot, mode) => format!("starts to wait for the {mode} lock, handle {slot}"),
        Order::Poll(slot, _) => format!("polls its wait, handle {slot}"),
        Order::Cancel(slot) => format!("gives up its wait, handle {slot}"),
        Order::Unlock(slot) => format!("unlocks handle {slot}"),
        Order::Drop(slot) => format!("drops handle {slot}"),
        Order::Downgrade(slot) => format!("makes its lock shared, handle {slot}"),
        Order::TryUpgrade(slot) => format!("tries to make its lock exclusive, handle {slot}"),
        Order::ForkAndConvert(slot, mode) => {
            format!("forks a child that makes its copy of the lock {mode}, handle {slot}")
        }
        Order::IsCurrent(slot, _) => format!("asks whether handle {slot} is current"),
        Order::Fork => "forks a child that lives on".into(),
        Order::ForkAndDrop(slot) => format!("forks a child that drops its copy of handle {slot}"),
        Order::Spawn => "starts another program that lives on".into(),
        Order::Belongings => "counts what it has".into(),
        Order::Play(scene, _, words) => format!("{} {}", scene.replace('-', " "), words.join(" ")),
        order => order.to_string(),
    }
}

/// What came of making a link: if there are none here, the case is left out.
pub(super) fn linked(made: io::Result<()>) -> Result<(), Undone> {
    match made {
        Err(error) if Stage::has_no_links(&error) => {
            Err(Undone::Skipped("there are no such links here".into()))
        }
        made => Ok(made?),
    }
}
