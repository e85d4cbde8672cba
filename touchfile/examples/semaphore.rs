//! At most two at a time, however many processes want to: a counting semaphore.
//!
//! Run it several times at once, with the path of a lock file. Each run downloads three files, say, and
//! all runs together never download more than two.
//!
//! ```sh
//! for run in 1 2 3; do cargo run -q -p touchfile --example semaphore /tmp/downloads & done; wait
//! ```

use std::process;
use std::thread;
use std::time::Duration;

use touchfile::{Result, Semaphore, TouchFile};

const AT_ONCE: usize = 2;

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1);
    let path = path.unwrap_or_else(|| std::env::temp_dir().join("downloads").into());
    let downloads: Semaphore = TouchFile::options()
        .path(path)
        .on_wait(Duration::from_secs(1), |wait| eprintln!("{wait}"))
        .build_semaphore(AT_ONCE)?;
    for file in 1..=3 {
        let permit = downloads.blocking().acquire()?;
        // The file of the permit names the slot, such as the second of two.
        let slot = permit.path().extension().unwrap_or_default();
        println!(
            "{}: file {file} in slot {}",
            process::id(),
            slot.to_string_lossy()
        );
        thread::sleep(Duration::from_millis(100));
        permit.unlock()?; // as the end of the process would
    }
    Ok(())
}
