//! Each call that can hang, one after the other.

use std::fs;
use std::future::Future;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use touchfile_core::LockMode::{Exclusive, Shared};
use touchfile_core::{Error, TouchFile};
use touchfile_flock::FlockBackend;

use crate::mounted::Mounted;
use crate::server::Call;
use crate::trial;

/// Longer than anything here takes, unless it hangs.
const FOR_EVER: Duration = Duration::from_secs(60);

const SHORT: Duration = Duration::from_millis(50);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "the_runtime_keeps_turning_while_any_call_hangs",
            the_runtime_keeps_turning_while_any_call_hangs,
        ),
        trial(
            "a_deadline_fires_while_any_call_hangs_and_nothing_is_left_behind",
            a_deadline_fires_while_any_call_hangs_and_nothing_is_left_behind,
        ),
        trial(
            "a_deadline_fires_when_a_link_leads_to_the_hanging_file_system",
            a_deadline_fires_when_a_link_leads_to_the_hanging_file_system,
        ),
        trial(
            "a_release_that_hangs_can_be_given_up_and_goes_on",
            a_release_that_hangs_can_be_given_up_and_goes_on,
        ),
        trial(
            "dropping_a_guard_waits_for_nothing_without_a_runtime",
            dropping_a_guard_waits_for_nothing_without_a_runtime,
        ),
        trial(
            "dropping_a_touch_file_does_not_wait_for_a_close_that_hangs",
            dropping_a_touch_file_does_not_wait_for_a_close_that_hangs,
        ),
        trial(
            "a_lock_that_comes_after_its_caller_has_gone_is_released",
            a_lock_that_comes_after_its_caller_has_gone_is_released,
        ),
        trial(
            "a_waiter_costs_one_thread_however_often_it_tries",
            a_waiter_costs_one_thread_however_often_it_tries,
        ),
        trial(
            "a_zero_timeout_takes_a_free_lock_and_no_held_one",
            a_zero_timeout_takes_a_free_lock_and_no_held_one,
        ),
        trial(
            "making_a_touch_file_asks_nothing_of_the_file_system",
            making_a_touch_file_asks_nothing_of_the_file_system,
        ),
        trial(
            "a_temporary_file_is_removed_when_its_touch_file_goes",
            a_temporary_file_is_removed_when_its_touch_file_goes,
        ),
        trial(
            "verifying_gives_up_when_there_is_no_answer_and_notices_a_removed_file",
            verifying_gives_up_when_there_is_no_answer_and_notices_a_removed_file,
        ),
    ]
}

type Touch = Arc<TouchFile<FlockBackend>>;

fn the_runtime_keeps_turning_while_any_call_hangs() {
    for call in [
        Call::Stat,
        Call::Open,
        Call::Statfs,
        Call::Lock,
        Call::Unlock,
    ] {
        let test = Test::new();
        test.run(async {
            let touch = test.touch("a.lock");
            test.server().stall(call);
            let turns = AtomicU32::new(0);
            let acquisition = async {
                let guard = touch.lock(Exclusive).await.unwrap();
                guard.unlock().await.unwrap();
                // On this runtime's one thread: were it blocked, nobody would end the stall.
                assert!(turns.load(Ordering::Relaxed) >= 10, "{call:?}");
            };
            let bystander = async {
                until(|| test.server().stalled() > 0).await;
                for _ in 0..10 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    turns.fetch_add(1, Ordering::Relaxed);
                }
                test.server().go_on();
            };
            tokio::join!(acquisition, bystander);
        });
        test.nothing_is_left();
    }
}

fn a_deadline_fires_while_any_call_hangs_and_nothing_is_left_behind() {
    for call in [Call::Stat, Call::Open, Call::Statfs, Call::Lock] {
        for opened_before in [false, true] {
            let test = Test::new();
            test.run(async {
                let touch = test.touch("a.lock");
                if opened_before {
                    // The call is one on a handle that was idle.
                    touch.lock(Exclusive).await.unwrap().unlock().await.unwrap();
                }
                if opened_before && matches!(call, Call::Open | Call::Statfs) {
                    return; // it is not called again
                }
                test.server().stall(call);
                test.times_out(&touch).await;
                test.server().go_on();
                // The touch file itself is none the worse.
                let again = tokio::time::timeout(FOR_EVER, touch.lock(Exclusive));
                again.await.unwrap().unwrap().unlock().await.unwrap();
            });
            test.nothing_is_left();
        }
    }
}

fn a_deadline_fires_when_a_link_leads_to_the_hanging_file_system() {
    let test = Test::new();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(test.mounted.path(""), elsewhere.path().join("link")).unwrap();
    test.run(async {
        test.server().stall(Call::Stat);
        let path = elsewhere.path().join("link/a.lock");
        let touch = TouchFile::new(FlockBackend::new(), path).unwrap();
        test.times_out(&touch).await;
        test.server().go_on();
    });
    test.nothing_is_left();
}

fn a_release_that_hangs_can_be_given_up_and_goes_on() {
    let test = Test::new();
    test.run(async {
        let touch = test.touch("a.lock");
        let guard = touch.lock(Exclusive).await.unwrap();
        test.server().stall(Call::Unlock);
        assert!(tokio::time::timeout(SHORT, guard.unlock()).await.is_err());
        until(|| test.server().stalled() == 1).await;
        assert_eq!(test.server().holders(), 1);
        // Nobody else of this process gets in before it is released.
        assert!(touch.try_lock(Shared).await.unwrap().is_none());
        test.server().go_on();
        let next = tokio::time::timeout(FOR_EVER, touch.lock(Exclusive));
        drop(next.await.unwrap().unwrap());
    });
    test.nothing_is_left();
}

fn dropping_a_guard_waits_for_nothing_without_a_runtime() {
    for call in [Call::Unlock, Call::Close] {
        let test = Test::new();
        let touch = test.touch("a.lock");
        let guard = touch.blocking().lock_exclusive().unwrap();
        test.server().stall(call);
        drop(guard); // would hang here
        until_now(|| test.server().stalled() == 1);
        test.server().go_on();
        drop(touch);
        test.nothing_is_left();
    }
}

fn dropping_a_touch_file_does_not_wait_for_a_close_that_hangs() {
    let test = Test::new();
    test.run(async {
        let touch = test.touch("a.lock");
        touch.lock(Exclusive).await.unwrap().unlock().await.unwrap();
        test.server().stall(Call::Close);
        drop(touch);
        until(|| test.server().stalled() == 1).await;
        assert_eq!(test.server().holders(), 0);
        test.server().go_on();
    });
    test.nothing_is_left();
}

fn a_lock_that_comes_after_its_caller_has_gone_is_released() {
    let test = Test::new();
    test.run(async {
        let touch = test.touch("a.lock");
        test.server().stall(Call::Lock);
        test.times_out(&touch).await;
        test.server().go_on(); // grants it
        let other = test.touch("a.lock");
        let lock = tokio::time::timeout(FOR_EVER, other.lock(Exclusive));
        drop(lock.await.unwrap().unwrap());
    });
    test.nothing_is_left();
}

fn a_waiter_costs_one_thread_however_often_it_tries() {
    let test = Test::new();
    test.run(async {
        let (holder, waiter) = (test.touch("a.lock"), test.touch("a.lock"));
        let held = holder.lock(Exclusive).await.unwrap();
        let waiting = async { drop(waiter.lock(Exclusive).await.unwrap()) };
        let watching = async {
            for _ in 0..50 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(threads() <= test.threads + 2, "{} threads", threads());
            }
            held.unlock().await.unwrap();
        };
        tokio::join!(waiting, watching);
    });
    test.nothing_is_left();
}

fn a_zero_timeout_takes_a_free_lock_and_no_held_one() {
    let test = Test::new();
    test.run(async {
        let (one, other) = (test.touch("a.lock"), test.touch("a.lock"));
        for _ in 0..20 {
            // Newly opened the first time, and from an idle handle then.
            let guard = one.lock_timeout(Exclusive, Duration::ZERO).await.unwrap();
            let held = other.lock_timeout(Exclusive, Duration::ZERO).await;
            assert!(held.unwrap_err().is_timeout());
            guard.unlock().await.unwrap();
        }
        test.server().stall(Call::Lock);
        let hung = one.lock_timeout(Exclusive, Duration::ZERO).await;
        assert!(hung.unwrap_err().is_timeout());
        test.server().go_on();
    });
    test.nothing_is_left();
}

fn making_a_touch_file_asks_nothing_of_the_file_system() {
    let test = Test::new();
    test.server().stall(Call::Stat);
    drop(test.touch("a.lock")); // would hang here
    let missing = test.touch("no/such/place/a.lock");
    assert_eq!(test.server().stalled(), 0);
    test.server().go_on();
    let error = missing.blocking().lock_exclusive().unwrap_err();
    assert!(matches!(error, Error::InvalidPath { .. }), "{error:?}");
    drop(missing);
    test.nothing_is_left();
}

fn a_temporary_file_is_removed_when_its_touch_file_goes() {
    let test = Test::new();
    test.run(async {
        let builder = TouchFile::builder(FlockBackend::new());
        let touch = builder.temporary_in(test.mounted.path("")).build().unwrap();
        assert_eq!(test.server().files(), 1);
        test.server().stall(Call::Unlock);
        drop(touch.lock(Exclusive).await.unwrap());
        until(|| test.server().stalled() == 1).await;
        drop(touch); // while its own lock is not released yet
        test.server().go_on();
        until(|| test.server().files() == 0).await;
    });
    test.nothing_is_left();
}

fn verifying_gives_up_when_there_is_no_answer_and_notices_a_removed_file() {
    let test = Test::new();
    test.run(async {
        let touch = test.touch("a.lock");
        let guard = touch.lock(Exclusive).await.unwrap();
        guard.verify().await.unwrap();
        test.server().stall(Call::Stat);
        // Time passes as soon as there is nothing to do, which is when the call hangs.
        tokio::time::pause();
        let error = guard.verify().await.unwrap_err();
        tokio::time::resume();
        assert!(matches!(error, Error::Transient { .. }), "{error:?}");
        test.server().go_on();
        guard.verify().await.unwrap();
        fs::remove_file(touch.path()).unwrap();
        let error = guard.verify().await.unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error:?}");
        guard.unlock().await.unwrap();
    });
    test.nothing_is_left();
}

/// A mount, and what this process had before it was used.
struct Test {
    mounted: Mounted,
    threads: usize,
    descriptors: usize,
}

impl Test {
    fn new() -> Self {
        let mounted = Mounted::new().unwrap();
        // The kernel and the server have greeted each other after this, and this thread has what it
        // keeps for waiting.
        let touch = TouchFile::new(FlockBackend::new(), mounted.path("first.lock")).unwrap();
        touch.blocking().lock_exclusive().unwrap().unlock().unwrap();
        drop(touch);
        fs::remove_file(mounted.path("first.lock")).unwrap();
        until_now(|| mounted.server.open_files() == 0 && !has_keepers());
        let (threads, descriptors) = (threads(), descriptors());
        Self {
            mounted,
            threads,
            descriptors,
        }
    }

    fn server(&self) -> &crate::server::Server {
        &self.mounted.server
    }

    fn touch(&self, name: &str) -> Touch {
        Arc::new(TouchFile::new(FlockBackend::new(), self.mounted.path(name)).unwrap())
    }

    /// The deadline of `touch` fires while a call hangs, and not because it came back.
    async fn times_out(&self, touch: &TouchFile<FlockBackend>) {
        let mut timeout = SHORT;
        // On a busy machine the call may not have been begun by then, and it is not begun later.
        while self.server().stalled() == 0 {
            assert!(timeout < FOR_EVER, "nothing hangs");
            let started = Instant::now();
            let error = touch.lock_timeout(Exclusive, timeout).await.unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert!(started.elapsed() >= timeout);
            timeout *= 2;
        }
    }

    /// On a runtime with one thread, which is gone afterwards.
    fn run(&self, test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(test);
    }

    /// No lock, no file that is open, no thread and no descriptor.
    fn nothing_is_left(&self) {
        let server = self.server();
        until_now(|| server.holders() == 0 && server.open_files() == 0);
        until_now(|| threads() <= self.threads);
        until_now(|| descriptors() <= self.descriptors);
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(FOR_EVER, waiting).await.unwrap();
}

#[track_caller]
fn until_now(mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < FOR_EVER, "it never came true");
        thread::sleep(Duration::from_millis(1));
    }
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Whether there is a thread that has a handle.
fn has_keepers() -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
    let mut names = names.filter_map(Result::ok); // it may be gone by now
    names.any(|name| name.trim() == "touchfile-call")
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
