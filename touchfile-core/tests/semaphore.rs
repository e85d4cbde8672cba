//! Counting semaphores over the mock, under a paused clock.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout};
use touchfile_core::{Error, Semaphore, TouchFile};
use touchfile_mock::{Call, Fault, MockBackend, World};

const PATH: &str = "/some/where/jobs";
const SECOND: Duration = Duration::from_secs(1);

fn semaphore(world: &World, process: &str, permits: usize) -> Arc<Semaphore<MockBackend>> {
    Arc::new(Semaphore::new(world.process(process), PATH, permits).unwrap())
}

/// Lets all tasks go on until they wait.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// The output of a task, which must not take an hour.
async fn output<T>(task: JoinHandle<T>) -> T {
    timeout(3600 * SECOND, task)
        .await
        .expect("in time")
        .unwrap()
}

/// Counts who is inside, and the most that ever were.
#[derive(Default)]
struct Room {
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Room {
    async fn visit(&self, time: Duration) {
        let inside = self.inside.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(inside, Ordering::Relaxed);
        sleep(time).await;
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_as_many_as_there_are_permits_have_one_and_so_many_do() {
    for permits in [1, 2, 3, 7] {
        let world = World::new();
        let room = Arc::new(Room::default());
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for process in ["a", "b", "c"] {
            let semaphore = semaphore(&world, process, permits);
            for _ in 0..7 {
                let (semaphore, room) = (semaphore.clone(), room.clone());
                tasks.spawn(async move {
                    let permit = semaphore.acquire().await.unwrap();
                    room.visit(SECOND).await;
                    permit.unlock().await.unwrap();
                });
            }
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        assert_eq!(room.most.load(Ordering::Relaxed), permits);
        // No slot is left idle while somebody waits.
        let rounds = 21_usize.div_ceil(permits);
        let took = started.elapsed().as_secs_f64();
        assert!((took - rounds as f64).abs() < 0.5, "{permits}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_gets_the_slot_that_is_free_first_whichever_it_is() {
    for freed in 0..3 {
        let world = World::new();
        let holder = semaphore(&world, "holder", 3);
        let mut permits = Vec::new();
        for _ in 0..3 {
            permits.push(holder.acquire().await.unwrap());
        }
        let waiter = semaphore(&world, "waiter", 3);
        let waiting = tokio::spawn(async move { waiter.acquire().await.unwrap() });
        settle().await;
        assert!(!waiting.is_finished());
        drop(permits.remove(freed));
        let permit = output(waiting).await;
        let slot = format!("{PATH}.{}", freed + 1);
        assert_eq!(permit.path(), Path::new(&slot));
        for number in 1..=3 {
            assert!(world.waiters(format!("{PATH}.{number}")).is_empty());
        }
        assert!(world.holders(PATH).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn permits_are_handed_out_in_the_order_in_which_they_were_asked_for() {
    let world = World::new();
    let holder = semaphore(&world, "holder", 2);
    let mut permits = vec![
        holder.acquire().await.unwrap(),
        holder.acquire().await.unwrap(),
    ];
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for number in 0..6 {
        let semaphore = semaphore(&world, ["a", "b"][number % 2], 2);
        let order = order.clone();
        tasks.spawn(async move {
            let permit = semaphore.acquire().await.unwrap();
            order.lock().unwrap().push(number);
            sleep(SECOND).await;
            drop(permit);
        });
        settle().await;
    }
    permits.pop();
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn the_slot_of_a_killed_holder_is_free() {
    let world = World::new();
    let holder = semaphore(&world, "holder", 2);
    let _one = holder.acquire().await.unwrap();
    let other = semaphore(&world, "other", 2);
    let _other = other.acquire().await.unwrap();
    let waiter = semaphore(&world, "waiter", 2);
    let waiting = tokio::spawn(async move { waiter.acquire().await.unwrap() });
    settle().await;
    assert!(!waiting.is_finished());
    assert!(world.kill("holder"));
    assert_eq!(
        output(waiting).await.path(),
        Path::new("/some/where/jobs.1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_killed_at_the_gate_keeps_nobody_behind_it() {
    let world = World::new();
    let holder = semaphore(&world, "holder", 1);
    let permit = holder.acquire().await.unwrap();
    let first = semaphore(&world, "first", 1);
    let first = tokio::spawn(async move { first.acquire().await });
    settle().await;
    let second = semaphore(&world, "second", 1);
    let second = tokio::spawn(async move { second.acquire().await.unwrap() });
    settle().await;
    assert_eq!(world.holders(PATH).len(), 1);
    assert!(world.kill("first"));
    settle().await;
    drop(permit);
    drop(output(second).await);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_leaves_nothing_behind() {
    let world = World::new();
    let semaphore = semaphore(&world, "a", 2);
    let held = [
        semaphore.acquire().await.unwrap(),
        semaphore.acquire().await.unwrap(),
    ];
    for polls in 0..20 {
        let mut wait = Box::pin(semaphore.acquire());
        for _ in 0..polls {
            let polled = timeout(Duration::ZERO, &mut wait).await;
            assert!(polled.is_err());
        }
    }
    let waits = [PATH, "/some/where/jobs.1", "/some/where/jobs.2"];
    assert!(waits.iter().all(|path| world.waiters(path).is_empty()));
    assert!(world.holders(PATH).is_empty());
    drop(held);
    let permits = [
        semaphore.try_acquire().await.unwrap(),
        semaphore.try_acquire().await.unwrap(),
        semaphore.try_acquire().await.unwrap(),
    ];
    assert_eq!(permits.each_ref().map(Option::is_some), [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn giving_up_in_time_names_those_who_have_a_permit() {
    let world = World::new();
    let one = semaphore(&world, "one", 2);
    let _one = one.acquire().await.unwrap();
    let other = semaphore(&world, "other", 2);
    let _other = other.acquire().await.unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let noted = reports.clone();
    let waiter = TouchFile::builder(world.process("waiter"))
        .path(PATH)
        .on_wait(2 * SECOND, move |wait| {
            assert_eq!(wait.permits(), Some(2));
            noted.lock().unwrap().push(wait.to_string());
        })
        .build_semaphore(2)
        .unwrap();
    // Somebody else waits, and is not in the way.
    let behind = semaphore(&world, "behind", 2);
    let ahead = tokio::spawn(async move { behind.acquire().await });
    settle().await;
    for time in [5 * SECOND, Duration::ZERO] {
        let started = Instant::now();
        let error = waiter.acquire_timeout(time).await.unwrap_err();
        assert_eq!(started.elapsed().as_secs(), time.as_secs());
        let message = error.to_string();
        assert!(
            message.contains("waiting for one of the 2 permits of"),
            "{message}"
        );
        assert!(message.contains(PATH), "{message}");
        assert!(
            message.contains("one") && message.contains("other"),
            "{message}"
        );
        let Error::Timeout {
            permits, holders, ..
        } = error
        else {
            panic!("{message}");
        };
        assert_eq!((permits, holders.len()), (Some(2), 2));
    }
    assert_eq!(waiter.holders().await.unwrap().len(), 2);
    let reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(
        reports[0].starts_with("waiting for one of the 2 permits of /some/where/jobs, held by")
    );
    ahead.abort();
}

#[tokio::test(start_paused = true)]
async fn the_default_timeout_bounds_a_wait_and_a_free_slot_is_taken_at_no_time() {
    let world = World::new();
    let semaphore = TouchFile::builder(world.process("a"))
        .path(PATH)
        .timeout(3 * SECOND)
        .build_semaphore(1)
        .unwrap();
    let started = Instant::now();
    let permit = semaphore.acquire_timeout(Duration::ZERO).await.unwrap();
    assert!(semaphore.acquire().await.unwrap_err().is_timeout());
    assert_eq!(started.elapsed().as_secs(), 3);
    drop(permit);
    drop(semaphore.acquire().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn those_of_a_smaller_number_are_in_the_first_slots() {
    let world = World::new();
    let (few, many) = (semaphore(&world, "few", 1), semaphore(&world, "many", 3));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(many.acquire().await.unwrap());
    }
    assert!(few.try_acquire().await.unwrap().is_none());
    drop(held.split_off(1));
    assert!(few.try_acquire().await.unwrap().is_none());
    drop(held);
    let permit = few.try_acquire().await.unwrap();
    assert!(permit.is_some());
    assert!(many.try_acquire().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_a_slot_is_told_and_leaves_nothing_behind() {
    let world = World::new();
    let semaphore = semaphore(&world, "a", 2);
    let permit = semaphore.acquire().await.unwrap();
    world.inject(Fault::fail(
        Call::Open,
        std::io::ErrorKind::PermissionDenied,
    ));
    let error = semaphore.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error}");
    assert_eq!(error.path(), Path::new("/some/where/jobs.2"));
    assert!(world.holders(PATH).is_empty());
    drop(permit);
    drop(semaphore.acquire().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_lost_is_noticed() {
    let world = World::new();
    let permit = semaphore(&world, "a", 2).acquire().await.unwrap();
    permit.verify().await.unwrap();
    world.lose_lock("/some/where/jobs.1");
    let error = permit.lost(SECOND).await;
    assert!(matches!(error, Error::Lost { .. }), "{error}");
}

#[test]
fn a_semaphore_that_nobody_could_use_is_refused() {
    let world = World::new();
    let new = |permits| Semaphore::new(world.process("a"), PATH, permits).map(drop);
    for permits in [0, 1_025, usize::MAX] {
        let error = new(permits).unwrap_err();
        assert!(matches!(error, Error::InvalidPath { .. }), "{error}");
        let why = format!("a semaphore of {permits} permits is none; give 1 to 1024");
        assert!(error.to_string().contains(&why), "{error}");
    }
    new(1).unwrap();
    new(1_024).unwrap();
    let builder = || TouchFile::builder(world.process("a"));
    for refused in [
        builder().build_semaphore(2),
        builder().path("").build_semaphore(2),
        builder()
            .path(PATH)
            .follow_symlinks(true)
            .build_semaphore(2),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::InvalidPath { .. }), "{error}");
    }
}

#[test]
fn threads_take_permits_as_tasks_do() {
    let world = World::new();
    let inside = AtomicUsize::new(0);
    let most = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for process in ["a", "b"] {
            let semaphore = semaphore(&world, process, 3);
            for _ in 0..5 {
                let (semaphore, inside, most) = (semaphore.clone(), &inside, &most);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let permit = semaphore.blocking().acquire().unwrap();
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_micros(200));
                        inside.fetch_sub(1, Ordering::SeqCst);
                        permit.unlock().unwrap();
                    }
                });
            }
        }
    });
    assert!(most.into_inner() <= 3);
    let semaphore = semaphore(&world, "c", 1);
    let _permit = semaphore.blocking().try_acquire().unwrap().unwrap();
    assert!(semaphore.blocking().try_acquire().unwrap().is_none());
    let late = semaphore
        .blocking()
        .acquire_timeout(Duration::from_millis(20));
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(semaphore.blocking().holders().unwrap().len(), 1);
}

#[test]
fn values_may_cross_threads() {
    fn check<T: Send + Sync>(_: &T) {}
    fn is_send<T: Send>(_: T) {}
    let semaphore = semaphore(&World::new(), "a", 2);
    check(&*semaphore);
    check(&semaphore.blocking());
    is_send(semaphore.acquire());
    is_send(semaphore.acquire_timeout(SECOND));
    is_send(semaphore.try_acquire());
}
