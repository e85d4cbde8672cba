//! What happens when a lock is lost while the command runs.

use std::ffi::OsString;
#[cfg(unix)]
use std::str::FromStr;

#[cfg(unix)]
use nix::sys::signal::Signal;

/// What to do when a lock is lost: the value of `--on-lost`.
#[cfg(unix)]
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum OnLost {
    /// A command that the shell executes.
    Command(OsString),
    /// A signal for the command that runs under the lock.
    Signal(Signal),
}

/// Windows has no signals that a command could receive.
#[cfg(windows)]
#[derive(Clone, Debug)]
pub(super) enum OnLost {}

/// Parses the name of a signal, as TERM or SIGTERM, or its number. All else is a command.
#[cfg(unix)]
pub(super) fn parse(value: OsString) -> Result<OnLost, String> {
    let text = value.to_str().unwrap_or_default();
    if value.is_empty() {
        return Err("give a signal, such as TERM, or a command".into());
    }
    if let Ok(number) = text.parse::<i32>() {
        let signal = Signal::try_from(number);
        return signal
            .map(OnLost::Signal)
            .map_err(|_| "there is no signal with this number".into());
    }
    let with_prefix = if text.starts_with("SIG") {
        text.to_owned()
    } else {
        format!("SIG{text}")
    };
    if let Ok(signal) = Signal::from_str(&with_prefix) {
        return Ok(OnLost::Signal(signal));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let is_name = Signal::from_str(&format!("SIG{name}")).is_ok();
    if is_name {
        return Err(format!(
            "for the signal write {name}, and for a command 'exec {text}'"
        ));
    }
    if text.starts_with("SIG") && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("there is no signal with this name".into());
    }
    Ok(OnLost::Command(value))
}

#[cfg(windows)]
pub(super) fn parse(_: OsString) -> Result<OnLost, String> {
    Err("it is for systems with signals, which Windows is not".into())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_or_a_number() {
        for (text, signal) in [
            ("TERM", Signal::SIGTERM),
            ("SIGTERM", Signal::SIGTERM),
            ("15", Signal::SIGTERM),
            ("KILL", Signal::SIGKILL),
            ("USR1", Signal::SIGUSR1),
        ] {
            assert_eq!(parse(text.into()), Ok(OnLost::Signal(signal)), "{text}");
        }
        for text in ["", "0", "-15", "99", "SIGFOO", "term", "SigHup", "kill"] {
            assert!(parse(text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn all_else_is_a_command() {
        for text in [
            "kill $TOUCHFILE_PID",
            "TERM now",
            "./term",
            "logger lost",
            "9lives",
        ] {
            let command = OnLost::Command(text.into());
            assert_eq!(parse(text.into()), Ok(command), "{text}");
        }
    }
}
