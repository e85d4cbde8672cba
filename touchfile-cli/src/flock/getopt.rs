//! Parses options like getopt_long(3), with the same messages.
//!
//! Clap differs: by default it accepts no abbreviated long options, and its messages are others. Scripts
//! rely on both.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// An option with a long name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long<T> {
    pub(super) name: &'static str,
    pub(super) takes_value: bool,
    pub(super) means: T,
}

/// An option with a letter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short<T> {
    pub(super) letter: u8,
    pub(super) takes_value: bool,
    pub(super) means: T,
}

/// An error in the options, as a line to print.
pub(super) type Wrong = Vec<u8>;

/// Parses options up to the first other word or up to `--`.
#[derive(Debug)]
pub(super) struct Options<'a, T> {
    shorts: &'a [Short<T>],
    longs: &'a [Long<T>],
    words: &'a [OsString],
    /// The letters of the current word that were not parsed yet.
    letters: &'a [u8],
}

impl<'a, T: Copy + PartialEq> Options<'a, T> {
    pub(super) fn new(shorts: &'a [Short<T>], longs: &'a [Long<T>], words: &'a [OsString]) -> Self {
        Self {
            shorts,
            longs,
            words,
            letters: &[],
        }
    }

    /// The remaining words.
    pub(super) fn rest(&self) -> &'a [OsString] {
        self.words
    }

    /// The word with the next option.
    pub(super) fn next_word(&self) -> Option<&'a OsString> {
        self.words.first().filter(|_| self.letters.is_empty())
    }

    /// The next option, with its value if it takes one.
    pub(super) fn next(&mut self) -> Result<Option<(T, Option<OsString>)>, Wrong> {
        if !self.letters.is_empty() {
            return self.letter().map(Some);
        }
        let Some((word, rest)) = self.words.split_first() else {
            return Ok(None);
        };
        match word.as_bytes() {
            b"--" => {
                self.words = rest;
                Ok(None)
            }
            [b'-', b'-', name @ ..] => {
                self.words = rest;
                self.long(name).map(Some)
            }
            [b'-', letters @ ..] if !letters.is_empty() => {
                self.words = rest;
                self.letters = letters;
                self.letter().map(Some)
            }
            _ => Ok(None),
        }
    }

    fn letter(&mut self) -> Result<(T, Option<OsString>), Wrong> {
        let (&letter, rest) = self.letters.split_first().expect("the caller has looked");
        self.letters = rest;
        let known = self.shorts.iter().find(|short| short.letter == letter);
        let Some(short) = known else {
            return Err([b"invalid option -- '", &[letter][..], b"'"].concat());
        };
        if !short.takes_value {
            return Ok((short.means, None));
        }
        self.letters = &[];
        if !rest.is_empty() {
            return Ok((short.means, Some(OsStr::from_bytes(rest).to_owned())));
        }
        match self.words.split_first() {
            Some((value, rest)) => {
                self.words = rest;
                Ok((short.means, Some(value.clone())))
            }
            None => Err([b"option requires an argument -- '", &[letter][..], b"'"].concat()),
        }
    }

    fn long(&mut self, word: &[u8]) -> Result<(T, Option<OsString>), Wrong> {
        let mut parts = word.splitn(2, |&byte| byte == b'=');
        let name = parts.next().unwrap_or_default();
        let value = parts.next();
        let long = self.named(name)?;
        let wrong = |says: &str| Err(format!("option '--{}' {says}", long.name).into_bytes());
        match (long.takes_value, value) {
            (false, None) => Ok((long.means, None)),
            (false, Some(_)) => wrong("doesn't allow an argument"),
            (true, Some(value)) => Ok((long.means, Some(OsString::from_vec(value.to_vec())))),
            (true, None) => match self.words.split_first() {
                Some((value, rest)) => {
                    self.words = rest;
                    Ok((long.means, Some(value.clone())))
                }
                None => wrong("requires an argument"),
            },
        }
    }

    /// The option with this name, or the only option whose name begins with it.
    fn named(&self, name: &[u8]) -> Result<&'a Long<T>, Wrong> {
        if let Some(exact) = self.longs.iter().find(|long| long.name.as_bytes() == name) {
            return Ok(exact);
        }
        let mut starting = self
            .longs
            .iter()
            .filter(|long| long.name.as_bytes().starts_with(name));
        let Some(first) = starting.next() else {
            return Err([b"unrecognized option '--", name, b"'"].concat());
        };
        // Two names of the same option are not ambiguous.
        let others = starting.filter(|other| other.means != first.means);
        let others: Vec<String> = others.map(|other| format!(" '--{}'", other.name)).collect();
        if others.is_empty() {
            return Ok(first);
        }
        let among = format!("' is ambiguous; possibilities: '--{}'", first.name);
        let among = [among, others.concat()].concat();
        Err([b"option '--", name, among.as_bytes()].concat())
    }
}
