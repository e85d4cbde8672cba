//! Deadlines and what a wait costs, while another user does all that it can with twelve processes.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use touchfile_core::{Error, LockMode, TouchFile};
use touchfile_fcntl::FcntlBackend;

use super::attack::Attack;
use super::{lock_file, processor_time, queue_name, touch_at};

/// The word that makes this program wait in vain, again and again.
pub(crate) const WAIT: &str = "wait-in-vain";

/// How many processes the other user has.
const PROCESSES: usize = 12;

/// How late a deadline is to be at most, besides what the scheduler makes of it.
const LATE: Duration = Duration::from_millis(10);

/// A deadline that is as late as this is not kept.
const TOO_LATE: Duration = Duration::from_millis(500);

/// What a storm of events may cost, of a core.
const COST: f64 = 0.05;

/// How many holders a message is about at most, and how many waiters.
const MOST: usize = 64;

const ROUNDS: usize = 8;
const TIMEOUT: Duration = Duration::from_millis(600);

/// How many threads tell what the scheduler does. It is no more regular for one thread than for another.
const SLEEPERS: usize = 4;

/// Waits in vain, beside threads that sleep as long. Prints the processor time that was used for each
/// second, and how late each wait and each sleep was.
pub(crate) fn wait(backend: &str, path: &Path) -> ExitCode {
    let (mut late, mut slept) = (Vec::new(), Vec::new());
    let (started, before) = (Instant::now(), processor_time());
    for _ in 0..ROUNDS {
        let all = Barrier::new(SLEEPERS + 1);
        thread::scope(|threads| {
            let sleep = || {
                all.wait();
                let started = Instant::now();
                thread::sleep(TIMEOUT);
                if backend == "fcntl" {
                    // The kernel looks through all locks of a file at each close of it. A wait has two
                    // descriptors.
                    drop([File::open(path), File::open(path)]);
                }
                started.elapsed() - TIMEOUT
            };
            let sleepers = [(); SLEEPERS].map(|()| threads.spawn(sleep));
            all.wait();
            late.push(match backend {
                "flock" => in_vain(&touch_at(path)),
                _ => in_vain(&TouchFile::new(FcntlBackend::new(), path).unwrap()),
            });
            slept.extend(sleepers.map(|sleeper| sleeper.join().unwrap()));
        });
    }
    let used = (processor_time() - before).as_secs_f64() / started.elapsed().as_secs_f64();
    let micros = |times: Vec<Duration>| {
        let words: Vec<String> = times.iter().map(|t| t.as_micros().to_string()).collect();
        words.join(" ")
    };
    println!("{used}\n{}\n{}", micros(late), micros(slept));
    ExitCode::SUCCESS
}

/// Waits for a lock that is held, and returns how much too long.
fn in_vain<B: touchfile_core::LockBackend>(touch: &TouchFile<B>) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let started = Instant::now();
    let waited = runtime.block_on(touch.lock_timeout(LockMode::Exclusive, TIMEOUT));
    let elapsed = started.elapsed();
    let Err(Error::Timeout { holders, .. }) = waited else {
        panic!("{waited:?}")
    };
    // Whoever says that it waits is told of after the holders, and not without an end.
    assert!(
        holders.is_sorted_by_key(|holder| holder.waiting),
        "{holders:?}"
    );
    assert!(holders.len() <= 2 * MOST, "{}", holders.len());
    elapsed - TIMEOUT
}

/// The figures of a process that waits under an attack.
#[derive(Debug)]
struct Figures {
    /// Of a core.
    used: f64,
    late: Late,
    /// Those of the threads that only sleep.
    control: Late,
}

/// How late deadlines were: half of them, three in four, and all.
#[derive(Debug)]
struct Late {
    median: Duration,
    upper_quartile: Duration,
    latest: Duration,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            upper_quartile,
            latest,
        } = self;
        write!(f, "late by {median:?}, {upper_quartile:?}, {latest:?}")
    }
}

impl Late {
    fn parse(line: &str) -> Self {
        let words = line.split_whitespace();
        let mut times: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
        times.sort_unstable();
        let at = |part: usize| Duration::from_micros(times[(times.len() - 1) * part / 4]);
        Self {
            median: at(2),
            upper_quartile: at(3),
            latest: at(4),
        }
    }
}

fn measure(backend: &str, attack: Option<&str>) -> Figures {
    let (_dir, path) = lock_file();
    let flock = touch_at(&path);
    let fcntl = TouchFile::new(FcntlBackend::new(), &path).unwrap();
    let _held = flock.blocking().lock_exclusive().unwrap();
    let _too = fcntl.blocking().lock(LockMode::Shared).unwrap();
    let target = match attack {
        Some("connect") => queue_name(&path),
        _ => path.to_str().unwrap().to_owned(),
    };
    let _attack: Vec<_> = (0..PROCESSES)
        .filter_map(|_| Some(Attack::start(attack?, &target)))
        .collect();
    let waited = Command::new(std::env::current_exe().unwrap())
        .args([WAIT, backend, path.to_str().unwrap()])
        .output()
        .unwrap();
    let text = String::from_utf8(waited.stdout).unwrap();
    let mut lines = text.lines();
    let mut next = || lines.next().expect("three lines");
    Figures {
        used: next().parse().unwrap(),
        late: Late::parse(next()),
        control: Late::parse(next()),
    }
}

/// A load, and the way of locking of those who wait under it.
struct Load {
    backend: &'static str,
    attack: Option<&'static str>,
    /// Whether the wait is to cost no more than [`COST`]. Other loads make all calls dearer.
    is_cheap: bool,
}

const LOADS: [Load; 9] = [
    Load::cheap(None),
    Load::dear("flock", "compute"),
    Load::cheap(Some("open and close")),
    Load::cheap(Some("open and close now and then")),
    Load::dear("flock", "connect"),
    Load::cheap(Some("lock and unlock")),
    Load::dear("fcntl", "have many locks"),
    Load::dear("flock", "have many descriptors"),
    Load::dear("flock", "say that it waits many times"),
];

impl Load {
    const fn cheap(attack: Option<&'static str>) -> Self {
        Self {
            backend: "flock",
            attack,
            is_cheap: true,
        }
    }

    const fn dear(backend: &'static str, attack: &'static str) -> Self {
        Self {
            backend,
            attack: Some(attack),
            is_cheap: false,
        }
    }
}

/// Before the reads were limited, a deadline of 2 s was 4 s late, and one process that opens and closes the
/// file cost 86 % of a core.
///
/// Some milliseconds more or less are the scheduler's choice, also on an idle machine: among the processes
/// of others a wait, which does more than to sleep, is put behind them. So whether a deadline is late by no
/// more than [`LATE`] is printed, and a deadline that is late by [`TOO_LATE`] fails the test.
pub(crate) fn kept() {
    for Load {
        backend,
        attack,
        is_cheap,
    } in LOADS
    {
        let is_kept = (0..3).any(|_| {
            let Figures {
                used,
                late,
                control,
            } = measure(backend, attack);
            let is_within = |most| {
                late.median <= control.median + most
                    && late.upper_quartile <= control.upper_quartile + most
            };
            let verdict = if is_within(LATE) { "within" } else { "beyond" };
            let percent = 100.0 * used;
            eprintln!(
                "{backend}, {attack:?}: {late}; who only sleeps: {control}; {verdict} {LATE:?} of that; \
                 {percent:.2} % of a core"
            );
            assert!(used < COST || !is_cheap, "{attack:?} costs {percent:.2} %");
            is_within(TOO_LATE)
        });
        assert!(is_kept, "{attack:?}");
    }
}
