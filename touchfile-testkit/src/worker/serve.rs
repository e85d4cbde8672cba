//! The loop of a worker: orders on standard input, answers on standard output.

use std::io::{self, BufRead, Write};
use std::panic;

use touchfile_core::BoxBackend;

use super::obey::Obeyer;

/// What lines of the protocol begin with, so that a backend may print what it likes.
pub(crate) const MARK: &str = "@touchfile ";

/// Obeys until standard input ends.
pub(crate) fn serve(backend: BoxBackend) -> io::Result<()> {
    // A panic goes into an answer; nobody reads what it would print.
    panic::set_hook(Box::new(|_| {}));
    let mut obeyer = Obeyer::new(backend)?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let answer = match line?.parse() {
            Ok(order) => obeyer.obey(order).to_string(),
            Err(error) => super::order::Answer::Unable(error).to_string(),
        };
        say(&answer)?;
    }
    Ok(())
}

fn say(answer: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    // The backend may have begun a line.
    writeln!(out, "\n{MARK}{answer}")?;
    out.flush()
}
