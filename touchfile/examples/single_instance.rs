//! A program of which only one runs at a time.
//!
//! Start it twice: `cargo run --example single_instance`, and again in another shell.

use std::env;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use touchfile::{Holder, LockMode, Result, TouchFile};

fn main() -> Result<ExitCode> {
    let path = env::args_os().nth(1).map(PathBuf::from);
    let path = path.unwrap_or_else(|| env::temp_dir().join("single_instance.lock"));

    let touch = TouchFile::open(path)?;
    let Some(guard) = touch.blocking().try_lock(LockMode::Exclusive)? else {
        match Holder::in_words(&touch.blocking().holders()?) {
            Some(held_by) => eprintln!("another instance is running: the lock is {held_by}"),
            None => eprintln!("another instance is running"),
        }
        return Ok(ExitCode::FAILURE);
    };

    println!("the only instance, until Enter or Ctrl-C; even kill -9 lets the next one in");
    // An end of input and an error end the program just as well.
    drop(io::stdin().read(&mut [0]));

    guard.unlock()?;
    Ok(ExitCode::SUCCESS)
}
