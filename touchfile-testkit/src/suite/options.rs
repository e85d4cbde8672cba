//! Settings from the suite, the environment and the command line.

use std::env;
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use crate::case::DEFAULT_CASES;

const CASES: &str = "TOUCHFILE_TESTKIT_CASES";
const SEED: &str = "TOUCHFILE_TESTKIT_SEED";

/// Which of two settings is used if both are there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum First {
    /// The environment, in a test program, whose own settings are constants.
    Environment,
    /// The setting of the program, which may come from its user.
    Own,
}

/// How many random schedules to play.
pub(super) fn cases(set: Option<u32>, first: First) -> io::Result<u32> {
    Ok(either(set, CASES, first)?.unwrap_or(DEFAULT_CASES).max(1))
}

/// The seed of all random choices.
pub(super) fn seed(set: Option<u64>, first: First) -> io::Result<u64> {
    // The keys of a `RandomState` are random.
    let random = || RandomState::new().hash_one(0) & 0xFFFF_FFFF;
    Ok(either(set, SEED, first)?.unwrap_or_else(random))
}

fn either<T: FromStr>(set: Option<T>, name: &str, first: First) -> io::Result<Option<T>> {
    match (set, first) {
        (Some(set), First::Own) => Ok(Some(set)),
        (set, _) => Ok(variable(name)?.or(set)),
    }
}

/// Takes `--json FILE` or `--json=FILE` out of command line arguments.
pub(super) fn take_json(arguments: &mut Vec<OsString>) -> io::Result<Option<PathBuf>> {
    for at in 0..arguments.len() {
        let Some(argument) = arguments[at].to_str() else {
            continue;
        };
        if let Some(file) = argument.strip_prefix("--json=") {
            let file = file.into();
            arguments.remove(at);
            return Ok(Some(file));
        }
        if argument == "--json" {
            arguments.remove(at);
            if at == arguments.len() {
                return Err(io::Error::other("--json needs the name of a file"));
            }
            return Ok(Some(arguments.remove(at).into()));
        }
    }
    Ok(None)
}

fn variable<T: FromStr>(name: &str) -> io::Result<Option<T>> {
    match env::var(name) {
        Ok(value) => match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(io::Error::other(format!("{name} is no number: {value:?}"))),
        },
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(arguments: &[&str]) -> (Option<PathBuf>, Vec<OsString>) {
        let mut arguments = arguments.iter().map(OsString::from).collect();
        let file = take_json(&mut arguments).unwrap();
        (file, arguments)
    }

    #[test]
    fn the_json_file_is_taken_out_wherever_it_stands() {
        let rest: Vec<OsString> = vec!["x".into(), "--exact".into()];
        for arguments in [
            &["x", "--json", "f", "--exact"][..],
            &["--json=f", "x", "--exact"],
            &["x", "--exact", "--json", "f"],
        ] {
            assert_eq!(taken(arguments), (Some("f".into()), rest.clone()));
        }
        assert_eq!(taken(&["x", "--exact"]), (None, rest));
        assert!(take_json(&mut vec!["--json".into()]).is_err());
    }
}
