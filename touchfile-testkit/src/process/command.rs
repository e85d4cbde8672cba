//! The commands of a worker and its answers, each of which is sent as one line of JSON.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use touchfile_core::{LockMode, OpenOptions};

use super::ScriptOutcome;

/// The number under which a worker keeps a handle.
pub(crate) type Slot = u32;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Command {
    /// Waits for the loss of the lock, for at most this time.
    AwaitLoss(Slot, Duration),
    /// Counts the descriptors, threads and locks of this process.
    Belongings,
    /// Drops the future of a wait and keeps the handle.
    Cancel(Slot),
    Downgrade(Slot),
    Drop(Slot),
    /// Kills the children that live on.
    EndChildren,
    /// Forks a child that lives on with a copy of everything.
    Fork,
    /// Forks a child that converts its copy of the lock to this mode, or tries to, and ends.
    ForkAndConvert(Slot, LockMode),
    /// Forks a child that drops its copy of the handle and ends.
    ForkAndDrop(Slot),
    IsLost(Slot),
    IsCurrent(Slot, #[serde(with = "any_path")] PathBuf),
    Open(Slot, #[serde(with = "any_path")] PathBuf, OpenOptions),
    /// Polls a wait for at most this time.
    Poll(Slot, Duration),
    /// Drops all handles, waits and children.
    Reset,
    /// Runs a script of the module `scripts` on a path, with arguments.
    Run(String, #[serde(with = "any_path")] PathBuf, Vec<String>),
    /// Starts another program that lives on.
    Spawn,
    /// Begins to wait, and polls the wait once.
    Start(Slot, LockMode),
    /// Asks for the fencing token.
    Token(Slot),
    TryLock(Slot, LockMode),
    TryUpgrade(Slot),
    Unlock(Slot),
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Answer {
    Acquired,
    Done,
    Failed {
        kind: String,
        message: String,
    },
    No,
    /// A script has come to its end.
    Outcome(ScriptOutcome),
    Panicked(String),
    Pending,
    Pid(u32),
    Text(String),
    Token(Option<u64>),
    /// This process cannot execute the command, for this reason.
    Unable(String),
    WouldBlock,
    Yes,
}

/// `value` as one line of text.
pub(super) fn to_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("every command and answer has a form in JSON")
}

/// The value of a line that [`to_line`] made.
pub(super) fn from_line<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| format!("{line:?}: {error}"))
}

/// Any path in JSON, also one that is not UTF-8.
pub(crate) mod any_path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        OsString::deserialize(deserializer).map(PathBuf::from)
    }
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

impl From<ScriptOutcome> for Answer {
    fn from(outcome: ScriptOutcome) -> Self {
        Self::Outcome(outcome)
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Command {
    /// The same command with another path, if it has a path.
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

/// What a process does, as a trace says it.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(slot, path, _) => write!(
                f,
                "opens {} as handle {slot}",
                path.file_name().unwrap_or_default().to_string_lossy()
            ),
            Self::TryLock(slot, mode) => write!(f, "tries to take the {mode} lock, handle {slot}"),
            Self::Start(slot, mode) => {
                write!(f, "starts to wait for the {mode} lock, handle {slot}")
            }
            Self::Poll(slot, _) => write!(f, "polls its wait, handle {slot}"),
            Self::Cancel(slot) => write!(f, "gives up its wait, handle {slot}"),
            Self::Unlock(slot) => write!(f, "unlocks handle {slot}"),
            Self::Drop(slot) => write!(f, "drops handle {slot}"),
            Self::Downgrade(slot) => write!(f, "makes its lock shared, handle {slot}"),
            Self::TryUpgrade(slot) => write!(f, "tries to make its lock exclusive, handle {slot}"),
            Self::ForkAndConvert(slot, mode) => {
                write!(
                    f,
                    "forks a child that makes its copy of the lock {mode}, handle {slot}"
                )
            }
            Self::IsCurrent(slot, _) => write!(f, "asks whether handle {slot} is current"),
            Self::Fork => f.write_str("forks a child that lives on"),
            Self::ForkAndDrop(slot) => {
                write!(f, "forks a child that drops its copy of handle {slot}")
            }
            Self::EndChildren => f.write_str("ends its children"),
            Self::Reset => f.write_str("lets go of everything"),
            Self::Spawn => f.write_str("starts another program that lives on"),
            Self::Token(slot) => write!(f, "asks handle {slot} for its token"),
            Self::AwaitLoss(slot, _) => write!(f, "waits for the loss of its lock, handle {slot}"),
            Self::IsLost(slot) => write!(f, "asks whether handle {slot} has lost its lock"),
            Self::Belongings => f.write_str("counts what it has"),
            Self::Run(script, _, words) => {
                write!(f, "{} {}", script.replace('-', " "), words.join(" "))
            }
        }
    }
}

/// What a process has answered, as a trace says it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquired => f.write_str("acquired"),
            Self::Done | Self::Outcome(ScriptOutcome::Done { .. }) => f.write_str("done"),
            Self::Failed { kind, message } => write!(f, "error {kind}: {message}"),
            Self::No => f.write_str("no"),
            Self::Outcome(ScriptOutcome::Broken { law, what, .. }) => {
                write!(f, "{law} is broken: {what}")
            }
            Self::Panicked(message) => write!(f, "panic: {message}"),
            Self::Pending => f.write_str("still waiting"),
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Text(text) | Self::Unable(text) => f.write_str(text),
            Self::Token(Some(token)) => write!(f, "token {token}"),
            Self::Token(None) => f.write_str("no token"),
            Self::WouldBlock => f.write_str("busy"),
            Self::Yes => f.write_str("yes"),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn commands_and_answers_survive_the_line() {
        let mut options = OpenOptions::new();
        options.create_mode = Some(0o600);
        options.remove_on_release = true;
        let odd = PathBuf::from(OsString::from_vec(b"/\xff\n".to_vec()));
        for command in [
            Command::Belongings,
            Command::Open(3, "/tmp/a b".into(), options),
            Command::Run("x".into(), "/ü".into(), vec!["".into(), "1 2\n".into()]),
            Command::Poll(1, Duration::from_millis(2)),
            Command::TryLock(0, LockMode::Shared),
            Command::ForkAndConvert(3, LockMode::Shared),
            Command::IsCurrent(7, odd),
        ] {
            let line = to_line(&command);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(from_line(&line), Ok(command));
        }
        for answer in [
            Answer::Acquired,
            Answer::failed(&io::Error::other("two\nlines")),
            Answer::Outcome(ScriptOutcome::done(7)),
            Answer::Panicked(String::new()),
            Answer::Pid(7),
        ] {
            let line = to_line(&answer);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(from_line(&line), Ok(answer));
        }
        assert!(from_line::<Command>("fly 1").is_err());
    }
}
