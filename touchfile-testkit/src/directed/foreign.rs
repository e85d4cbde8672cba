//! Other programs, without touchfile, on the same file.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use touchfile_core::LockMode::{self, Exclusive, Shared};

use super::driver::Driver;
use crate::Law;
use crate::case::{Case, Undone};
use crate::worker::{Lost, Worker};

pub(super) fn cases() -> Vec<Case> {
    cases! {
        Capabilities::programs_that_use_flock_are_excluded [ExcludesFlock, RealFiles, RealProcesses],
        Capabilities::programs_that_use_fcntl_are_excluded [ExcludesFcntl, RealFiles, RealProcesses],
        Liveness::a_waiter_gets_the_lock_of_a_program_that_uses_flock [ExcludesFlock, RealFiles, RealProcesses],
        Liveness::a_waiter_gets_the_lock_of_a_program_that_uses_fcntl [ExcludesFcntl, RealFiles, RealProcesses],
    }
}

fn programs_that_use_flock_are_excluded(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    excluded(driver, Tool::Flock)
}

fn programs_that_use_fcntl_are_excluded(driver: &mut Driver<'_>) -> Result<u64, Undone> {
    excluded(driver, Tool::Fcntl)
}

fn a_waiter_gets_the_lock_of_a_program_that_uses_flock(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    handed_over(driver, Tool::Flock)
}

fn a_waiter_gets_the_lock_of_a_program_that_uses_fcntl(
    driver: &mut Driver<'_>,
) -> Result<u64, Undone> {
    handed_over(driver, Tool::Fcntl)
}

/// The backend and the program exclude each other in each pair of modes.
fn excluded(driver: &mut Driver<'_>, tool: Tool) -> Result<u64, Undone> {
    let path = driver.path();
    driver.hold(0, 0)?;
    driver.open(0, 1)?;
    driver.must_be_busy(0, 1, Exclusive, "another handle holds it")?;
    driver.unlock(0, 0)?;
    let modes = if driver.context.claims.shared {
        &[Exclusive, Shared][..]
    } else {
        &[Exclusive]
    };
    let mut tried = 0;
    for &ours in modes {
        for &theirs in modes {
            driver.must_acquire(0, 0, ours, "nobody holds it")?;
            let got_in = tool.attempt(&path, theirs)?;
            driver.note(format!(
                "{} tries to take the {theirs} lock: {}",
                tool.name(),
                if got_in { "acquired" } else { "busy" }
            ));
            match (got_in, ours.conflicts_with(theirs)) {
                (true, true) => driver.must(false, format!("we hold the {ours} lock"))?,
                (false, false) => {
                    return Err(driver.broken(Law::NoFalseBusy, "there are only readers"));
                }
                _ => {}
            }
            driver.unlock(0, 0)?;
            let Some(holder) = tool.hold(&path, theirs)? else {
                return Err(driver.broken(
                    Law::Release,
                    "a program finds the lock held that was unlocked",
                ));
            };
            driver.note(format!("{} takes the {theirs} lock", tool.name()));
            if ours.conflicts_with(theirs) {
                driver.must_still_be_busy(
                    0,
                    0,
                    ours,
                    "a program holds it that we claim to exclude",
                )?;
            } else {
                driver.must_share(0, 0)?;
                driver.unlock(0, 0)?;
            }
            holder.finish();
            tried += 2;
        }
    }
    Ok(tried)
}

/// A way in which a program releases its lock. The program may still run afterwards.
type End = fn(Holder) -> Option<Holder>;

/// A waiter gets the lock in whatever way the program releases it.
fn handed_over(driver: &mut Driver<'_>, tool: Tool) -> Result<u64, Undone> {
    let path = driver.path();
    driver.open(0, 0)?;
    let ends: [(&str, End); 3] = [
        ("ends", Holder::finish),
        ("is killed", Holder::kill),
        ("unlocks and keeps the file open", Holder::unlock),
    ];
    let mut tried = 0;
    for (end, release) in ends {
        let holder = match tool.hold(&path, Exclusive) {
            Ok(Some(holder)) => holder,
            Ok(None) => return Err(driver.broken(Law::Release, "nobody holds the lock")),
            Err(undone) => return Err(undone),
        };
        driver.note(format!("{} takes the lock", tool.name()));
        driver.wait(0, 0, Exclusive)?;
        let still_runs = release(holder);
        driver.note(format!("it {end}"));
        driver.must_be_granted(0, 0, "the program that held it released it")?;
        still_runs.map(Holder::finish);
        driver.unlock(0, 0)?;
        tried += 1;
    }
    Ok(tried)
}

#[derive(Clone, Copy, Debug)]
enum Tool {
    Fcntl,
    Flock,
}

/// A program that holds a lock. It unlocks at the first line it reads, and ends with its input.
struct Holder(Worker);

/// How long a program may take to reply or to end.
const DEADLINE: Duration = Duration::from_secs(30);

/// Takes a lock and replies "held", or replies "busy" and ends.
///
/// If its last argument is "hold", it keeps the lock until it reads a line, replies "unlocked" and
/// ends with its standard input.
const SCRIPT: &str = "
import fcntl, sys
how, path, mode, what = sys.argv[1:5]
lock = {'Fcntl': fcntl.lockf, 'Flock': fcntl.flock}[how]
flag = {'exclusive': fcntl.LOCK_EX, 'shared': fcntl.LOCK_SH}[mode]
file = open(path, 'r+b')

def reply(word):
    print('@touchfile', word, flush=True)

try:
    lock(file, flag | fcntl.LOCK_NB)
except OSError:
    reply('busy')
    sys.exit()
reply('held')
if what == 'hold' and sys.stdin.readline():
    lock(file, fcntl.LOCK_UN)
    reply('unlocked')
    sys.stdin.read()
";

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Fcntl => "a program that uses fcntl(2)",
            Self::Flock => "a program that uses flock(2)",
        }
    }

    /// A program that holds the lock, or nothing if the lock is busy.
    fn hold(self, path: &Path, mode: LockMode) -> Result<Option<Holder>, Undone> {
        let mut program = self.start(path, mode, "hold")?;
        let held = receive(&mut program)? == "held";
        Ok(held.then_some(Holder(program)))
    }

    /// Whether the lock was taken. It is free again when this returns.
    fn attempt(self, path: &Path, mode: LockMode) -> Result<bool, Undone> {
        if matches!(self, Self::Flock) {
            let flock = Command::new("flock")
                .args([&format!("--{mode}"), "-n"])
                .arg(path)
                .arg("true")
                .status();
            // Without flock(1), the script makes the attempt.
            if let Some(code) = flock.ok().and_then(|status| status.code()) {
                return Ok(code == 0);
            }
        }
        let mut program = self.start(path, mode, "try")?;
        let held = receive(&mut program)? == "held";
        Holder(program).finish();
        Ok(held)
    }

    fn start(self, path: &Path, mode: LockMode, what: &str) -> Result<Worker, Undone> {
        let mut python = Command::new("python3");
        python
            .args(["-c", SCRIPT, &format!("{self:?}")])
            .arg(path)
            .args([&mode.to_string(), what]);
        Worker::spawn(&mut python)
            .map_err(|error| Undone::Skipped(format!("there is no python3: {error}")))
    }
}

impl Holder {
    fn finish(self) -> Option<Self> {
        // A program that does not end in time is killed, which releases its lock as well.
        self.0.finish(DEADLINE).ok();
        None
    }

    fn kill(mut self) -> Option<Self> {
        // It may have ended already.
        self.0.kill().ok();
        None
    }

    fn unlock(mut self) -> Option<Self> {
        // A program that has ended does not reply; its lock is released all the same.
        self.0.ask("unlock", DEADLINE).ok();
        Some(self)
    }
}

fn receive(program: &mut Worker) -> Result<String, Undone> {
    program.receive(DEADLINE).map_err(|lost| match lost {
        Lost::Ended => Undone::Skipped("python3 does not work here".into()),
        Lost::Silent(_) => Undone::Failed(format!("python3: {lost}")),
    })
}
