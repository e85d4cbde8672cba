//! What a user without rights on a lock file can do to those who have them, as far as waiting goes.
//!
//! Each attack is a process of another user. Each test prints a figure with the attack and one without,
//! and fails if the attack pays. They need root, to be two users, and are ignored without.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attack;
mod deadlines;
mod identity;
mod removal;

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use tempfile::{TempDir, tempdir};
use touchfile_core::{LockMode, TouchFile};
use touchfile_file::FileId;
use touchfile_flock::FlockBackend;

use self::attack::Attack;

fn main() -> ExitCode {
    if attack::is_asked_for() {
        return attack::run();
    }
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // Without the thread in the kernel, which would hide that there is no order.
        [ORDER, path] => {
            println!("{}", overtakings(Path::new(path)));
            return ExitCode::SUCCESS;
        }
        [RELEASE, path] => {
            println!("{}", release(Path::new(path)).as_micros());
            return ExitCode::SUCCESS;
        }
        [LOG, path] => return count_warnings(Path::new(path)),
        [deadlines::WAIT, backend, path] => return deadlines::wait(backend, Path::new(path)),
        [identity::TAKE, path] => return identity::take(Path::new(path)),
        [identity::GIVE_UP, path] => return identity::give_up(Path::new(path)),
        _ => {}
    }
    let is_root = rustix::process::geteuid().is_root();
    let trials: [(&str, fn()); 9] = [
        ("a_release_does_not_wait_for_strangers", flood),
        ("a_storm_of_events_delays_no_deadline", storm),
        (
            "order_is_kept_if_a_stranger_takes_the_queue_s_name",
            taken_name,
        ),
        ("a_taken_name_is_logged_once", logged_name),
        (
            "under_every_load_a_deadline_is_kept_and_a_storm_of_events_costs_little",
            deadlines::kept,
        ),
        (
            "nothing_is_removed_on_release_that_was_not_locked",
            removal::exchanged_directory,
        ),
        (
            "nothing_is_created_behind_a_link_where_links_are_refused",
            removal::planted_link,
        ),
        (
            "root_s_queue_is_not_handed_to_the_user_that_a_process_becomes",
            identity::given_up_root,
        ),
        (
            "who_cannot_tell_users_apart_follows_none",
            identity::namespaced,
        ),
    ];
    let trials = trials.map(|(sentence, test)| {
        let trial = Trial::test(sentence, move || {
            test();
            Ok(())
        });
        let kind = if is_root { "" } else { "skipped, needs root" };
        trial.with_ignored_flag(!is_root).with_kind(kind)
    });
    // One at a time: they measure.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

type Touch = TouchFile<FlockBackend>;

fn touch_at(path: &Path) -> Touch {
    TouchFile::new(FlockBackend::new(), path).unwrap()
}

/// A lock file that others may read, which is more than most attacks need.
fn lock_file() -> (TempDir, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("a.lock");
    File::create(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    (dir, path)
}

/// The abstract name of root's queue for this file.
fn queue_name(path: &Path) -> String {
    let id = FileId::from_file(&File::open(path).unwrap()).unwrap();
    format!("touchfile/1/0/flock/{id}")
}

fn is_in_proc(name: &str) -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    sockets.lines().any(|line| line.ends_with(name))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The words that make this program wait for a lock, have it for a moment, and say how long the release
/// took.
const RELEASE: &str = "time-a-release";

fn release(path: &Path) -> Duration {
    let touch = touch_at(path);
    let guard = touch.blocking().lock_exclusive().unwrap();
    thread::sleep(Duration::from_millis(50)); // the flood arrives
    let started = Instant::now();
    drop(guard);
    started.elapsed()
}

/// Before 64 accepts were the limit, this lasted as long as the attack.
fn flood() {
    // With a directory, strangers have nothing to connect to.
    let time = |attackers: usize| {
        let (_dir, path) = lock_file();
        let touch = touch_at(&path);
        let held = touch.blocking().lock_exclusive().unwrap();
        // It is the head of the queue, and hands over at the release.
        let waiter = Command::new(env::current_exe().unwrap())
            .args([RELEASE, path.to_str().unwrap()])
            .env("TOUCHFILE_WAIT_WITHOUT", "directory")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let name = queue_name(&path);
        wait_until("there is a queue", || is_in_proc(&name));
        let _attack: Vec<_> = (0..attackers)
            .map(|_| Attack::start("connect", &name))
            .collect();
        drop(held);
        let told = waiter.wait_with_output().unwrap().stdout;
        let micros = String::from_utf8(told).unwrap();
        Duration::from_micros(micros.trim().parse().unwrap())
    };
    let (control, attacked) = (time(0), time(3));
    eprintln!("a release takes {control:?}, and {attacked:?} under the attack");
    assert!(attacked < control + Duration::from_millis(500));
}

/// Before the reads were limited, a deadline of 2 s was 4 s late.
fn storm() {
    let time = |attack: Option<&str>| {
        let (_dir, path) = lock_file();
        let (first, second) = (touch_at(&path), touch_at(&path));
        let _held = first.blocking().lock_exclusive().unwrap();
        let other = path.with_extension("other");
        fs::copy(&path, &other).unwrap();
        let target = match attack {
            Some("same file") => path.as_path(),
            _ => other.as_path(),
        };
        let attackers = if attack.is_some() { 12 } else { 0 };
        let _attack: Vec<_> = (0..attackers)
            .map(|_| Attack::start("open and close", target.to_str().unwrap()))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let started = Instant::now();
        let processor = processor_time();
        let patience = Duration::from_secs(2);
        let waited = runtime.block_on(second.lock_timeout(LockMode::Exclusive, patience));
        assert!(waited.unwrap_err().is_timeout());
        (started.elapsed() - patience, processor_time() - processor)
    };
    let (idle, busy, attacked) = (
        time(None),
        time(Some("other file")),
        time(Some("same file")),
    );
    eprintln!(
        "late by, and processor time in 2 s: {idle:?} idle, {busy:?} on a machine as busy, {attacked:?} under the attack"
    );
    assert!(attacked.0 < busy.0 + Duration::from_secs(1));
    assert!(attacked.1 < busy.1 + Duration::from_millis(500));
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

const ORDER: &str = "count-overtakings";

/// Before there was a socket in a directory, the name was the only place to meet.
fn taken_name() {
    let count = |attack: bool, without: &str| {
        let (_dir, path) = lock_file();
        let _attack = attack.then(|| Attack::start("take the name", &queue_name(&path)));
        let counted = Command::new(env::current_exe().unwrap())
            .args([ORDER, path.to_str().unwrap()])
            .env("TOUCHFILE_WAIT_WITHOUT", without)
            .output()
            .unwrap();
        let counted = String::from_utf8(counted.stdout).unwrap();
        counted.trim().parse::<u32>().unwrap()
    };
    // Who runs when is the scheduler's choice: each figure is the least of some runs.
    let least = |attack, without| (0..5).map(|_| count(attack, without)).min().unwrap_or(0);
    let control = least(false, "kernel");
    let attacked = least(true, "kernel");
    let nowhere = least(true, "kernel,directory");
    eprintln!(
        "a waiter is overtaken {control} times in {ROUNDS}, {attacked} times under the attack, and {nowhere} \
         times where there is no directory for a queue"
    );
    assert!(attacked <= control + 2 * ROUNDS);
    assert!(nowhere <= control + 2 * ROUNDS);
}

/// The words that make this program wait in vain three times, and print the warnings of that.
const LOG: &str = "count-warnings";

fn count_warnings(path: &Path) -> ExitCode {
    tracing::subscriber::set_global_default(Warnings).unwrap();
    for _ in 0..3 {
        let touch = touch_at(path);
        let waited = touch
            .blocking()
            .lock_timeout(LockMode::Exclusive, Duration::from_millis(20));
        assert!(waited.unwrap_err().is_timeout());
    }
    ExitCode::SUCCESS
}

/// Prints the fields of each warning in a line.
struct Warnings;

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields(String);

        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{}={value:?} ", field.name());
            }
        }

        let mut fields = Fields(String::new());
        event.record(&mut fields);
        println!("{}", fields.0);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

fn logged_name() {
    let told = |attack: bool, without: &str| {
        let (_dir, path) = lock_file();
        let touch = touch_at(&path);
        let _held = touch.blocking().lock_exclusive().unwrap();
        let _attack = attack.then(|| Attack::start("take the name", &queue_name(&path)));
        let waited = Command::new(env::current_exe().unwrap())
            .args([LOG, path.to_str().unwrap()])
            .env("TOUCHFILE_WAIT_WITHOUT", without)
            .output()
            .unwrap();
        assert!(waited.status.success());
        let lines = String::from_utf8(waited.stdout).unwrap();
        let is_told = |line: &&str| line.contains("taken the name") && line.contains("uid=65534");
        (lines.lines().filter(is_told).count(), lines)
    };
    for (attack, without, times) in [
        (true, "directory", 1),
        (true, "", 0),
        (false, "directory", 0),
    ] {
        let (count, lines) = told(attack, without);
        eprintln!("taken: {attack}, without {without:?}: told {count} times in three waits");
        assert_eq!(count, times, "{lines}");
    }
}

const ROUNDS: u32 = 20;

/// How often a holder that locks again at once overtakes somebody who waits.
fn overtakings(path: &Path) -> u32 {
    let (holder, waiter) = (touch_at(path), touch_at(path));
    let overtakings = AtomicU32::new(0);
    let (waits, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let guard = holder.blocking().lock_exclusive().unwrap();
                thread::sleep(Duration::from_millis(3));
                if waits.load(Ordering::Relaxed) {
                    overtakings.fetch_add(1, Ordering::Relaxed);
                }
                drop(guard);
            }
        });
        for _ in 0..ROUNDS {
            thread::sleep(Duration::from_millis(10));
            waits.store(true, Ordering::Relaxed);
            let guard = waiter
                .blocking()
                .lock_timeout(LockMode::Exclusive, Duration::from_secs(2));
            waits.store(false, Ordering::Relaxed);
            drop(guard);
        }
        stop.store(true, Ordering::Relaxed);
    });
    overtakings.load(Ordering::Relaxed)
}
