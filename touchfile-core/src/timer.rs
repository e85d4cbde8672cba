//! Sleeping on whichever timer is at hand.
//!
//! Inside a tokio runtime that is its own timer, so that a paused clock pauses us too. Elsewhere
//! (another executor, a bare `block_on`) one background thread of this process drives a timer.

use std::future;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, Sleep};

pub(crate) async fn sleep(duration: Duration) {
    on_a_timer(|| tokio::time::sleep(duration)).await;
}

pub(crate) async fn sleep_until(deadline: Instant) {
    on_a_timer(|| tokio::time::sleep_until(deadline)).await;
}

/// Makes the `Sleep` inside a runtime: the current one, else the background one. Once made, it
/// can be polled anywhere.
fn on_a_timer(make: impl FnOnce() -> Sleep) -> Sleep {
    if Handle::try_current().is_ok() {
        return make();
    }
    let _entered = background().enter();
    make()
}

fn background() -> &'static Handle {
    static BACKGROUND: OnceLock<Handle> = OnceLock::new();
    BACKGROUND.get_or_init(|| {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime with nothing but a timer asks the system for nothing");
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("touchfile-timer".into())
            .spawn(move || runtime.block_on(future::pending::<()>()))
            .expect("the system refused one thread");
        handle
    })
}
