//! The history of a world.

use std::time::Duration;

use touchfile_core::LockHandle;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_mock::{Call, EventKind, World};

use crate::support::{PATH, hold, open};

async fn a_busy_day() -> World {
    let world = World::new();
    let mut a = open(&world, "a");
    let mut b = open(&world, "b");
    a.lock(Exclusive).await.unwrap();
    assert!(b.try_lock(Shared).await.is_ok());
    let waiter = tokio::spawn(async move {
        b.lock(Shared).await.unwrap();
        b
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    world.fail_next(Call::Unlock, std::io::ErrorKind::NotConnected);
    a.unlock().await.unwrap_err();
    world.kill("a");
    let b = waiter.await.unwrap();
    world.replace(PATH);
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(b);
    world.rename(PATH, "/b.lock").unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn the_text_is_complete_in_order_and_the_same_on_every_run() {
    let text = a_busy_day().await.history_text();
    let expected = "\
0.000s: a was started
0.000s: a created /a.lock
0.000s: a opened /a.lock
0.000s: b was started
0.000s: b opened /a.lock
0.000s: a took the exclusive lock on /a.lock
0.000s: b found the shared lock on /a.lock busy
0.000s: b waits for the shared lock on /a.lock
1.500s: a failed to unlock /a.lock: not connected
1.500s: a was killed
1.500s: a released the exclusive lock on /a.lock
1.500s: b took the shared lock on /a.lock
1.500s: the test replaced /a.lock by a fresh file
2.500s: b released the shared lock on /a.lock
2.500s: b closed /a.lock
2.500s: the test renamed /a.lock to /b.lock";
    assert_eq!(text, expected);
    assert_eq!(text, a_busy_day().await.history_text());
}

#[tokio::test(start_paused = true)]
async fn a_cleared_history_goes_on_with_the_old_times() {
    let world = World::new();
    let mut a = hold(&world, "a", Exclusive);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.clear_history();
    a.unlock().await.unwrap();
    let [event] = &world.history()[..] else {
        panic!("one event, not {}", world.history_text());
    };
    assert_eq!(event.at, Duration::from_secs(3));
    assert_eq!(event.process.as_deref(), Some("a"));
    assert_eq!(event.path.as_deref(), Some(PATH.as_ref()));
    assert_eq!(event.what, EventKind::Released(Exclusive));
}
