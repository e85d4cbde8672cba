//! The commands of a worker and its answers: one line of words each.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use touchfile_core::{LockMode, OpenOptions};

use crate::text::{escape, escape_path, unescape_path, unescape_text};

/// Where a worker keeps a handle.
pub(crate) type Slot = u32;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Counts what this process has: descriptors, threads and locks.
    Belongings,
    /// Drops the future of a wait and keeps the handle.
    Cancel(Slot),
    Downgrade(Slot),
    Drop(Slot),
    /// Ends the children that live on.
    EndChildren,
    /// Forks a child that lives on with a copy of everything.
    Fork,
    /// Forks a child that converts its copy of the lock to this mode, or tries to, and ends.
    ForkAndConvert(Slot, LockMode),
    /// Forks a child that drops its copy of the handle and ends.
    ForkAndDrop(Slot),
    IsCurrent(Slot, PathBuf),
    Open(Slot, PathBuf, OpenOptions),
    /// Plays a script on a path: see `scripts`.
    Run(String, PathBuf, Vec<String>),
    /// Polls a wait for at most so long.
    Poll(Slot, Duration),
    /// Drops all handles, waits and children.
    Reset,
    /// Starts another program that lives on.
    Spawn,
    /// Begins to wait, and polls the wait once.
    Start(Slot, LockMode),
    TryLock(Slot, LockMode),
    TryUpgrade(Slot),
    Unlock(Slot),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Acquired,
    Done,
    Failed {
        kind: String,
        message: String,
    },
    No,
    Panicked(String),
    Pending,
    Pid(u32),
    Text(String),
    /// It cannot be done in this process.
    Unable(String),
    WouldBlock,
    Yes,
}

impl Answer {
    pub(crate) fn failed(error: &io::Error) -> Self {
        Self::Failed {
            kind: format!("{:?}", error.kind()),
            message: error.to_string(),
        }
    }

    /// Whether it is a failure of this kind.
    pub(crate) fn is_kind(&self, wanted: io::ErrorKind) -> bool {
        matches!(self, Self::Failed { kind, .. } if *kind == format!("{wanted:?}"))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Belongings => write!(f, "belongings"),
            Self::Cancel(slot) => write!(f, "cancel {slot}"),
            Self::Downgrade(slot) => write!(f, "downgrade {slot}"),
            Self::Drop(slot) => write!(f, "drop {slot}"),
            Self::EndChildren => write!(f, "end-children"),
            Self::Fork => write!(f, "fork"),
            Self::ForkAndConvert(slot, mode) => write!(f, "fork-and-convert {slot} {mode}"),
            Self::ForkAndDrop(slot) => write!(f, "fork-and-drop {slot}"),
            Self::IsCurrent(slot, path) => write!(f, "is-current {slot} {}", escape_path(path)),
            Self::Open(slot, path, options) => {
                let mode = options
                    .create_mode
                    .map_or_else(|| "-".into(), |m| m.to_string());
                write!(
                    f,
                    "open {slot} {} {} {mode} {} {}",
                    escape_path(path),
                    options.create,
                    options.follow_symlinks,
                    options.remove_on_release
                )
            }
            Self::Run(script, path, words) => {
                write!(f, "play {script} {}", escape_path(path))?;
                words
                    .iter()
                    .try_for_each(|word| write!(f, " {}", escape(word.as_bytes())))
            }
            Self::Poll(slot, time) => write!(f, "poll {slot} {}", time.as_micros()),
            Self::Reset => write!(f, "reset"),
            Self::Spawn => write!(f, "spawn"),
            Self::Start(slot, mode) => write!(f, "start {slot} {mode}"),
            Self::TryLock(slot, mode) => write!(f, "try {slot} {mode}"),
            Self::TryUpgrade(slot) => write!(f, "upgrade {slot}"),
            Self::Unlock(slot) => write!(f, "unlock {slot}"),
        }
    }
}

impl Command {
    /// With another path, if there is one in it.
    pub(super) fn with_path(mut self, replaced: impl FnOnce(&Path) -> PathBuf) -> Self {
        match &mut self {
            Self::IsCurrent(_, path) | Self::Open(_, path, _) | Self::Run(_, path, _) => {
                *path = replaced(path);
            }
            _ => {}
        }
        self
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split(' ');
        parse_command(&mut words).ok_or_else(|| format!("no command: {line:?}"))
    }
}

fn parse_command<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Command> {
    let verb = words.next()?;
    match verb {
        "belongings" => return Some(Command::Belongings),
        "end-children" => return Some(Command::EndChildren),
        "fork" => return Some(Command::Fork),
        "reset" => return Some(Command::Reset),
        "spawn" => return Some(Command::Spawn),
        "play" => {
            let script = words.next()?.to_owned();
            let path = unescape_path(words.next()?)?;
            let words: Option<_> = words.map(unescape_text).collect();
            return Some(Command::Run(script, path, words?));
        }
        _ => {}
    }
    let slot = words.next()?.parse().ok()?;
    Some(match verb {
        "cancel" => Command::Cancel(slot),
        "downgrade" => Command::Downgrade(slot),
        "drop" => Command::Drop(slot),
        "fork-and-convert" => Command::ForkAndConvert(slot, parse_mode(words.next()?)?),
        "fork-and-drop" => Command::ForkAndDrop(slot),
        "is-current" => Command::IsCurrent(slot, unescape_path(words.next()?)?),
        "open" => {
            let path = unescape_path(words.next()?)?;
            let mut options = OpenOptions::new();
            options.create = words.next()?.parse().ok()?;
            options.create_mode = match words.next()? {
                "-" => None,
                mode => Some(mode.parse().ok()?),
            };
            options.follow_symlinks = words.next()?.parse().ok()?;
            options.remove_on_release = words.next()?.parse().ok()?;
            Command::Open(slot, path, options)
        }
        "poll" => Command::Poll(slot, Duration::from_micros(words.next()?.parse().ok()?)),
        "start" => Command::Start(slot, parse_mode(words.next()?)?),
        "try" => Command::TryLock(slot, parse_mode(words.next()?)?),
        "unlock" => Command::Unlock(slot),
        "upgrade" => Command::TryUpgrade(slot),
        _ => return None,
    })
}

pub(crate) fn parse_mode(word: &str) -> Option<LockMode> {
    match word {
        "exclusive" => Some(LockMode::Exclusive),
        "shared" => Some(LockMode::Shared),
        _ => None,
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquired => write!(f, "acquired"),
            Self::Done => write!(f, "done"),
            Self::Failed { kind, message } => {
                write!(f, "failed {kind} {}", escape(message.as_bytes()))
            }
            Self::No => write!(f, "no"),
            Self::Panicked(message) => write!(f, "panicked {}", escape(message.as_bytes())),
            Self::Pending => write!(f, "pending"),
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::Text(text) => write!(f, "text {}", escape(text.as_bytes())),
            Self::Unable(why) => write!(f, "unable {}", escape(why.as_bytes())),
            Self::WouldBlock => write!(f, "would-block"),
            Self::Yes => write!(f, "yes"),
        }
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split(' ');
        parse_answer(&mut words).ok_or_else(|| format!("no answer: {line:?}"))
    }
}

fn parse_answer<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Answer> {
    Some(match words.next()? {
        "acquired" => Answer::Acquired,
        "done" => Answer::Done,
        "failed" => Answer::Failed {
            kind: words.next()?.to_owned(),
            message: unescape_text(words.next()?)?,
        },
        "no" => Answer::No,
        "panicked" => Answer::Panicked(unescape_text(words.next()?)?),
        "pending" => Answer::Pending,
        "pid" => Answer::Pid(words.next()?.parse().ok()?),
        "text" => Answer::Text(unescape_text(words.next()?)?),
        "unable" => Answer::Unable(unescape_text(words.next()?)?),
        "would-block" => Answer::WouldBlock,
        "yes" => Answer::Yes,
        _ => return None,
    })
}

/// What it says to a reader of a trace.
pub(crate) struct InWords<'a>(pub(crate) &'a Answer);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Answer::Acquired => f.write_str("acquired"),
            Answer::Done => f.write_str("done"),
            Answer::Failed { kind, message } => write!(f, "error {kind}: {message}"),
            Answer::No => f.write_str("no"),
            Answer::Panicked(message) => write!(f, "panic: {message}"),
            Answer::Pending => f.write_str("still waiting"),
            Answer::Pid(pid) => write!(f, "process {pid}"),
            Answer::Text(text) | Answer::Unable(text) => f.write_str(text),
            Answer::WouldBlock => f.write_str("busy"),
            Answer::Yes => f.write_str("yes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_answers_survive_the_line() {
        let mut options = OpenOptions::new();
        options.create_mode = Some(0o600);
        options.remove_on_release = true;
        for command in [
            Command::Belongings,
            Command::Open(3, "/tmp/a b".into(), options),
            Command::Run("x".into(), "/ü".into(), vec!["".into(), "1 2".into()]),
            Command::Poll(1, Duration::from_millis(2)),
            Command::TryLock(0, LockMode::Shared),
            Command::Downgrade(1),
            Command::TryUpgrade(2),
            Command::ForkAndConvert(3, LockMode::Shared),
            Command::IsCurrent(7, "/%".into()),
        ] {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
        for answer in [
            Answer::Acquired,
            Answer::failed(&io::Error::other("two\nlines")),
            Answer::Panicked(String::new()),
            Answer::Pid(7),
        ] {
            assert_eq!(answer.to_string().parse(), Ok(answer));
        }
        assert!("fly 1".parse::<Command>().is_err());
        assert!("maybe".parse::<Answer>().is_err());
    }
}
