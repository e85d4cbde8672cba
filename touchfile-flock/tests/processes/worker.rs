//! Worker processes: their roles and commands, and how a test uses them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use touchfile_core::{LockMode, OwnedBlockingLockGuard, TouchFile};
use touchfile_flock::FlockBackend;
use touchfile_testkit::worker::{self, Commands, reply, this_program};

use crate::{bad_input, cancelling, forking, load, notifying, relocking, waiting};

pub(crate) type Touch = TouchFile<FlockBackend>;
pub(crate) type Held = OwnedBlockingLockGuard<FlockBackend>;

/// How long a worker may take to reply or to end. The slowest need a few seconds.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

const ROLE: &str = "TOUCHFILE_TEST_ROLE";
const LOCK: &str = "TOUCHFILE_TEST_LOCK";

/// The role of this process, if it is a worker.
pub(crate) fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Runs this process in its role.
pub(crate) fn run(role: &str) -> ExitCode {
    let path = env::var_os(LOCK).expect("a worker has the path of its lock file");
    let path = Path::new(&path);
    match role {
        "execute commands" => execute_commands(path, false),
        "execute commands and remove" => execute_commands(path, true),
        "hold all" => notifying::hold_all(path),
        "increment" => load::increment(path),
        "increment under two locks" => load::increment_under_two_locks(path),
        "bad input" => bad_input::meet_all(path),
        "cancel" => cancelling::cancel_many(path),
        "fork" => forking::fork_while_holding(path),
        "give up in the kernel" => relocking::give_up_in_the_kernel(path),
        "lock again and again" => relocking::lock_again_and_again(path),
        "runtimes" => waiting::wait_in_many_runtimes(path),
        "wait and keep a wait" => notifying::wait_and_keep_a_wait(path),
        "wait in threads" => notifying::wait_in_threads(path),
        "wait in two runtimes" => notifying::wait_in_two_runtimes(path),
        "wait without a reactor" => waiting::wait_without_a_reactor(path),
        other => unreachable!("nobody has the role {other:?}"),
    }
    ExitCode::SUCCESS
}

/// Executes commands until standard input ends.
fn execute_commands(path: &Path, remove: bool) {
    let touch = TouchFile::builder(FlockBackend::new())
        .path(path)
        .remove_on_release(remove);
    let touch = Arc::new(touch.build().expect("a touch file"));
    let mut guard: Option<Held> = None;
    for line in commands() {
        let mut words = line.split(' ');
        let command = words.next().unwrap_or_default();
        let mode = words.next().map_or(LockMode::Exclusive, |word| {
            word.parse().expect("the word after a command is a mode")
        });
        let answer = match command {
            "lock" => {
                guard = Some(touch.clone().blocking_owned().lock(mode).expect("a lock"));
                "held"
            }
            "try" => {
                guard = touch
                    .clone()
                    .blocking_owned()
                    .try_lock(mode)
                    .expect("an attempt");
                if guard.is_some() { "held" } else { "busy" }
            }
            "timeout" => {
                let timeout = Duration::from_millis(50);
                match touch.clone().blocking_owned().lock_timeout(mode, timeout) {
                    Ok(held) => {
                        guard = Some(held);
                        "held"
                    }
                    Err(error) if error.is_timeout() => "timeout",
                    Err(error) => unreachable!("{error}"),
                }
            }
            "unlock" => {
                guard
                    .take()
                    .expect("a lock to release")
                    .unlock()
                    .expect("a release");
                "released"
            }
            "unlock-without-descriptors" => {
                let guard = guard.take().expect("a lock to release");
                without_descriptors(|| guard.unlock()).expect("a release");
                "released"
            }
            "drop" => {
                guard = None;
                "released"
            }
            "fork-with-an-open-file" => forking::fork_with_an_open_file(path),
            "fork-with-a-temporary" => forking::fork_with_a_temporary(),
            "fork-and-wait" => forking::fork_and_wait(&touch),
            "fork-and-drop" => forking::fork_and_drop(&mut guard),
            "fork-and-unlock" => forking::fork_and_unlock(&mut guard),
            "fork-and-try" => forking::fork_and_try(&touch),
            "lock-in-a-storm" => forking::lock_and_unlock_in_a_storm(&touch),
            other => unreachable!("there is no command {other:?}"),
        };
        say(answer);
    }
    drop(guard);
}

/// The commands of the parent.
pub(crate) fn commands() -> impl Iterator<Item = String> {
    let commands = Commands::new().expect("a descriptor");
    commands.map(|command| command.expect("standard input is text"))
}

/// Replies to the parent.
pub(crate) fn say(line: &str) {
    reply(line).expect("the parent reads");
}

/// Calls a function while this process cannot open any descriptor.
fn without_descriptors<T>(something: impl FnOnce() -> T) -> T {
    let usual = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..usual
    };
    setrlimit(Resource::Nofile, none).expect("a lower limit");
    let done = something();
    setrlimit(Resource::Nofile, usual).expect("the limit that it had");
    done
}

/// A worker, as its parent sees it. It ends with its standard input, and is killed when this is dropped.
pub(crate) struct Worker(worker::Worker);

impl Worker {
    /// A worker that executes commands on the lock file at `path`.
    pub(crate) fn new(path: &Path) -> Self {
        Self::with_role("execute commands", path)
    }

    pub(crate) fn with_role(role: &str, path: &Path) -> Self {
        Self::start(
            &mut this_program().expect("this binary has a path"),
            role,
            path,
        )
    }

    /// A worker that runs below a program such as strace(1), which gets its command line.
    pub(crate) fn under(program: &[&str], role: &str, path: &Path) -> Self {
        let this = this_program().expect("this binary has a path");
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(this.get_program());
        Self::start(&mut command, role, path)
    }

    fn start(command: &mut Command, role: &str, path: &Path) -> Self {
        Self::from_command(command.env(ROLE, role).env(LOCK, path))
    }

    /// Another program, which replies with lines that begin with `@touchfile `.
    pub(crate) fn from_command(command: &mut Command) -> Self {
        Self(worker::Worker::spawn(command).expect("a child process"))
    }

    /// Sends a command, and does not wait for the reply.
    pub(crate) fn send(&mut self, command: &str) {
        self.0.send(command);
    }

    /// The next reply.
    pub(crate) fn answer(&mut self) -> String {
        self.0.receive(DEADLINE).expect("an answer")
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Whether it or a child of it has this file or directory open.
    pub(crate) fn has_open(&self, path: &Path) -> bool {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let mut pids = children.unwrap_or_default();
        pids.push_str(&format!(" {pid}"));
        pids.split_whitespace().any(|pid| {
            let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
                return false;
            };
            open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
                .any(|open| open == path)
        })
    }

    /// Whether it is in the queue for a lock: then it has a socket that listens or is connected.
    pub(crate) fn is_in_queue(&self) -> bool {
        let sockets: Vec<String> = fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("it runs")
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|open| {
                let inode = open.to_str()?.strip_prefix("socket:[")?;
                Some(inode.strip_suffix(']')?.to_owned())
            })
            .collect();
        let all = fs::read_to_string("/proc/net/unix").expect("/proc is mounted");
        all.lines().any(|line| {
            // Num RefCount Protocol Flags Type St Inode Path
            let fields: Vec<_> = line.split_whitespace().collect();
            matches!(fields[..], [_, _, _, flags, _, state, inode, ..]
                if (flags == "00010000" || state == "03")
                    && sockets.iter().any(|socket| socket == inode))
        })
    }

    /// How often each of its threads has slept since it was started, by the id of the thread.
    fn times_slept(&self) -> BTreeMap<u32, u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let slept = |task: io::Result<fs::DirEntry>| {
            let task = task.ok()?;
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let mut lines = status.lines();
            let times = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            let number = task.file_name().to_str()?.parse().ok()?;
            Some((number, times.trim().parse().ok()?))
        };
        tasks.filter_map(slept).collect()
    }

    /// Stops it with SIGSTOP, and waits until it has stopped.
    pub(crate) fn stop(&self) {
        self.0.stop().expect("it runs");
    }

    /// Lets it go on with SIGCONT.
    pub(crate) fn resume(&self) {
        self.0.resume().expect("it runs");
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it runs");
    }

    /// Closes its standard input, and waits for its end.
    pub(crate) fn finish(self) {
        let status = self.0.finish(DEADLINE).expect("it ends with its input");
        assert!(status.success(), "the worker failed: {status}");
    }
}

/// How often the threads of each worker sleep within `time`, for all workers at the same time. It is not
/// known for a worker of which a thread has ended, since the count of that thread is lost.
pub(crate) fn sleeps_within(time: Duration, workers: &[&Worker]) -> Vec<Option<u64>> {
    let before: Vec<_> = workers.iter().map(|worker| worker.times_slept()).collect();
    thread::sleep(time);
    let after = workers.iter().map(|worker| worker.times_slept());
    let times = |(before, after): (BTreeMap<u32, u64>, BTreeMap<u32, u64>)| {
        let all_are_there = before.keys().all(|thread| after.contains_key(thread));
        let slept = after.iter().map(|(thread, times)| {
            times.checked_sub(before.get(thread).copied().unwrap_or_default())
        });
        slept.sum::<Option<u64>>().filter(|_| all_are_there)
    };
    before.into_iter().zip(after).map(times).collect()
}

/// Fails if `attempt` takes `most` or longer each time. A busy machine delays some attempts, while a fault
/// of a backend delays all.
pub(crate) fn takes_less_than(most: Duration, mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.last().is_none_or(|took| *took >= most) {
        assert!(
            took.len() < 3,
            "{took:?}, and each was to be less than {most:?}"
        );
        took.push(attempt());
    }
}

/// Whether this process has no more of anything than `before`, at once or within 20 s. A wait of a quarter
/// of a second starts a thread, which ends by itself.
pub(crate) fn has_no_more_than(before: &BTreeMap<&'static str, usize>) -> bool {
    (0..20_000).any(|attempt| {
        if attempt > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        belongings()
            .iter()
            .all(|(what, count)| *count <= before[what])
    })
}

/// The numbers of descriptors, threads and locks of this process.
pub(crate) fn belongings() -> BTreeMap<&'static str, usize> {
    let count = |directory| fs::read_dir(directory).expect("/proc is mounted").count();
    let locks = fs::read_dir("/proc/self/fdinfo")
        .expect("/proc is mounted")
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter(|info| info.contains("lock:"))
        .count();
    BTreeMap::from([
        ("descriptors", count("/proc/self/fd")),
        ("threads", count("/proc/self/task")),
        ("locks", locks),
    ])
}

/// Waits for a condition, and panics if it does not come to hold.
pub(crate) fn wait_until(condition: &str, holds: impl FnMut() -> bool) {
    wait_for(Duration::from_secs(20), condition, holds);
}

fn wait_for(time: Duration, condition: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "{condition}: not within {time:?}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for the first reply of `workers`, and returns the index of the worker. No other may reply.
pub(crate) fn first_answer(workers: &mut [Worker]) -> usize {
    let mut held = Vec::new();
    wait_for(DEADLINE, "one holds the lock", || {
        let answers = workers
            .iter_mut()
            .enumerate()
            .filter_map(|(number, worker)| {
                let answer = worker.0.receive(Duration::ZERO);
                answer.ok().map(|answer| (number, answer))
            });
        held.extend(answers);
        !held.is_empty()
    });
    assert_eq!(held.len(), 1, "more than one holds the lock: {held:?}");
    let (first, answer) = held.remove(0);
    assert_eq!(answer, "held");
    first
}
