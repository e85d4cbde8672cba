//! Who holds a lock, as far as anybody can tell.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::LockMode;
use crate::names::{self, UnknownName};

/// How much of a command fits into a message.
const SHORT: usize = 60;

/// Somebody who holds a lock or waits for it.
///
/// `touchfile_file::holders` finds the holders of a file, and a backend those of its lock
/// ([`LockBackend::holders`](crate::LockBackend::holders)). What is told was so at that moment: locks
/// come and go. A holder displays as it stands in a message: `pid 4242 (cargo build)`.
///
/// # Examples
///
/// ```
/// use touchfile_core::{Holder, LockMode, ProcessId};
///
/// let mut holder = Holder::new(LockMode::Exclusive);
/// holder.process = ProcessId::Known(4242);
/// holder.command = Some("/usr/bin/cargo build".into());
/// assert_eq!(holder.to_string(), "pid 4242 (cargo build)");
///
/// let mut holder = Holder::new(LockMode::Exclusive);
/// holder.process = ProcessId::OtherNamespace;
/// assert_eq!(holder.to_string(), "a process in another pid namespace");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Holder {
    /// The process, or why it is not named.
    pub process: ProcessId,
    /// The host on which the process runs, if the backend's locks go beyond one and it is another or not
    /// known to be ours. `None` means this host.
    pub host: Option<String>,
    /// The effective user of the process.
    pub uid: Option<u32>,
    /// The command that the process runs, with its arguments, or the name of a thread of the kernel.
    /// Anybody may have put anything there; [`short_command`](Self::short_command) is fit to be shown.
    pub command: Option<String>,
    /// When the process began: it has not held the lock for longer, unless it inherited it.
    pub started: Option<SystemTime>,
    /// The kind of lock, if there are several kinds.
    pub kind: Option<LockKind>,
    /// The mode in which it holds the lock, or wants to.
    pub mode: LockMode,
    /// The bytes that are locked, the last one included; `None` if that is the whole file.
    pub range: Option<RangeInclusive<u64>>,
    /// Whether it is blocked until it gets the lock, and does not hold it.
    pub waiting: bool,
    /// False if all that is known is that this process *took* the lock: we may not look at its
    /// descriptors, and it could have passed the lock on to another process since.
    pub confirmed: bool,
    /// For how long it has been seen to hold the lock, by looking at both ends of that time.
    /// Nobody but the holder knows since when it does: the kernel keeps no record of it.
    pub seen_for: Option<Duration>,
    /// Since when it waits, if that is known: of touchfile's own waiters it is, on Linux.
    #[cfg_attr(feature = "serde", serde(default))]
    pub waiting_since: Option<SystemTime>,
}

impl Holder {
    /// Somebody of whom nothing is known but that they hold the lock in `mode`.
    #[must_use]
    pub fn new(mode: LockMode) -> Self {
        Self {
            process: ProcessId::Unknown,
            host: None,
            uid: None,
            command: None,
            started: None,
            kind: None,
            mode,
            range: None,
            waiting: false,
            confirmed: true,
            seen_for: None,
            waiting_since: None,
        }
    }

    /// The number of the process in our own pid namespace, if it is known. A process on
    /// [another host](Self::host) has none.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.process {
            ProcessId::Known(pid) if self.host.is_none() => Some(pid),
            _ => None,
        }
    }

    /// Whether this holder keeps somebody else from taking the lock in `mode`.
    #[must_use]
    pub fn is_in_the_way_of(&self, mode: LockMode) -> bool {
        !self.waiting && self.mode.conflicts_with(mode)
    }

    /// Whether it waits for the lock and did so before `moment`.
    ///
    /// Of a waiter that the kernel has blocked it is not known since when; the kernel serves it before those
    /// who come to try. Where it is one of this process, it is taken for the one that asks.
    pub(crate) fn waits_since_before(&self, moment: SystemTime) -> bool {
        /// How exact [`waiting_since`](Self::waiting_since) is, and more: the waiter that asks is no later than
        /// that.
        const EXACT: Duration = Duration::from_millis(20);

        let other = |pid| pid != std::process::id();
        self.waiting
            && match self.waiting_since {
                Some(since) => since.checked_add(EXACT).is_some_and(|since| since < moment),
                None => self.pid().is_some_and(other),
            }
    }

    /// Whether both are the same lock of the same process, or the same wait for it. Who has waited and holds it
    /// now is another holder.
    ///
    /// Two holders that are not named are not known to be the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |holder: &Self| {
            let range = holder.range.clone();
            (
                holder.process,
                holder.host.clone(),
                holder.started,
                holder.kind,
                holder.mode,
                range,
                holder.waiting,
            )
        };
        let is_known = matches!(self.process, ProcessId::Known(_));
        let named = is_known || self.command.is_some();
        named && key(self) == key(other) && (is_known || self.command == other.command)
    }

    /// Names those who hold a lock, for the end of a message, and those who [wait](Self::waiting) for it before
    /// whoever the message is about: `held by pid 1 (a), pid 2 (b); pid 3 (c) waits before this one`.
    ///
    /// `None` if there is nobody. Of many, the first three are named.
    ///
    /// # Examples
    ///
    /// ```
    /// use touchfile_core::{Holder, LockMode, ProcessId};
    ///
    /// let mut holder = Holder::new(LockMode::Exclusive);
    /// holder.process = ProcessId::Known(4242);
    /// holder.command = Some("cargo build".into());
    /// let words = Holder::in_words(&[holder]);
    /// assert_eq!(words.as_deref(), Some("held by pid 4242 (cargo build)"));
    /// ```
    #[must_use]
    pub fn in_words(holders: &[Self]) -> Option<String> {
        let (waiters, holders): (Vec<&Self>, Vec<&Self>) =
            holders.iter().partition(|holder| holder.waiting);
        let held = holders.first().map(|first| {
            let verb = if first.confirmed { "held" } else { "taken" };
            format!("{verb} by {}", named(&holders, Self::in_a_few_words))
        });
        // The names of several would hide that of the holder.
        let number = |waiter: &Self| match waiter.pid() {
            Some(pid) => format!("pid {pid}"),
            None => waiter.to_string(),
        };
        let awaited = match &waiters[..] {
            [] => None,
            [one] => Some(format!("{one} waits before this one")),
            several => Some(format!(
                "{} wait before this one: {}",
                several.len(),
                named(several, number)
            )),
        };
        let words: Vec<String> = held.into_iter().chain(awaited).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    fn in_a_few_words(&self) -> String {
        // A process that waits for itself waits for ever: the message says so.
        let this = if self.pid() == Some(std::process::id()) {
            "this process, "
        } else {
            ""
        };
        match self.seen_for {
            Some(seen) => format!("{this}{self} for {seen:.1?}"),
            None => format!("{this}{self}"),
        }
    }

    /// The command fit for a line of text: without the directories of the program, without control
    /// characters, and not longer than sixty characters.
    #[must_use]
    pub fn short_command(&self) -> Option<String> {
        let command = self.command.as_deref()?;
        let (program, arguments) = match command.split_once(' ') {
            Some((program, arguments)) => (program, Some(arguments)),
            None => (command, None),
        };
        // A name that only looks like a path, such as the kernel's `kworker/0:1`, stays whole.
        let program = match program.rsplit_once('/') {
            Some((_, name)) if program.starts_with(['/', '.']) && !name.is_empty() => name,
            _ => program,
        };
        let words = program
            .chars()
            .chain(arguments.map(|_| ' '))
            .chain(arguments.unwrap_or_default().chars());
        let mut short = String::new();
        for (length, c) in words.enumerate() {
            if length == SHORT {
                short.push('…');
                break;
            }
            if c.is_control() {
                short.extend(c.escape_default());
            } else {
                short.push(c);
            }
        }
        Some(short)
    }
}

/// The first three, and how many there are besides.
fn named(all: &[&Holder], words: impl Fn(&Holder) -> String) -> String {
    const NAMED: usize = 3;
    let named = all.iter().take(NAMED).map(|holder| words(holder));
    let named = named.collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            return self.fmt_remote(host, f);
        }
        match (self.process, self.short_command()) {
            (ProcessId::Known(pid), Some(command)) => write!(f, "pid {pid} ({command})"),
            (ProcessId::Known(pid), None) => write!(f, "pid {pid}"),
            (_, Some(command)) => write!(f, "process {command}"),
            (ProcessId::Hidden, None) => {
                f.write_str("an unknown process (no permission to see which)")
            }
            (ProcessId::OtherNamespace, None) => f.write_str("a process in another pid namespace"),
            (ProcessId::Unknown, None) => f.write_str("an unknown process"),
        }
    }
}

impl Holder {
    /// The host comes first, so that its numbers are not taken for ours.
    fn fmt_remote(&self, host: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in host.chars().take(SHORT) {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        match (self.process, self.short_command()) {
            (ProcessId::Known(pid), Some(command)) => write!(f, ": pid {pid} ({command})"),
            (ProcessId::Known(pid), None) => write!(f, ": pid {pid}"),
            (_, Some(command)) => write!(f, ": process {command}"),
            (_, None) => f.write_str(": an unknown process"),
        }
    }
}

/// Which process a [`Holder`] is, or why that is not known.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ProcessId {
    /// The process with this number in our own pid namespace, or on the [host](Holder::host) of the holder.
    Known(u32),
    /// A process whose descriptors this one may not look at.
    Hidden,
    /// A process in a pid namespace that cannot be seen from ours: outside of our container, say.
    OtherNamespace,
    /// Nothing tells which. Either the backend does not, or the kernel does not and no process was
    /// found to have the lock: a descriptor in flight between two processes, or a blocked wait for an
    /// open-file-description lock.
    Unknown,
}

/// The kinds of locks on files that Linux tells apart. Displays as in /proc/locks, and is parsed from
/// that.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub enum LockKind {
    /// flock(2): of an open file description, and of the whole file.
    #[cfg_attr(feature = "serde", serde(rename = "FLOCK"))]
    Flock,
    /// fcntl(2) with `F_OFD_SETLK`: of an open file description.
    #[cfg_attr(feature = "serde", serde(rename = "OFDLCK"))]
    Ofd,
    /// fcntl(2) with `F_SETLK`, lockf(3): of a process.
    #[cfg_attr(feature = "serde", serde(rename = "POSIX"))]
    Posix,
}

impl fmt::Display for LockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Flock => "FLOCK",
            Self::Ofd => "OFDLCK",
            Self::Posix => "POSIX",
        })
    }
}

impl FromStr for LockKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        names::parse("kind of lock", &[Self::Flock, Self::Ofd, Self::Posix], text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, command: &str) -> Holder {
        let mut holder = Holder::new(LockMode::Exclusive);
        holder.process = ProcessId::Known(pid);
        holder.command = Some(command.into());
        holder
    }

    #[test]
    fn a_command_is_shown_without_directories_control_characters_and_length() {
        for (command, shown) in [
            ("/usr/bin/cargo build", "pid 7 (cargo build)"),
            ("cat /etc/passwd", "pid 7 (cat /etc/passwd)"),
            ("kworker/0:1", "pid 7 (kworker/0:1)"),
            ("./ a", "pid 7 (./ a)"),
            ("a \x1b[31m\n", "pid 7 (a \\u{1b}[31m\\n)"),
            ("", "pid 7 ()"),
        ] {
            assert_eq!(holder(7, command).to_string(), shown);
        }
        let long = holder(7, &"ä".repeat(500)).short_command().unwrap();
        assert_eq!(long.chars().count(), SHORT + 1);
    }

    #[test]
    fn a_message_names_a_few_and_counts_the_rest() {
        let mut known = holder(1, "a");
        known.seen_for = Some(Duration::from_millis(11_960));
        assert_eq!(Holder::in_words(&[]), None);
        assert_eq!(
            Holder::in_words(&[known.clone()]).unwrap(),
            "held by pid 1 (a) for 12.0s"
        );
        let five: Vec<_> = (1..6).map(|pid| holder(pid, "a")).collect();
        assert_eq!(
            Holder::in_words(&five).unwrap(),
            "held by pid 1 (a), pid 2 (a), pid 3 (a) and 2 more"
        );
        let waiters = |number| {
            let waiters = (6..).take(number).map(|pid| Holder {
                waiting: true,
                ..holder(pid, "b")
            });
            [known.clone()]
                .into_iter()
                .chain(waiters)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            Holder::in_words(&waiters(1)).unwrap(),
            "held by pid 1 (a) for 12.0s; pid 6 (b) waits before this one"
        );
        assert_eq!(
            Holder::in_words(&waiters(4)).unwrap(),
            "held by pid 1 (a) for 12.0s; 4 wait before this one: pid 6, pid 7, pid 8 and 1 more"
        );
        assert_eq!(
            Holder::in_words(&waiters(2)[1..]).unwrap(),
            "2 wait before this one: pid 6, pid 7"
        );
        known.confirmed = false;
        assert!(
            Holder::in_words(&[known])
                .unwrap()
                .starts_with("taken by pid 1")
        );
    }

    #[test]
    fn a_process_on_another_host_is_none_of_ours() {
        let mut remote = holder(std::process::id(), "cargo build");
        let ours = remote.clone();
        remote.host = Some("db\n1".into());
        assert_eq!(remote.pid(), None);
        assert!(!remote.is_same(&ours) && remote.is_same(&remote.clone()));
        let words = format!("held by db\\n1: pid {} (cargo build)", std::process::id());
        assert_eq!(Holder::in_words(&[remote.clone()]), Some(words));
        remote.process = ProcessId::Unknown;
        assert_eq!(remote.to_string(), "db\\n1: process cargo build");
        remote.command = None;
        assert_eq!(remote.to_string(), "db\\n1: an unknown process");
    }

    #[test]
    fn another_process_with_the_same_number_is_another_holder_and_so_is_one_that_has_waited() {
        let one = holder(1, "a");
        let mut other = one.clone();
        assert!(one.is_same(&other));
        other.started = Some(SystemTime::UNIX_EPOCH);
        assert!(!one.is_same(&other));
        let mut waiter = one.clone();
        waiter.waiting = true;
        assert!(!one.is_same(&waiter) && waiter.is_same(&waiter.clone()));
        let unknown = Holder::new(LockMode::Exclusive);
        assert!(!unknown.is_same(&unknown.clone()));
    }

    #[test]
    fn who_began_to_wait_later_or_is_the_one_that_asks_does_not_wait_before_it() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let waits = |pid, millis: Option<u64>| {
            let mut waiter = holder(pid, "a");
            waiter.waiting = true;
            waiter.waiting_since =
                millis.map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
            waiter.waits_since_before(moment)
        };
        let this = std::process::id();
        let other = this + 1;
        for pid in [this, other] {
            assert!(waits(pid, Some(99_900)));
            assert!(!waits(pid, Some(99_998)), "no clock is that exact");
            assert!(!waits(pid, Some(100_100)));
        }
        assert!(waits(other, None), "the kernel has blocked it");
        assert!(!waits(this, None));
        assert!(!holder(other, "a").waits_since_before(moment), "it holds");
    }

    #[test]
    fn a_waiter_and_a_fellow_reader_are_in_nobodys_way() {
        let mut waiter = holder(1, "a");
        assert!(waiter.is_in_the_way_of(LockMode::Shared));
        waiter.waiting = true;
        assert!(!waiter.is_in_the_way_of(LockMode::Shared));
        let reader = Holder::new(LockMode::Shared);
        assert!(!reader.is_in_the_way_of(LockMode::Shared));
        assert!(reader.is_in_the_way_of(LockMode::Exclusive));
    }
}
