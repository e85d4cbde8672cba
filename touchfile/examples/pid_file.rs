//! A pid file that is never stale: the lock says whether the process runs, and the file which it is.
//!
//! Other programs read the file, as in `kill $(cat app.pid)`. After kill -9 the file is still there, but it
//! is not locked, so that the next start takes it over.
//!
//! Start it twice: `cargo run --example pid_file`, and again in another shell.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{self, ExitCode};

use touchfile::{LockMode, TouchFile};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let path = env::args_os().nth(1).map(PathBuf::from);
    let path = path.unwrap_or_else(|| env::temp_dir().join("pid_file.pid"));

    let touch = TouchFile::options()
        .path(&path)
        .write(true)
        .remove_on_release(true)
        .build()?;
    let Some(guard) = touch.blocking().try_lock(LockMode::Exclusive)? else {
        // Whoever has just taken the lock has yet to write: until then the file is empty, or has the pid of
        // one that was killed. `touch.blocking().holders()` asks the system instead.
        let pid = fs::read_to_string(&path)?;
        eprintln!("it runs already, as pid {}", pid.trim_end());
        return Ok(ExitCode::FAILURE);
    };

    let mut file = guard.file()?;
    file.set_len(0)?;
    writeln!(file, "{}", process::id())?;

    println!("{} has the pid, until Enter or Ctrl-C", path.display());
    // An end of input and an error end the program just as well.
    drop(io::stdin().read(&mut [0]));

    // This removes the file, which nobody else can have locked.
    guard.unlock()?;
    Ok(ExitCode::SUCCESS)
}
