//! The plan of one free run, which its workers follow.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::system;

/// What every process of one free run does; with its number, each derives its own dice from it.
///
/// Displayed and parsed as one line without line breaks, to be sent to a worker.
///
/// The files differ in character. On even ones everything happens; on odd ones nobody gives up
/// waiting. A wait that was given up may have held the lock for a moment, which nobody can know,
/// and so excuses every "busy" beside it: only where there is none of those are the answers of
/// attempts judged to the last one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    /// Where all dice come from.
    pub(crate) seed: u64,
    /// How long the processes hammer. They end a little later: the last waiters get their turn.
    pub(crate) duration: Duration,
    /// How many lock files.
    pub(crate) files: u32,
    /// How many tasks of each process use a handle at once.
    pub(crate) tasks: u32,
    /// How many of 100 acquisitions are single attempts.
    pub(crate) tries: u32,
    /// How many of 100 acquisitions wait with a timeout, on even files.
    pub(crate) timeouts: u32,
    /// How many of 100 acquisitions are waits dropped after a few polls, on even files.
    pub(crate) cancels: u32,
    /// How many of 100 acquisitions are shared; 0 for a backend without shared locks.
    pub(crate) shared: u32,
    /// How many of 100 releases drop the handle, not unlock it.
    pub(crate) drops: u32,
    /// The longest time for which a lock is held on purpose.
    pub(crate) longest_hold: Duration,
    /// The longest timeout.
    pub(crate) longest_timeout: Duration,
    /// Whether holders use the [witness](super::Witness). Needs a real directory, and killed
    /// processes that are really dead: not for simulated kills.
    pub(crate) witness: bool,
    /// Where the lock files and the witnesses are.
    pub(crate) dir: PathBuf,
}

impl Plan {
    /// The usual mix, for one second on two files with three tasks for each process.
    pub(crate) fn new(dir: impl Into<PathBuf>, seed: u64) -> Self {
        Self {
            seed,
            duration: Duration::from_secs(1),
            files: 2,
            tasks: 3,
            tries: 50,
            timeouts: 15,
            cancels: 15,
            shared: 40,
            drops: 30,
            longest_hold: Duration::from_millis(2),
            longest_timeout: Duration::from_millis(20),
            witness: true,
            dir: dir.into(),
        }
    }

    /// The path of the lock file with this number.
    pub(crate) fn lock_path(&self, file: u32) -> PathBuf {
        self.dir.join(format!("free-{file}.lock"))
    }

    /// Whether waits on this file may be given up.
    pub(super) fn gives_up_on(&self, file: u32) -> bool {
        file % 2 == 0
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed={} duration_us={} files={} tasks={} tries={} timeouts={} cancels={} shared={} \
             drops={} longest_hold_us={} longest_timeout_us={} witness={} dir={}",
            self.seed,
            self.duration.as_micros(),
            self.files,
            self.tasks,
            self.tries,
            self.timeouts,
            self.cancels,
            self.shared,
            self.drops,
            self.longest_hold.as_micros(),
            self.longest_timeout.as_micros(),
            u32::from(self.witness),
            escape(&self.dir),
        )
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut plan = Self::new("", 0);
        for word in line.split_ascii_whitespace() {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("no value in {word:?}"))?;
            if key == "dir" {
                plan.dir = unescape(value)?;
                continue;
            }
            let number: u64 = value
                .parse()
                .map_err(|error| format!("{word:?}: {error}"))?;
            let small = u32::try_from(number).map_err(|error| format!("{word:?}: {error}"));
            match key {
                "seed" => plan.seed = number,
                "duration_us" => plan.duration = Duration::from_micros(number),
                "files" => plan.files = small?,
                "tasks" => plan.tasks = small?,
                "tries" => plan.tries = small?,
                "timeouts" => plan.timeouts = small?,
                "cancels" => plan.cancels = small?,
                "shared" => plan.shared = small?,
                "drops" => plan.drops = small?,
                "longest_hold_us" => plan.longest_hold = Duration::from_micros(number),
                "longest_timeout_us" => plan.longest_timeout = Duration::from_micros(number),
                "witness" => plan.witness = number != 0,
                _ => return Err(format!("no plan has {key:?}")),
            }
        }
        Ok(plan)
    }
}

/// A path as one word of ASCII, so that it survives any line protocol.
fn escape(path: &Path) -> String {
    let mut word = String::new();
    for &byte in system::path_to_bytes(path) {
        if byte.is_ascii_graphic() && byte != b'%' {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02x}"));
        }
    }
    word
}

fn unescape(word: &str) -> Result<PathBuf, String> {
    let mut parts = word.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part
            .split_at_checked(2)
            .ok_or_else(|| format!("a cut escape in {word:?}"))?;
        let byte = u8::from_str_radix(code, 16).map_err(|error| format!("{word:?}: {error}"))?;
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    system::path_from_bytes(bytes).ok_or_else(|| format!("no path: {word:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_being_sent_as_one_line() {
        let mut plan = Plan::new("/tmp/100% of\nit ü", 7);
        plan.files = 5;
        plan.witness = false;
        plan.longest_hold = Duration::from_micros(1_234);
        let line = plan.to_string();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(line.parse(), Ok(plan));
    }

    #[test]
    fn nonsense_is_no_plan() {
        for line in [
            "seed",
            "seed=x",
            "sed=1",
            "files=5000000000",
            "dir=%",
            "dir=%zz",
        ] {
            assert!(line.parse::<Plan>().is_err(), "{line}");
        }
    }
}
