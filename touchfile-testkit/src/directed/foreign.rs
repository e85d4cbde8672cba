//! Programs that know nothing of touchfile, on the same file.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use touchfile_core::LockMode::{self, Exclusive, Shared};

use super::driver::Driver;
use crate::Law;
use crate::case::{Case, Undone};

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

/// Both ways, in each mode.
fn excluded(driver: &mut Driver<'_>, tool: Tool) -> Result<u64, Undone> {
    let path = driver.path();
    driver.hold(0, 0)?;
    driver.open(0, 1)?;
    driver.must_be_busy(0, 1, Exclusive, "another handle holds it")?;
    driver.unlock(0, 0)?;
    let modes = if driver.bench.claims.shared {
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

/// Lets go in some way. The program may still run then.
type End = fn(Holder) -> Option<Holder>;

/// However the program lets go.
fn handed_over(driver: &mut Driver<'_>, tool: Tool) -> Result<u64, Undone> {
    let path = driver.path();
    driver.open(0, 0)?;
    let ends: [(&str, End); 3] = [
        ("ends", Holder::finish),
        ("is killed", Holder::kill),
        ("unlocks and keeps the file open", Holder::unlock),
    ];
    let mut tried = 0;
    for (end, let_go) in ends {
        let holder = match tool.hold(&path, Exclusive) {
            Ok(Some(holder)) => holder,
            Ok(None) => return Err(driver.broken(Law::Release, "nobody holds the lock")),
            Err(undone) => return Err(undone),
        };
        driver.note(format!("{} takes the lock", tool.name()));
        driver.wait(0, 0, Exclusive)?;
        let still_runs = let_go(holder);
        driver.note(format!("it {end}"));
        driver.must_be_granted(0, 0, "the program that held it let go")?;
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
struct Holder(Child);

/// Takes a lock, says "held", unlocks when it reads a line, and ends with its standard input. Says
/// "busy" and ends if it cannot have the lock, and ends in any case if its last argument is "try".
const SCRIPT: &str = "
import fcntl, sys
how, path, mode, what = sys.argv[1:5]
lock = {'Fcntl': fcntl.lockf, 'Flock': fcntl.flock}[how]
flag = {'exclusive': fcntl.LOCK_EX, 'shared': fcntl.LOCK_SH}[mode]
file = open(path, 'r+b')
try:
    lock(file, flag | fcntl.LOCK_NB)
except OSError:
    print('busy', flush=True)
    sys.exit()
print('held', flush=True)
if what == 'hold' and sys.stdin.readline():
    lock(file, fcntl.LOCK_UN)
    print('unlocked', flush=True)
    sys.stdin.read()
";

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Fcntl => "a program that uses fcntl(2)",
            Self::Flock => "a program that uses flock(2)",
        }
    }

    /// A program that holds the lock, unless somebody else does.
    fn hold(self, path: &Path, mode: LockMode) -> Result<Option<Holder>, Undone> {
        let mut child = self.start(path, mode, "hold")?;
        match read_line(&mut child)?.as_str() {
            "held" => Ok(Some(Holder(child))),
            _ => {
                child.wait()?;
                Ok(None)
            }
        }
    }

    /// Whether the lock was taken. It is free again when this returns.
    fn attempt(self, path: &Path, mode: LockMode) -> Result<bool, Undone> {
        if matches!(self, Self::Flock) {
            let flag = if mode == Exclusive { "-x" } else { "-s" };
            let flock = Command::new("flock")
                .args([flag, "-n"])
                .arg(path)
                .arg("true")
                .status();
            // Without flock(1), the script does.
            if let Some(code) = flock.ok().and_then(|status| status.code()) {
                return Ok(code == 0);
            }
        }
        let mut child = self.start(path, mode, "try")?;
        let said = read_line(&mut child)?;
        child.wait()?;
        Ok(said == "held")
    }

    fn start(self, path: &Path, mode: LockMode, what: &str) -> Result<Child, Undone> {
        Command::new("python3")
            .args(["-c", SCRIPT, &format!("{self:?}")])
            .arg(path)
            .args([&mode.to_string(), what])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Undone::Skipped(format!("there is no python3: {error}")))
    }
}

impl Holder {
    fn finish(mut self) -> Option<Self> {
        drop(self.0.stdin.take());
        self.0.wait().ok();
        None
    }

    fn kill(mut self) -> Option<Self> {
        self.0.kill().ok();
        self.0.wait().ok();
        None
    }

    fn unlock(mut self) -> Option<Self> {
        if let Some(input) = &mut self.0.stdin {
            writeln!(input).ok();
        }
        read_line(&mut self.0).ok();
        Some(self)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A line, read byte by byte so that none of the next is lost.
fn read_line(child: &mut Child) -> Result<String, Undone> {
    let Some(out) = &mut child.stdout else {
        return Err(Undone::Failed("a pipe was asked for".into()));
    };
    let mut line = String::new();
    BufReader::with_capacity(1, out.by_ref()).read_line(&mut line)?;
    if line.is_empty() {
        return Err(Undone::Skipped("python3 does not work here".into()));
    }
    Ok(line.trim_end().to_owned())
}
