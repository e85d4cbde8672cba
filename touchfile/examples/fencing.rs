//! A store that refuses a holder which was stopped for longer than its lock lasts.
//!
//! The holder is told nothing: it checks, it is stopped, somebody else takes the lock and writes, and then
//! it goes on where it was. No check before the write can help, as it can be stopped after that check. So
//! each write has the token of the lock, and the store refuses what is older than the latest it has seen.
//!
//! The mock plays the engine whose locks run out, such as one on a server. A real one claims `fencing`.

use touchfile::{Fence, Guard, LockBackend, Result, StaleToken, TouchFile};
use touchfile_mock::World;

/// What the lock protects. It keeps its fence beside the data.
#[derive(Default)]
struct Store {
    text: String,
    fence: Fence,
}

impl Store {
    fn write(&mut self, token: u64, text: &str) -> std::result::Result<(), StaleToken> {
        self.fence.admit(token)?;
        self.text = text.to_owned();
        Ok(())
    }
}

/// The token of a held lock. A backend without tokens is the wrong one here.
fn token<B: LockBackend>(guard: &Guard<&TouchFile<B>, B>) -> u64 {
    guard.token().expect("the backend claims `fencing`")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let world = World::new();
    let mut store = Store::default();

    let first = TouchFile::new(world.process("first"), "/report.lock")?;
    let stopped = first.lock_exclusive().await?;
    stopped.verify().await?; // it has the lock, and is about to write

    // Now it is stopped, its lease runs out, and somebody else has the lock and writes.
    world.lose_lock("/report.lock");
    let second = TouchFile::new(world.process("second"), "/report.lock")?;
    let next = second.lock_exclusive().await?;
    if let Err(refused) = store.write(token(&next), "the second report") {
        println!("refused: {refused}");
    }
    println!("stored: {}", store.text);

    // It goes on with the write.
    if let Err(refused) = store.write(token(&stopped), "the first report") {
        println!("refused: {refused}");
    }
    println!("stored: {}", store.text);
    next.unlock().await
}
