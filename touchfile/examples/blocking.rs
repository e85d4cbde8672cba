//! Threads and locks, and no runtime anywhere.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use touchfile::{LockMode, TouchFile};

fn main() -> Result<(), Box<dyn Error>> {
    let touch = Arc::new(TouchFile::open_temporary()?);

    // Threads of one process take turns just as processes do: no increment is lost.
    let dir = tempfile::tempdir()?;
    let counter = dir.path().join("counter");
    fs::write(&counter, "0")?;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let done = touch
                        .blocking()
                        .with_lock(LockMode::Exclusive, |_| increment(&counter));
                    done.expect("a lock").expect("an increment");
                }
            });
        }
    });
    println!("4 threads counted to {}", fs::read_to_string(&counter)?);

    // An owned guard can go where it likes; here to a thread that holds the lock for a while.
    let guard = touch.clone().blocking_owned().lock_exclusive()?;
    let holder = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        guard.unlock()
    });

    // Meanwhile, do not wait for ever.
    let patience = Duration::from_millis(10);
    match touch.blocking().lock_timeout(LockMode::Shared, patience) {
        Ok(_) => println!("got it after all"),
        Err(error) if error.is_timeout() => println!("gave up: {error}"),
        Err(error) => return Err(error.into()),
    }

    holder.join().expect("it does not panic")?;
    println!(
        "free again: {}",
        touch.blocking().try_lock(LockMode::Shared)?.is_some()
    );
    Ok(())
}

/// Reads, adds one and writes: right only where nobody comes between.
fn increment(counter: &Path) -> io::Result<()> {
    let number: u32 = fs::read_to_string(counter)?
        .parse()
        .map_err(io::Error::other)?;
    fs::write(counter, (number + 1).to_string())
}
