//! Trying locks with two processes.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use touchfile::auto::Method;

use super::advice;
use super::facts::TrialDirectory;

/// A law that was tried with one way of locking.
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

/// Tries all laws with each way of locking, and tells of each as soon as it is known, for as long
/// as `tell` wants more.
pub(super) fn run(
    trial_directory: &TrialDirectory,
    deadline: Instant,
    tell: &mut dyn FnMut(Tried) -> bool,
) {
    let directory = match trial_directory {
        TrialDirectory::Usable(directory) => private(directory),
        TrialDirectory::None(why) => Err(why.clone()),
    };
    for backend in BACKENDS {
        let laws = directory.as_ref().map(|directory| {
            let name = format!("{}.lock", advice::name(backend));
            let lock = directory.path().join(name);
            let program = worker(backend, &lock)?;
            Trial::start(program, &lock, deadline)
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
            let tried = Tried {
                backend,
                law,
                outcome,
            };
            if !tell(tried) {
                return;
            }
        }
    }
}

/// A new directory, which is removed with all that is in it.
fn private(directory: &Path) -> Result<tempfile::TempDir, String> {
    let made = tempfile::Builder::new()
        .prefix(".touchfile-doctor-")
        .tempdir_in(directory);
    made.map_err(|error| {
        // The message of tempfile ends with the path that was to be created.
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

/// Why a law was not seen to hold.
enum Stop {
    Broken(String),
    NotTried(String),
}

impl Trial {
    fn start(mut worker: Command, lock: &Path, deadline: Instant) -> io::Result<Self> {
        Ok(Self {
            lock: lock.to_owned(),
            one: Worker::start(&mut worker)?,
            other: Worker::start(&mut worker)?,
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
        one.expect(
            "exclusive",
            "acquired",
            "a free lock was not to be had",
            deadline,
        )?;
        for mode in ["exclusive", "shared"] {
            let broken = "a second process got a lock that was held exclusively";
            other.expect(mode, "busy", broken, deadline)?;
        }
        one.expect("unlock", "released", "a lock was not released", deadline)?;
        let broken = "two processes cannot share a lock";
        one.expect("shared", "acquired", broken, deadline)?;
        other.expect("shared", "acquired", broken, deadline)?;
        one.expect("unlock", "released", "a lock was not released", deadline)?;
        other.expect("unlock", "released", "a lock was not released", deadline)
    }

    /// Both processes have opened the file before it is replaced.
    fn identity(&mut self) -> Result<(), Stop> {
        let new = self.lock.with_extension("new");
        let replaced = fs::write(&new, "").and_then(|()| fs::rename(&new, &self.lock));
        replaced.map_err(|error| {
            Stop::NotTried(format!("the lock file could not be replaced: {error}"))
        })?;
        let (one, other, deadline) = (&mut self.one, &mut self.other, self.deadline);
        other.expect(
            "exclusive",
            "acquired",
            "a new file was not to be had",
            deadline,
        )?;
        let broken = "a process went on with a lock file that had been replaced";
        one.expect("exclusive", "busy", broken, deadline)?;
        other.expect("unlock", "released", "a lock was not released", deadline)
    }

    fn release_on_kill(&mut self) -> Result<(), Stop> {
        let (one, other, deadline) = (&mut self.one, &mut self.other, self.deadline);
        one.expect(
            "exclusive",
            "acquired",
            "a free lock was not to be had",
            deadline,
        )?;
        one.kill();
        let left = deadline.saturating_duration_since(Instant::now());
        let order = format!("wait {}", left.as_millis() * 3 / 4);
        let broken = "a lock was not free in time after its holder was killed";
        other.expect(&order, "acquired", broken, deadline)?;
        other.expect("unlock", "released", "a lock was not released", deadline)
    }
}

/// The command that starts this program as a worker process.
fn worker(backend: Method, lock: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("doctor-worker")
        .arg(advice::name(backend))
        .arg(lock);
    Ok(command)
}

/// A worker process, which executes commands and answers each.
struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

impl Worker {
    fn start(program: &mut Command) -> io::Result<Self> {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (orders, output) = pipes.expect("both were asked for");
        let (sender, answers) = channel();
        thread::Builder::new().spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            child,
            orders,
            answers,
        })
    }

    /// Gives an order, which is to be answered like this; if `broken` is what it means when a lock
    /// is had or not had.
    fn expect(
        &mut self,
        order: &str,
        answer: &str,
        broken: &str,
        deadline: Instant,
    ) -> Result<(), Stop> {
        let left = deadline.saturating_duration_since(Instant::now());
        let given = writeln!(self.orders, "{order}");
        match given.map(|()| self.answers.recv_timeout(left)) {
            Ok(Ok(given)) if given == answer => Ok(()),
            Ok(Ok(given)) if ["acquired", "busy", "released"].contains(&&*given) => {
                Err(Stop::Broken(broken.into()))
            }
            Ok(Ok(error)) => Err(Stop::Broken(error)),
            _ => Err(Stop::NotTried("there was no answer in time".into())),
        }
    }

    fn kill(&mut self) {
        self.child.kill().ok();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
        // A process that is stuck in the kernel is left behind.
        let patience = Instant::now() + Duration::from_millis(100);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found out about workers that answer each order with what this shell script says.
    fn outcomes(script: &str, patience: Duration) -> Vec<Outcome> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut worker = Command::new("sh");
        worker.arg("-c").arg(script);
        let deadline = Instant::now() + patience;
        let lock = dir.path().join("a.lock");
        let mut trial = Trial::start(worker, &lock, deadline).expect("a shell");
        LAWS.map(|law| trial.attempt(law)).into()
    }

    #[test]
    fn locks_that_exclude_nobody_are_found_out() {
        let script = r#"
            while read order; do case $order in unlock) echo released;; *) echo acquired;; esac; done
        "#;
        let [exclusion, identity, kill] = &outcomes(script, Duration::from_secs(60))[..] else {
            unreachable!()
        };
        let broken = |outcome: &Outcome, how: &str| match outcome {
            Outcome::Broken(story) => story.contains(how),
            _ => false,
        };
        assert!(broken(exclusion, "held exclusively"), "{exclusion:?}");
        assert!(broken(identity, "replaced"), "{identity:?}");
        assert_eq!(*kill, Outcome::Holds);
    }

    #[test]
    fn locks_that_are_never_free_or_refused_are_found_out() {
        for answer in ["busy", "cannot lock it: no locks available"] {
            let script = format!("while read order; do echo '{answer}'; done");
            for outcome in outcomes(&script, Duration::from_secs(60)) {
                assert!(
                    matches!(outcome, Outcome::Broken(_)),
                    "{answer}: {outcome:?}"
                );
            }
        }
    }

    #[test]
    fn whoever_does_not_answer_is_not_waited_for_and_says_nothing_about_locks() {
        for outcome in outcomes("read order; exec sleep 60", Duration::from_millis(100)) {
            assert!(matches!(outcome, Outcome::NotTried(_)), "{outcome:?}");
        }
    }
}
