//! Tries locks with two processes.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use touchfile::LockMode::{self, Exclusive, Shared};
use touchfile::auto::Method;
use touchfile_testkit::worker::{Worker, this_program};

use super::advice;
use super::facts::TrialDirectory;
use super::worker::{ACQUIRED, BUSY, RELEASED, UNLOCK, WAIT};

/// The outcome of a law with one backend.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) backend: Method,
    pub(super) law: Law,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Law {
    Exclusion,
    Identity,
    ReleaseOnKill,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Holds,
    /// The law was broken, in this way.
    Broken(String),
    /// The law could not be tried, for this reason.
    NotTried(String),
}

pub(super) const BACKENDS: [Method; 2] = [Method::Flock, Method::Fcntl];
pub(super) const LAWS: [Law; 3] = [Law::Exclusion, Law::Identity, Law::ReleaseOnKill];

impl Law {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exclusion => "exclusion",
            Self::Identity => "identity",
            Self::ReleaseOnKill => "release on kill",
        }
    }
}

/// Tries all laws with each backend, and reports each outcome as soon as it is known.
///
/// # Errors
///
/// The first one of `report`, which ends the trials.
pub(super) fn run(
    trial_directory: &TrialDirectory,
    deadline: Instant,
    report: &mut dyn FnMut(Tried) -> io::Result<()>,
) -> io::Result<()> {
    let directory = match trial_directory {
        TrialDirectory::Usable(directory) => private(directory),
        TrialDirectory::None(why) => Err(why.clone()),
    };
    for backend in BACKENDS {
        let laws = directory.as_ref().map(|directory| {
            let name = format!("{}.lock", advice::name(backend));
            let lock = directory.path().join(name);
            let mut program = worker_program(backend, &lock)?;
            Trial::start(&mut program, &lock, deadline)
        });
        let mut trial = match laws {
            Ok(Ok(trial)) => Ok(trial),
            Ok(Err(error)) => Err(format!("no process could be started: {error}")),
            Err(why) => Err(why.clone()),
        };
        for law in LAWS {
            let outcome = match &mut trial {
                Ok(trial) => trial.attempt(law),
                Err(why) => Outcome::NotTried(why.clone()),
            };
            report(Tried {
                backend,
                law,
                outcome,
            })?;
        }
    }
    Ok(())
}

/// A new directory, which is removed with its contents.
fn private(directory: &Path) -> Result<tempfile::TempDir, String> {
    let made = tempfile::Builder::new()
        .prefix(".touchfile-doctor-")
        .tempdir_in(directory);
    made.map_err(|error| {
        // The message of tempfile ends with the path of the directory.
        let error = error.to_string();
        let (why, _) = error.split_once(" at path ").unwrap_or((&error, ""));
        format!("nothing can be created in {}: {why}", directory.display())
    })
}

/// Two processes and a lock file.
struct Trial {
    lock: PathBuf,
    one: Worker,
    other: Worker,
    deadline: Instant,
}

/// Why a law does not hold or was not tried.
enum Stop {
    Broken(String),
    NotTried(String),
}

impl Trial {
    fn start(program: &mut Command, lock: &Path, deadline: Instant) -> io::Result<Self> {
        Ok(Self {
            lock: lock.to_owned(),
            one: Worker::spawn(program)?,
            other: Worker::spawn(program)?,
            deadline,
        })
    }

    fn attempt(&mut self, law: Law) -> Outcome {
        let seen = match law {
            Law::Exclusion => self.exclusion(),
            Law::Identity => self.identity(),
            Law::ReleaseOnKill => self.release_on_kill(),
        };
        match seen {
            Ok(()) => Outcome::Holds,
            Err(Stop::Broken(how)) => Outcome::Broken(how),
            Err(Stop::NotTried(why)) => Outcome::NotTried(why),
        }
    }

    fn exclusion(&mut self) -> Result<(), Stop> {
        let (one, other, deadline) = (&mut self.one, &mut self.other, self.deadline);
        take(one, Exclusive, "a free lock was refused", deadline)?;
        for mode in [Exclusive, Shared] {
            let broken = "a second process got a lock that was held exclusively";
            expect(other, mode, BUSY, broken, deadline)?;
        }
        unlock(one, deadline)?;
        for worker in [&mut *one, other] {
            take(
                worker,
                Shared,
                "two processes cannot share a lock",
                deadline,
            )?;
        }
        unlock(one, deadline)?;
        unlock(other, deadline)
    }

    /// Both processes have opened the file before it is replaced.
    fn identity(&mut self) -> Result<(), Stop> {
        let new = self.lock.with_extension("new");
        let replaced = fs::write(&new, "").and_then(|()| fs::rename(&new, &self.lock));
        replaced.map_err(|error| {
            Stop::NotTried(format!("the lock file could not be replaced: {error}"))
        })?;
        let (one, other, deadline) = (&mut self.one, &mut self.other, self.deadline);
        take(other, Exclusive, "a new file could not be locked", deadline)?;
        let broken = "a process went on with a lock file that had been replaced";
        expect(one, Exclusive, BUSY, broken, deadline)?;
        unlock(other, deadline)
    }

    fn release_on_kill(&mut self) -> Result<(), Stop> {
        let (one, other, deadline) = (&mut self.one, &mut self.other, self.deadline);
        take(one, Exclusive, "a free lock was refused", deadline)?;
        one.kill().map_err(|error| {
            Stop::NotTried(format!("a worker process could not be killed: {error}"))
        })?;
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = format!("{WAIT} {}", left.as_millis() * 3 / 4);
        let broken = "a lock was not free in time after its holder was killed";
        expect(other, wait, ACQUIRED, broken, deadline)?;
        unlock(other, deadline)
    }
}

fn take(worker: &mut Worker, mode: LockMode, broken: &str, deadline: Instant) -> Result<(), Stop> {
    expect(worker, mode, ACQUIRED, broken, deadline)
}

fn unlock(worker: &mut Worker, deadline: Instant) -> Result<(), Stop> {
    expect(
        worker,
        UNLOCK,
        RELEASED,
        "a lock was not released",
        deadline,
    )
}

/// The command that starts this program as a worker process.
fn worker_program(backend: Method, lock: &Path) -> io::Result<Command> {
    let mut command = this_program()?;
    command
        .arg("doctor-worker")
        .arg(advice::name(backend))
        .arg(lock)
        .stderr(Stdio::null());
    Ok(command)
}

/// Sends a command to a worker and compares the reply with the expected one.
///
/// `broken` says what is wrong with the lock if the worker replies with another result.
fn expect(
    worker: &mut Worker,
    command: impl Display,
    expected: &str,
    broken: &str,
    deadline: Instant,
) -> Result<(), Stop> {
    let left = deadline.saturating_duration_since(Instant::now());
    match worker.ask(command, left) {
        Ok(reply) if reply == expected => Ok(()),
        Ok(reply) if [ACQUIRED, BUSY, RELEASED].contains(&&*reply) => {
            Err(Stop::Broken(broken.into()))
        }
        Ok(error) => Err(Stop::Broken(error)),
        Err(_) => Err(Stop::NotTried("there was no answer in time".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The outcomes of all laws if each worker is a shell that executes this script.
    ///
    /// In the script, `reply WORD` sends a reply.
    fn outcomes(script: &str, time: Duration) -> Vec<Outcome> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut worker = Command::new("sh");
        let reply = r#"reply() { echo "@touchfile $1"; }"#;
        worker.arg("-c").arg(format!("{reply}\n{script}"));
        let deadline = Instant::now() + time;
        let lock = dir.path().join("a.lock");
        let mut trial = Trial::start(&mut worker, &lock, deadline).expect("a shell");
        LAWS.map(|law| trial.attempt(law)).into()
    }

    #[test]
    fn locks_that_exclude_nobody_are_found_out() {
        let script = "
            while read command; do
                case $command in unlock) reply released;; *) reply acquired;; esac
            done
        ";
        let [exclusion, identity, kill] = &outcomes(script, Duration::from_secs(60))[..] else {
            unreachable!()
        };
        let broken = |outcome: &Outcome, how: &str| match outcome {
            Outcome::Broken(message) => message.contains(how),
            _ => false,
        };
        assert!(broken(exclusion, "held exclusively"), "{exclusion:?}");
        assert!(broken(identity, "replaced"), "{identity:?}");
        assert_eq!(*kill, Outcome::Holds);
    }

    #[test]
    fn locks_that_are_never_free_or_refused_are_found_out() {
        for answer in ["busy", "cannot lock it: no locks available"] {
            let script = format!("while read command; do reply '{answer}'; done");
            for outcome in outcomes(&script, Duration::from_secs(60)) {
                assert!(
                    matches!(outcome, Outcome::Broken(_)),
                    "{answer}: {outcome:?}"
                );
            }
        }
    }

    #[test]
    fn a_worker_that_does_not_reply_in_time_says_nothing_about_locks() {
        for outcome in outcomes("read command; exec sleep 60", Duration::from_millis(100)) {
            assert!(matches!(outcome, Outcome::NotTried(_)), "{outcome:?}");
        }
    }
}
