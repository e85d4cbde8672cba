//! The loop of a worker process.

use std::io;
use std::panic;

use touchfile_core::BoxBackend;

use super::Answer;
use super::command::{from_line, to_line};
use super::execute::Executor;
use crate::worker::{Commands, reply};

/// Executes commands until standard input ends.
pub(crate) fn serve(backend: BoxBackend) -> io::Result<()> {
    #[cfg(windows)]
    super::children::live_on_if_asked();
    // A panic becomes an answer, so its message need not be printed.
    panic::set_hook(Box::new(|_| {}));
    let mut executor = Executor::new(backend)?;
    reply("ready")?;
    for line in Commands::new()? {
        let answer = match from_line(&line?) {
            Ok(command) => executor.execute(command),
            Err(error) => Answer::Unable(error),
        };
        reply(to_line(&answer))?;
    }
    Ok(())
}
