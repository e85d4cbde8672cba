//! A worker as it sees itself: the commands that it receives, and its replies.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use super::MARK;
use crate::system;

/// The commands that a worker receives, one for each line of its standard input.
#[derive(Debug)]
pub struct Commands(BufReader<File>);

impl Commands {
    /// Reads from a copy of the descriptor of standard input, which any thread may do.
    ///
    /// # Errors
    ///
    /// Those of dup(2): the process may have too many descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self(BufReader::new(system::input()?)))
    }
}

impl Iterator for Commands {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                line.truncate(line.trim_end_matches(['\n', '\r']).len());
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Replies to the parent with one line.
///
/// # Errors
///
/// Those of writing to standard output: the parent may have ended.
pub fn reply(line: impl Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    // The reply begins a new line, because the program may have printed part of another.
    output.write_all(format!("\n{MARK}{line}\n").as_bytes())?;
    output.flush()
}
