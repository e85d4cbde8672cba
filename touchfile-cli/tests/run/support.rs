//! Lock files, processes that hold locks, and waiting for conditions.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a test waits for a condition. It affects only tests that fail.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A command that prints that it runs, and ends when it reads a line or its input ends.
pub(crate) const STAY: [&str; 3] = ["sh", "-c", "echo inside; read line || true"];

/// The program under test.
pub(crate) fn touchfile() -> &'static Path {
    DEFAULT_SIGNALS.call_once(let_signals_end_processes);
    assert_cmd::cargo::cargo_bin!("touchfile")
}

static DEFAULT_SIGNALS: Once = Once::new();

/// Lets signals end this process and those that it starts, also where whoever started it has them
/// ignored, as nohup(1) does and a shell in the background.
///
/// A signal that is ignored stays so in the program that a process executes. One that is handled, as by
/// this function, has its default effect there (`execve(2)`).
fn let_signals_end_processes() {
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_default(signal as i32, always).unwrap();
    }
}

/// `touchfile run`, for a run that ends soon.
pub(crate) fn run() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(touchfile());
    command.timeout(DEADLINE).arg("run");
    command
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "in vain: until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A pipe without a reader.
///
/// A child that another test has just forked may have the reader for a moment, until it executes its program.
#[allow(dead_code, reason = "it is for other test programs")]
pub(crate) fn unread_pipe() -> PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    until("nobody has the reader of the pipe", || {
        let mut ends = [PollFd::new(writer.as_fd(), PollFlags::empty())];
        poll(&mut ends, PollTimeout::ZERO).unwrap();
        ends[0].revents().unwrap().contains(PollFlags::POLLERR)
    });
    writer
}

/// Whether there is such a program. If there is none, prints that the test is skipped.
pub(crate) fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// A place for a lock file, which does not exist yet.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The absolute path of the directory without links.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.file("a.lock")
    }

    pub(crate) fn file(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.directory().join(name.as_ref())
    }

    /// Everything in the directory, by name.
    pub(crate) fn contents(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// A process that has printed that it holds the lock.
    pub(crate) fn held(&self, options: &[&str]) -> Process {
        let mut process = self.start(options, &STAY);
        assert_eq!(process.line(), "inside");
        process
    }

    /// `touchfile run` with this lock file.
    pub(crate) fn start(&self, options: &[&str], command: &[&str]) -> Process {
        let mut touchfile = Command::new(touchfile());
        touchfile.arg("run").args(options).arg(self.lock());
        Process::spawn(touchfile.arg("--").args(command))
    }

    /// `touchfile run` that has found the lock busy and waits.
    pub(crate) fn waiting(&self, options: &[&str], command: &[&str]) -> Process {
        let process = self.start(options, command);
        self.until_opened_by(&process);
        process
    }

    pub(crate) fn until_opened_by(&self, process: &Process) {
        let lock = self.lock();
        until("the lock file is open", || process.has_open(&lock));
    }

    #[track_caller]
    pub(crate) fn assert_free(&self) {
        let lock = self.lock();
        run()
            .arg("--nonblock")
            .arg(lock)
            .arg("true")
            .assert()
            .success();
    }

    pub(crate) fn is_free(&self) -> bool {
        let mut command = run();
        let command = command.arg("--nonblock").arg(self.lock()).arg("true");
        command.output().unwrap().status.success()
    }

    #[track_caller]
    pub(crate) fn assert_held(&self) {
        let lock = self.lock();
        run()
            .arg("--nonblock")
            .arg(lock)
            .arg("true")
            .assert()
            .code(1);
    }
}

/// A process in the background. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take().unwrap()),
            stderr: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// The next line on its standard output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.stdout
            .recv_timeout(DEADLINE)
            .expect("a line on stdout")
    }

    /// The next line on its standard error.
    #[track_caller]
    pub(crate) fn complaint(&mut self) -> String {
        self.stderr
            .recv_timeout(DEADLINE)
            .expect("a line on stderr")
    }

    /// The remaining lines on its standard error. All processes with this pipe must have ended.
    pub(crate) fn complaints(self) -> Vec<String> {
        self.stderr.iter().collect()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Closes its standard input.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end, and returns the exit status.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Closes its standard input, waits for its end, and returns the exit status.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> ExitStatus {
        self.hang_up();
        self.ended()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    fn has_open(&self, path: &Path) -> bool {
        has_open(self.pid(), path)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its command reads from the same pipe, and ends with it.
        self.stdin = None;
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether this process has `path` open.
pub(crate) fn has_open(process: Pid, path: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .any(|link| fs::read_link(link.path()).is_ok_and(|target| target == path))
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            if line.is_err() || sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}
