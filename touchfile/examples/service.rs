//! A service of which one runs at a time, from its start to a SIGTERM or Ctrl-C.
//!
//! It holds a lock for its whole life. It ends when it is told to, also while it waits for the lock, and
//! then finishes the request in hand. It stops at once when the lock is lost.
//!
//! Start it twice: `cargo run --example service`, and again in another shell.

use std::env;
use std::error::Error;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process;
use std::time::Duration;

use tokio::select;
use tokio::time::sleep;
use touchfile::{LockMode, TouchFile};

/// How often to look whether the lock is still held.
const CHECK: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).map(PathBuf::from);
    let path = path.unwrap_or_else(|| env::temp_dir().join("service.lock"));

    let mut told_to_end = pin!(told_to_end()?);
    let touch = TouchFile::options()
        .path(path)
        .on_wait(Duration::from_secs(1), |wait| eprintln!("{wait}"))
        .build()?;

    let guard = select! {
        guard = touch.lock(LockMode::Exclusive) => guard?,
        signal = &mut told_to_end => {
            println!("{signal}: ended before the lock was free");
            return Ok(());
        }
    };
    println!("serving, as pid {}", process::id());

    let served = select! {
        served = serve(told_to_end) => served,
        // What `serve` was about to do is dropped: nothing more is done without the lock.
        lost = guard.lost(CHECK) => return Err(lost.into()),
    };

    guard.unlock().await?;
    println!("ended after {served} requests, and the lock is free");
    Ok(())
}

/// Handles requests until it is told to end, and returns how many.
async fn serve(mut told_to_end: impl Future<Output = &'static str> + Unpin) -> u64 {
    let mut served = 0;
    loop {
        select! {
            () = request() => {
                // A signal does not interrupt this.
                handle().await;
                served += 1;
            }
            signal = &mut told_to_end => {
                println!("{signal}: ending");
                return served;
            }
        }
    }
}

/// Waits for a request: in a real service, the next connection.
async fn request() {
    sleep(Duration::from_millis(100)).await;
}

async fn handle() {
    sleep(Duration::from_millis(20)).await;
}

/// Becomes ready with the name of the signal. From here on these signals do not end the process by themselves.
#[cfg(unix)]
fn told_to_end() -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

#[cfg(windows)]
fn told_to_end() -> io::Result<impl Future<Output = &'static str>> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
        "Ctrl-C"
    })
}
