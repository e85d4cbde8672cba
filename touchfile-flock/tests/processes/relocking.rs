//! Law 8: a waiter gets the lock beside programs that unlock it and soon lock it again, as soon as a thread
//! that is blocked in the kernel.

use std::fs::File;
use std::hint;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tempfile::tempdir;
use touchfile_core::{LockMode, TouchFile};
use touchfile_flock::FlockBackend;

use crate::trial;
use crate::worker::{Worker, belongings, has_no_more_than, say, wait_until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_program_that_locks_again_starves_nobody", || {
            beside(1, LockMode::Exclusive);
        }),
        trial("four_such_programs_starve_nobody", || {
            beside(4, LockMode::Exclusive);
        }),
        trial("a_reader_is_not_starved_either", || {
            beside(1, LockMode::Shared);
        }),
        trial(
            "who_gives_up_a_wait_in_the_kernel_leaves_nothing",
            giving_up,
        ),
    ]
}

const ROUNDS: u32 = 10;

/// For how long such a program leaves the lock free: a thread that is blocked in the kernel is woken within that
/// more often than not. For a microsecond or so, which is what locking again at once takes, such a thread has
/// to be lucky as well, and on an idle machine it waits for seven seconds on average.
const FREE: Duration = Duration::from_micros(50);

/// A wait that only polls takes 32 to 64 times as long as a thread that is blocked in the kernel. One that has
/// such a thread takes as long as that.
const MOST: u32 = 3;

/// What the scheduler of a busy machine may add. A wait that only polls takes twelve seconds or more in
/// all rounds.
const SLACK: Duration = Duration::from_secs(2);

/// How long a wait may take, so that a wait that is never over ends.
const LONGEST: Duration = Duration::from_secs(60);

fn beside(programs: usize, mode: LockMode) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut foreign: Vec<Worker> = (0..programs)
        .map(|_| Worker::with_role("lock again and again", &path))
        .collect();
    for worker in &mut foreign {
        assert_eq!(worker.answer(), "running");
    }
    let touch = TouchFile::new(FlockBackend::new(), &path).unwrap();
    let (mut ours, mut blocked) = (Duration::ZERO, Duration::ZERO);
    let probe = File::open(&path).unwrap();
    for _ in 0..ROUNDS {
        until_held(&probe);
        let started = Instant::now();
        let guard = touch.blocking().lock_timeout(mode, LONGEST).unwrap();
        ours += started.elapsed();
        drop(guard);

        until_held(&probe);
        let started = Instant::now();
        fs4::FileExt::lock(&probe).unwrap();
        blocked += started.elapsed();
        fs4::FileExt::unlock(&probe).unwrap();
    }
    eprintln!("{programs} programs, {mode}: {ours:?}; blocked in the kernel: {blocked:?}");
    assert!(ours <= MOST * blocked + SLACK);
}

fn until_held(probe: &File) {
    wait_until("somebody else holds it", || {
        let is_free = fs4::FileExt::try_lock(probe).is_ok();
        if is_free {
            fs4::FileExt::unlock(probe).unwrap();
        }
        !is_free
    });
}

fn giving_up() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut worker = Worker::with_role("give up in the kernel", &path);
    assert_eq!(worker.answer(), "nothing left");
    worker.finish();
}

/// Gives up waits for which a thread is blocked in the kernel, while one holder keeps the lock and while
/// another locks again and again.
pub(crate) fn give_up_in_the_kernel(path: &Path) {
    let touch = TouchFile::new(FlockBackend::new(), path).expect("a touch file");
    let file = File::create(path).expect("a file");
    let mut before = None;
    for round in 0..200 {
        fs4::FileExt::lock(&file).expect("a lock");
        let timeout = Duration::from_millis(14 + round % 8);
        let waited = touch.blocking().lock_timeout(LockMode::Exclusive, timeout);
        assert!(waited.expect_err("it is held").is_timeout());
        fs4::FileExt::unlock(&file).expect("a release");
        // There is no other waiter, so only a wait that was given up could take it now.
        fs4::FileExt::try_lock(&file).expect("nobody has it");
        fs4::FileExt::unlock(&file).expect("a release");
        before.get_or_insert_with(belongings);
    }
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs4::FileExt::lock(&file).expect("a lock");
                thread::sleep(Duration::from_millis(5));
                fs4::FileExt::unlock(&file).expect("a release");
            }
        });
        for round in 0..200 {
            let timeout = Duration::from_millis(14 + round % 8);
            let waited = touch.blocking().lock_timeout(LockMode::Exclusive, timeout);
            drop(waited); // it may have been granted or not
        }
        stop.store(true, Ordering::Relaxed);
    });
    fs4::FileExt::try_lock(&file).expect("nobody has it");
    fs4::FileExt::unlock(&file).expect("a release");
    if before.as_ref().is_some_and(has_no_more_than) {
        say("nothing left");
    } else {
        say(&format!("before: {before:?}, after: {:?}", belongings()));
    }
}

/// Locks and unlocks like a program without touchfile, and leaves the lock [`FREE`] for a moment, until its
/// input ends.
pub(crate) fn lock_again_and_again(path: &Path) {
    let file = File::create(path).expect("a file");
    let input = thread::spawn(|| io::stdin().lines().count());
    say("running");
    while !input.is_finished() {
        fs4::FileExt::lock(&file).expect("a lock");
        thread::sleep(Duration::from_millis(20));
        fs4::FileExt::unlock(&file).expect("a release");
        let free = Instant::now();
        while free.elapsed() < FREE {
            hint::spin_loop();
        }
    }
}
