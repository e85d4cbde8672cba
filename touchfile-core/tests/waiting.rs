//! Waiting over the mock, under a paused clock: deadlines, reports, cancelling.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{
    Attempt, Capabilities, Error, Holder, LockBackend, LockHandle, LockMode, OpenOptions, TouchFile,
};
use touchfile_mock::{Call, MockBackend, MockHandle, World};

const PATH: &str = "/some/where/a.lock";
const SECOND: Duration = Duration::from_secs(1);

fn touch(world: &World, process: &str) -> Arc<TouchFile<MockBackend>> {
    Arc::new(TouchFile::new(world.process(process), PATH).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_deadline_bounds_the_wait_for_another_process() {
    let world = World::new();
    let _held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    let started = Instant::now();
    let error = touch(&world, "a")
        .lock_timeout(Shared, 5 * SECOND)
        .await
        .unwrap_err();
    assert!(error.is_timeout());
    assert!(error.to_string().contains("after 5.0s"), "{error}");
    assert_eq!(started.elapsed().as_secs(), 5);
    assert!(world.waiters(PATH).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_bounds_the_queue_inside_the_process() {
    let touch = touch(&World::new(), "a");
    let _held = touch.lock_exclusive().await.unwrap();
    let started = Instant::now();
    assert!(
        touch
            .lock_timeout(Exclusive, 5 * SECOND)
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_bounds_opening_trying_and_checking() {
    let world = World::new();
    for call in [Call::Open, Call::TryLock, Call::IsCurrent] {
        world.delay_next(call, 60 * SECOND);
        let touch = touch(&world, "a");
        let started = Instant::now();
        let error = touch.lock_timeout(Exclusive, 5 * SECOND).await.unwrap_err();
        assert!(error.is_timeout(), "{call:?}: {error}");
        assert_eq!(started.elapsed().as_secs(), 5, "{call:?}");
        assert!(
            world.holders(PATH).is_empty(),
            "{call:?} left the lock behind"
        );
        assert!(
            touch.try_lock(Exclusive).await.unwrap().is_some(),
            "{call:?} left the queue shut"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_zero_takes_a_free_lock_and_gives_up_at_once_on_a_held_one() {
    let world = World::new();
    let touch = touch(&world, "a");
    let guard = touch.lock_timeout(Exclusive, Duration::ZERO).await.unwrap();
    let started = Instant::now();
    assert!(
        touch
            .lock_timeout(Exclusive, Duration::ZERO)
            .await
            .unwrap_err()
            .is_timeout()
    );
    drop(guard);
    let _other = self::touch(&world, "b")
        .lock_exclusive_owned()
        .await
        .unwrap();
    assert!(
        touch
            .lock_timeout(Exclusive, Duration::ZERO)
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert!(
        started.elapsed() <= Duration::from_millis(2),
        "timers tick in milliseconds"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_timeout_of_zero_looks_for_the_holder_once() {
    let world = World::new();
    let (wait, times) = asked(&world, true);
    drop(wait.lock_timeout(Exclusive, Duration::ZERO).await.unwrap());
    assert_eq!(times.load(Ordering::Relaxed), 0, "the lock was free");
    let _held = touch(&world, "b").lock_shared_owned().await.unwrap();
    let refused = wait.lock_timeout(Exclusive, Duration::ZERO).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.ends_with(", held by process b"), "{message}");
    assert_eq!(times.load(Ordering::Relaxed), 1);

    // Nobody answers: that delays the refusal by a quarter of a second.
    let (wait, _) = asked(&world, false);
    let started = Instant::now();
    let refused = wait.lock_timeout(Exclusive, Duration::ZERO).await;
    assert!(refused.unwrap_err().is_timeout());
    assert!(started.elapsed() <= Duration::from_millis(252));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_itself_is_told() {
    let world = World::new();
    let a = touch(&world, "a");
    let held = a.lock_exclusive().await.unwrap();
    let error = a.lock_timeout(Shared, SECOND).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Timeout {
            recursive: true,
            ..
        }
    ));
    let message = error.to_string();
    let end = "held by process a for 500.0ms, by the task or thread that waited for it";
    assert!(message.ends_with(end), "{message}");

    // Whoever else waits is not, nor is the holder once it has released.
    let shared = touch(&world, "c");
    drop(held);
    let mine = shared.lock_exclusive().await.unwrap();
    let other = shared.clone();
    let waits = tokio::spawn(async move { other.lock_timeout_owned(Exclusive, SECOND).await });
    let error = waits.await.unwrap().map(drop).unwrap_err();
    assert!(matches!(
        error,
        Error::Timeout {
            recursive: false,
            ..
        }
    ));
    drop(mine);
    let held = shared.lock_shared().await.unwrap();
    let last = shared.lock_shared().await.unwrap();
    drop(last);
    let error = shared.lock_timeout(Exclusive, SECOND).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                recursive: false,
                ..
            }
        ),
        "which of the two was released is not known"
    );
    drop(held);
}

#[tokio::test]
async fn waiting_for_oneself_is_an_error_if_it_is_denied() {
    let world = World::new();
    let builder = TouchFile::builder(world.process("a")).path(PATH);
    let touch = builder.deny_recursion(true).build().unwrap();
    let held = touch.lock_shared().await.unwrap();
    drop(touch.lock_shared().await.unwrap()); // nobody waits
    drop(held);
    let held = touch.lock_exclusive().await.unwrap();
    let error = touch.lock_exclusive().await.unwrap_err();
    assert!(matches!(error, Error::Deadlock { .. }), "{error}");
    let kind = std::io::Error::from(error).kind();
    assert_eq!(kind, std::io::ErrorKind::Deadlock);
    drop(held);
    drop(touch.lock_exclusive().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beyond_the_end_of_time_is_none() {
    let world = World::new();
    let held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    let waiter = touch(&world, "a");
    let waiter = tokio::spawn(async move {
        waiter
            .lock_timeout(Exclusive, Duration::MAX)
            .await
            .map(drop)
    });
    sleep(86_400 * SECOND).await;
    drop(held);
    waiter.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiters_of_one_process_are_served_in_order() {
    let touch = touch(&World::new(), "a");
    let first = touch.lock_exclusive().await.unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let (touch, served) = (touch.clone(), served.clone());
            tokio::spawn(async move {
                let mode = if number % 3 == 0 { Exclusive } else { Shared };
                let _guard = touch.lock(mode).await.unwrap();
                served.lock().unwrap().push(number);
            })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(first);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_lets_the_next_one_in() {
    let world = World::new();
    let held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    let touch = touch(&world, "a");
    assert!(timeout(SECOND, touch.lock(Exclusive)).await.is_err());
    assert!(world.waiters(PATH).is_empty());
    let next = tokio::spawn(touch.clone().lock_exclusive_owned());
    sleep(SECOND).await;
    drop(held);
    let started = Instant::now();
    drop(next.await.unwrap().unwrap());
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_can_be_dropped_at_every_point_and_leaves_nothing() {
    // Each call yields once on its way: so there is a point to drop at between any two of them.
    for polls in 0..12 {
        let world = World::new();
        for call in [Call::Open, Call::TryLock, Call::IsCurrent] {
            world.delay_next(call, Duration::from_millis(1));
        }
        let touch = touch(&world, "a");
        {
            let mut lock = std::pin::pin!(touch.lock(Exclusive));
            for _ in 0..polls {
                let step = Duration::from_micros(500);
                if timeout(step, lock.as_mut()).await.is_ok() {
                    break;
                }
            }
        }
        assert!(
            world.holders(PATH).is_empty(),
            "dropped after {polls} steps"
        );
        assert!(
            touch.try_lock(Exclusive).await.unwrap().is_some(),
            "dropped after {polls} steps"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_reported_once_each_period() {
    let world = World::new();
    let held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let log = reports.clone();
    let touch = TouchFile::builder(world.process("a"))
        .path(PATH)
        .on_wait(2 * SECOND, move |event| {
            assert_eq!(
                (event.path().to_str(), event.mode()),
                (Some(PATH), Exclusive)
            );
            assert_eq!(event.backend(), "mock");
            log.lock().unwrap().push(event.waited().as_secs());
        })
        .build()
        .unwrap();
    assert!(
        touch
            .lock_timeout(Exclusive, 7 * SECOND)
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(*reports.lock().unwrap(), [2, 4, 6]);
    drop(held);
    reports.lock().unwrap().clear();
    drop(touch.lock_exclusive().await.unwrap());
    assert!(
        reports.lock().unwrap().is_empty(),
        "there was nothing to wait for"
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_names_who_was_in_the_way_and_for_how_long_it_was_seen_there() {
    let world = World::new();
    let _held = touch(&world, "b").lock_shared_owned().await.unwrap();
    let wait = touch(&world, "a");
    let error = wait.lock_timeout(Exclusive, 5 * SECOND).await.unwrap_err();
    let expected = format!(
        "gave up after 5.0s waiting for the exclusive lock on {PATH}, held by process b for 4.5s"
    );
    assert_eq!(error.to_string(), expected);
    let Error::Timeout { holders, .. } = error else {
        unreachable!()
    };
    assert_eq!(holders[0].seen_for, Some(Duration::from_millis(4_500)));

    // Whoever is not in the way is not named, and a holder that came later is not said to have
    // been there before.
    let _reader = touch(&world, "c").lock_shared_owned().await.unwrap();
    let wait = tokio::spawn(async move {
        let error = wait.lock_timeout(Exclusive, 5 * SECOND).await.unwrap_err();
        error.to_string()
    });
    sleep(SECOND).await;
    let _late = touch(&world, "d").lock_shared_owned().await.unwrap();
    let message = wait.await.unwrap();
    let expected = "held by process b for 4.5s, process c for 4.5s, process d";
    assert!(message.ends_with(expected), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_report_tells_who_is_in_the_way_if_it_is_asked() {
    let world = World::new();
    let _held = touch(&world, "b").lock_shared_owned().await.unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let log = reports.clone();
    let touch = TouchFile::builder(world.process("a"))
        .path(PATH)
        .on_wait(SECOND, move |event| {
            let holders = event.holders().unwrap();
            let [holder] = &holders[..] else {
                panic!("{holders:?}")
            };
            let line = format!("{holder} {:?}", holder.seen_for);
            log.lock().unwrap().push(line);
        })
        .build()
        .unwrap();
    assert!(touch.lock_timeout(Exclusive, 3 * SECOND).await.is_err());
    assert_eq!(
        *reports.lock().unwrap(),
        ["process b Some(750ms)", "process b Some(1.75s)"]
    );
}

/// A backend that counts how often it is asked who holds the lock, and may never answer.
#[derive(Clone, Debug)]
struct Asked {
    inner: MockBackend,
    times: Arc<AtomicUsize>,
    answers: bool,
}

#[async_trait]
impl LockBackend for Asked {
    type Handle = MockHandle;

    fn name(&self) -> &'static str {
        "asked"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, path: &Path, options: &OpenOptions) -> io::Result<MockHandle> {
        self.inner.open(path, options).await
    }

    async fn holders(&self, path: &Path) -> io::Result<Vec<Holder>> {
        self.times.fetch_add(1, Ordering::Relaxed);
        // As one that looks on another thread does.
        tokio::task::yield_now().await;
        if !self.answers {
            std::future::pending::<()>().await;
        }
        self.inner.holders(path).await
    }
}

fn asked(world: &World, answers: bool) -> (Arc<TouchFile<Asked>>, Arc<AtomicUsize>) {
    let times = Arc::new(AtomicUsize::new(0));
    let backend = Asked {
        inner: world.process("a"),
        times: times.clone(),
        answers,
    };
    (Arc::new(TouchFile::new(backend, PATH).unwrap()), times)
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_for_holders_where_nobody_waits_long() {
    let world = World::new();
    let (wait, times) = asked(&world, true);
    drop(wait.lock_timeout(Exclusive, SECOND).await.unwrap());
    drop(wait.lock_exclusive().await.unwrap());
    let held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    assert!(wait.try_lock(Exclusive).await.unwrap().is_none());
    let releasing = async {
        sleep(Duration::from_millis(200)).await;
        drop(held);
    };
    let (got, ()) = tokio::join!(wait.lock_timeout(Exclusive, SECOND), releasing);
    drop(got.unwrap());
    assert_eq!(times.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_that_give_up_together_look_a_few_times() {
    let world = World::new();
    let (wait, times) = asked(&world, true);
    let _held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    let waiters: Vec<_> = (0..1_000)
        .map(|_| tokio::spawn(wait.clone().lock_timeout_owned(Exclusive, 5 * SECOND)))
        .collect();
    for waiter in waiters {
        let error = waiter.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("held by process b"), "{error}");
    }
    let times = times.load(Ordering::Relaxed);
    assert!((2..20).contains(&times), "{times}");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_not_kept_waiting_by_whoever_does_not_answer() {
    let world = World::new();
    let (wait, _) = asked(&world, false);
    let _held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    for (patience, late) in [(100, 25), (60_000, 250)] {
        let patience = Duration::from_millis(patience);
        let started = Instant::now();
        let error = wait.lock_timeout(Exclusive, patience).await.unwrap_err();
        assert!(!error.to_string().contains("held"), "{error}");
        assert!(started.elapsed() <= patience + Duration::from_millis(late + 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_period_that_never_passes_is_never_reported() {
    let touch = TouchFile::builder(World::new().process("a"))
        .path(PATH)
        .on_wait(Duration::MAX, |_| unreachable!())
        .build()
        .unwrap();
    drop(touch.lock(Exclusive).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_told_that_the_file_is_stale_starts_over() {
    // As a server of NFS answers when another host has removed the file.
    let world = World::new();
    let touch = TouchFile::new(world.process("a"), PATH).unwrap();
    world.fail_next(Call::TryLock, io::ErrorKind::StaleNetworkFileHandle);
    drop(touch.lock(Exclusive).await.unwrap());
    world.fail_next(Call::TryLock, io::ErrorKind::StaleNetworkFileHandle);
    assert!(touch.try_lock(Exclusive).await.unwrap().is_some());
    assert_eq!(world.armed_faults(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_starts_over_when_its_handle_says_that_the_file_is_stale() {
    let world = World::new();
    let _held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    world.fail_next(Call::Lock, io::ErrorKind::StaleNetworkFileHandle);
    let touch = touch(&world, "a");
    let patience = touch.lock_timeout(Exclusive, SECOND);
    assert!(patience.await.unwrap_err().is_timeout());
    assert_eq!(world.armed_faults(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_holder_of_a_file_that_is_gone_is_not_waited_for() {
    let world = World::new();
    let waiter = touch(&world, "a");
    drop(waiter.lock(Exclusive).await.unwrap());
    let _held = touch(&world, "b").lock_exclusive_owned().await.unwrap();
    world.unlink(PATH).unwrap();
    drop(waiter.lock_timeout(Exclusive, SECOND).await.unwrap());
}

/// A mock's handle without a way to wait of its own.
#[derive(Debug)]
struct Plain(MockHandle);

#[async_trait]
impl LockHandle for Plain {
    async fn try_lock(&mut self, mode: LockMode) -> io::Result<Attempt> {
        self.0.try_lock(mode).await
    }

    async fn unlock(&mut self) -> io::Result<()> {
        self.0.unlock().await
    }

    async fn is_current(&self, path: &Path) -> io::Result<bool> {
        self.0.is_current(path).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_wait_of_a_handle_repeats_its_attempts() {
    let world = World::new();
    let backend = world.process("a");
    let mut handle = Plain(
        backend
            .open(PATH.as_ref(), &OpenOptions::new())
            .await
            .unwrap(),
    );
    world.refuse_next(5);
    let started = Instant::now();
    handle.lock(Exclusive).await.unwrap();
    assert_eq!(world.armed_faults(), 0);
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_millis(5) && waited <= Duration::from_millis(60),
        "{waited:?}"
    );
}
