//! Parses the command line of flock(1) like flock(1).

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;

use super::getopt::{Long, Options, Short};
use super::lock::{Kind, Mode};
use super::numbers::{WaitLimit, exit_code, number, size, timeout};
use super::{Stop, USAGE};

/// The shell for `-c`, unless the environment names another.
const SHELL: &str = "/bin/sh";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Means {
    Close,
    ConflictExitCode,
    Exclusive,
    Fcntl,
    Fd,
    Help,
    Length,
    NoFork,
    Nonblock,
    Question,
    Shared,
    Start,
    Timeout,
    Unlock,
    Verbose,
    Version,
}

#[rustfmt::skip]
const SHORTS: [Short<Means>; 12] = [
    Short { letter: b's', takes_value: false, means: Means::Shared },
    Short { letter: b'e', takes_value: false, means: Means::Exclusive },
    Short { letter: b'x', takes_value: false, means: Means::Exclusive },
    Short { letter: b'n', takes_value: false, means: Means::Nonblock },
    Short { letter: b'o', takes_value: false, means: Means::Close },
    Short { letter: b'F', takes_value: false, means: Means::NoFork },
    Short { letter: b'u', takes_value: false, means: Means::Unlock },
    Short { letter: b'w', takes_value: true, means: Means::Timeout },
    Short { letter: b'E', takes_value: true, means: Means::ConflictExitCode },
    Short { letter: b'h', takes_value: false, means: Means::Help },
    Short { letter: b'V', takes_value: false, means: Means::Version },
    Short { letter: b'?', takes_value: false, means: Means::Question },
];

/// The long options in the order of flock(1), which its message on an ambiguous option uses.
#[rustfmt::skip]
const LONGS: [Long<Means>; 17] = [
    Long { name: "shared", takes_value: false, means: Means::Shared },
    Long { name: "exclusive", takes_value: false, means: Means::Exclusive },
    Long { name: "unlock", takes_value: false, means: Means::Unlock },
    Long { name: "nonblocking", takes_value: false, means: Means::Nonblock },
    Long { name: "nb", takes_value: false, means: Means::Nonblock },
    Long { name: "timeout", takes_value: true, means: Means::Timeout },
    Long { name: "wait", takes_value: true, means: Means::Timeout },
    Long { name: "conflict-exit-code", takes_value: true, means: Means::ConflictExitCode },
    Long { name: "close", takes_value: false, means: Means::Close },
    Long { name: "no-fork", takes_value: false, means: Means::NoFork },
    Long { name: "verbose", takes_value: false, means: Means::Verbose },
    Long { name: "fcntl", takes_value: false, means: Means::Fcntl },
    Long { name: "start", takes_value: true, means: Means::Start },
    Long { name: "length", takes_value: true, means: Means::Length },
    Long { name: "fd", takes_value: true, means: Means::Fd },
    Long { name: "help", takes_value: false, means: Means::Help },
    Long { name: "version", takes_value: false, means: Means::Version },
];

/// The option of the second process of [`wait`](super::wait). It is not part of the list, so that it
/// changes no abbreviation.
const WAITER_OF: &str = "--waiter-of";

/// The file or descriptor to lock.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Target {
    Descriptor(RawFd),
    File(OsString),
}

/// The request of the command line.
#[derive(Debug)]
pub(super) enum Request {
    Help,
    Lock(Plan),
    Version,
}

/// How to lock, and the command to run then.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) mode: Mode,
    pub(super) kind: Kind,
    pub(super) limit: WaitLimit,
    pub(super) conflict: u8,
    pub(super) close: bool,
    pub(super) no_fork: bool,
    pub(super) verbose: bool,
    /// There is no command if the lock is held by a descriptor of the caller.
    pub(super) command: Vec<OsString>,
    /// The process for which this one waits. This process ends with it.
    pub(super) waiter_of: Option<i32>,
}

/// Parses the words after the name of the program.
pub(super) fn parse(words: &[OsString]) -> Result<Request, Stop> {
    if words.is_empty() {
        return Err(Stop::usage("not enough arguments").with_hint());
    }
    let mut mode = Mode::Exclusive;
    let mut limit = WaitLimit::Unlimited;
    let mut nonblock = false;
    let (mut fcntl, mut start, mut length) = (false, 0, 0);
    let mut conflict = 1;
    let (mut close, mut no_fork, mut verbose) = (false, false, false);
    let (mut descriptor, mut waiter_of) = (None, None);

    let words = match words {
        [option, parent, rest @ ..] if option == WAITER_OF => {
            waiter_of = Some(number(parent, "bad process")?);
            rest
        }
        words => words,
    };
    let mut options = Options::new(&SHORTS, &LONGS, words);
    loop {
        // It ends the options even if no file comes before it.
        if descriptor.is_some() && options.next_word().is_some_and(is_command_option) {
            break;
        }
        let next = options.next();
        let Some((means, value)) = next.map_err(|wrong| Stop::usage(wrong).with_hint())? else {
            break;
        };
        let value = value.unwrap_or_default();
        match means {
            Means::Close => close = true,
            Means::ConflictExitCode => conflict = exit_code(&value)?,
            Means::Exclusive => mode = Mode::Exclusive,
            Means::Fcntl => fcntl = true,
            Means::Fd => descriptor = Some(number(&value, "bad file descriptor")?),
            Means::Help => return Ok(Request::Help),
            Means::Length => {
                (length, fcntl) = (size(&value, "invalid as length of lock range")?, true);
            }
            Means::NoFork => no_fork = true,
            Means::Nonblock => nonblock = true,
            Means::Question => return Err(Stop::silent(USAGE).with_hint()),
            Means::Shared => mode = Mode::Shared,
            Means::Start => (start, fcntl) = (size(&value, "invalid as start offset")?, true),
            Means::Timeout => limit = timeout(&value)?,
            Means::Unlock => mode = Mode::Unlock,
            Means::Verbose => verbose = true,
            Means::Version => return Ok(Request::Version),
        }
    }
    if no_fork && close {
        return Err(Stop::usage(
            "the --no-fork and --close options are incompatible",
        ));
    }
    let (target, command) = match (descriptor, options.rest()) {
        (Some(number), command) => (Target::Descriptor(number), command),
        (None, [file, command @ ..]) if !command.is_empty() => {
            (Target::File(file.clone()), command)
        }
        (None, [word, ..]) => {
            let number = number(word, "bad file descriptor")?;
            (Target::Descriptor(number), Default::default())
        }
        (None, []) => {
            return Err(Stop::usage("requires file descriptor, file or directory"));
        }
    };
    Ok(Request::Lock(Plan {
        target,
        mode,
        kind: if fcntl {
            Kind::Ofd { start, length }
        } else {
            Kind::Flock
        },
        limit: if nonblock && limit != WaitLimit::Unfit {
            WaitLimit::None
        } else {
            limit
        },
        conflict,
        close,
        no_fork,
        verbose,
        command: with_shell(command)?,
        waiter_of,
    }))
}

/// The command to run, with the shell for `-c`.
fn with_shell(command: &[OsString]) -> Result<Vec<OsString>, Stop> {
    match command {
        [option, script] if is_command_option(option) => {
            let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
            let shell = shell.unwrap_or_else(|| SHELL.into());
            Ok(vec![shell, "-c".into(), script.clone()])
        }
        [option, ..] if is_command_option(option) => {
            let option = option.as_bytes();
            let line = [option, b" requires exactly one command argument"].concat();
            Err(Stop::usage(line))
        }
        command => Ok(command.to_vec()),
    }
}

fn is_command_option(word: &OsString) -> bool {
    word == "-c" || word == "--command"
}

/// The arguments of a process that waits in place of `parent` and locks descriptor `number` in the same
/// way.
pub(super) fn for_waiter(plan: &Plan, parent: u32, number: RawFd) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        vec!["flock".into(), WAITER_OF.into(), parent.to_string().into()];
    if plan.mode == Mode::Shared {
        words.push("--shared".into());
    }
    if let Kind::Ofd { start, length } = plan.kind {
        words.extend(["--fcntl".into(), format!("--start={start}").into()]);
        words.push(format!("--length={length}").into());
    }
    words.extend(["--fd".into(), number.to_string().into()]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_documented() {
        use clap::Args;

        let documented = super::super::Args::augment_args(clap::Command::new("flock"));
        let documented: Vec<&clap::Arg> = documented.get_arguments().collect();
        for long in LONGS {
            let known = documented.iter().any(|arg| {
                let aliases = arg.get_all_aliases().unwrap_or_default();
                arg.get_long() == Some(long.name) || aliases.contains(&long.name)
            });
            assert!(known, "--{}", long.name);
        }
    }
}
