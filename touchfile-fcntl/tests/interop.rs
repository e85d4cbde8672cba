//! Exclusion with other programs that use fcntl(2) on the same bytes.
//!
//! The programs are Python with classic locks (`fcntl.lockf`) and with open file description locks, and
//! flock(1) of util-linux with `--fcntl`, if these are installed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tempfile::tempdir;
use touchfile_core::LockMode::{self, Exclusive, Shared};
use touchfile_core::TouchFile;
use touchfile_fcntl::FcntlBackend;
use touchfile_testkit::worker::{Lost, Worker};

/// A program that executes the commands `try MODE START LEN`, `unlock START LEN` and `reopen`, which opens
/// and closes the file once more.
const PYTHON: &str = "
import fcntl, os, struct, sys
how, path = sys.argv[1:3]
file = open(path, 'r+b')

def set_lock(kind, start, length):
    if how == 'classic':
        flag = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_UNLCK: fcntl.LOCK_UN}[kind]
        fcntl.lockf(file, flag | (0 if kind == fcntl.F_UNLCK else fcntl.LOCK_NB), length, start)
    else:
        F_OFD_SETLK = 37
        fcntl.fcntl(file, F_OFD_SETLK, struct.pack('@hhqqi4x', kind, os.SEEK_SET, start, length, 0))

def reply(words):
    print('@touchfile', words, flush=True)

reply('ready')
for line in sys.stdin:
    verb, *words = line.split()
    if verb == 'reopen':
        open(path, 'rb').close()
        answer = 'done'
    elif verb == 'unlock':
        set_lock(fcntl.F_UNLCK, int(words[0]), int(words[1]))
        answer = 'done'
    else:
        kind = {'exclusive': fcntl.F_WRLCK, 'shared': fcntl.F_RDLCK}[words[0]]
        try:
            set_lock(kind, int(words[1]), int(words[2]))
            answer = 'held'
        except (BlockingIOError, PermissionError):
            answer = 'busy'
    reply(answer)
";

fn main() -> ExitCode {
    let python = |sentence, test| trial(sentence, test, missing("python3", "-c pass", ""));
    let flock = |sentence, test| trial(sentence, test, missing("flock", "--help", "--fcntl"));
    let trials = vec![
        python(
            "classic_locks_of_python_and_ours_exclude_each_other_range_by_range",
            || excludes("classic"),
        ),
        python(
            "open_file_description_locks_of_python_and_ours_exclude_each_other_range_by_range",
            || excludes("ofd"),
        ),
        python(
            "a_program_that_loses_its_classic_lock_does_not_cost_us_ours",
            loses_its_classic_lock,
        ),
        python(
            "a_converted_lock_excludes_other_programs_as_its_new_mode_says",
            converted,
        ),
        flock(
            "flock_of_util_linux_with_fcntl_and_touchfile_exclude_each_other",
            flock_of_util_linux,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test, which is reported as ignored if a program that it needs is missing.
fn trial(sentence: &str, test: fn(), missing: Option<String>) -> Trial {
    let trial = Trial::test(sentence, move || {
        test();
        Ok(())
    });
    match missing {
        Some(what) => trial.with_ignored_flag(true).with_kind(what),
        None => trial,
    }
}

/// Why a test is ignored: nothing if `program` runs with `arguments` and prints `word`.
fn missing(program: &str, arguments: &str, word: &str) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("skipped: this system has no such locks".into());
    }
    let ran = Command::new(program).args(arguments.split(' ')).output();
    let there = ran.is_ok_and(|ran| {
        ran.status.success() && String::from_utf8_lossy(&ran.stdout).contains(word)
    });
    (!there).then(|| format!("skipped: there is no {program} {word} here"))
}

/// How long a program may take to reply or to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// A program that locks. It ends with its standard input, and is killed when this is dropped.
struct Program(Worker);

impl Program {
    fn python(how: &str, path: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON, how]).arg(path);
        let mut program = Self::start(&mut command);
        assert_eq!(program.answer(), Ok("ready".into()));
        program
    }

    /// flock(1), which replies "held" if it gets the lock and ends otherwise.
    fn flock(mode: LockMode, path: &Path) -> Self {
        let mut command = Command::new("flock");
        let flag = format!("--{mode}");
        command.args(["--fcntl", "--nonblock", &flag]).arg(path);
        Self::start(command.args(["sh", "-c", "echo '@touchfile held'; cat"]))
    }

    fn start(command: &mut Command) -> Self {
        Self(Worker::spawn(command).unwrap())
    }

    fn ask(&mut self, line: &str) -> String {
        self.0.ask(line, DEADLINE).unwrap()
    }

    fn answer(&mut self) -> Result<String, Lost> {
        self.0.receive(DEADLINE)
    }

    fn finish(self) -> Option<i32> {
        self.0.finish(DEADLINE).unwrap().code()
    }
}

/// Ranges around the bytes 10 to 19 of a file, as start and length.
const RANGES: [(u64, u64); 6] = [(0, 0), (10, 10), (0, 10), (20, 0), (19, 1), (0, 11)];

fn have_a_byte_in_common((start, len): (u64, u64), (other, other_len): (u64, u64)) -> bool {
    let end = |start: u64, len| if len == 0 { u64::MAX } else { start + len };
    start < end(other, other_len) && other < end(start, len)
}

fn touch(path: &Path, (start, len): (u64, u64)) -> TouchFile<FcntlBackend> {
    TouchFile::new(FcntlBackend::range(start, len).unwrap(), path).unwrap()
}

/// Tries each pair of ranges and of modes, in both directions.
fn excludes(how: &str) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    File::create(&path).unwrap();
    let mut python = Program::python(how, &path);
    for ours in RANGES {
        let touch = touch(&path, ours);
        for (start, len) in RANGES {
            for (mode, theirs) in [
                (Exclusive, Exclusive),
                (Exclusive, Shared),
                (Shared, Exclusive),
                (Shared, Shared),
            ] {
                let conflict =
                    mode.conflicts_with(theirs) && have_a_byte_in_common(ours, (start, len));
                let case = format!("{mode} {ours:?} beside {theirs} {:?}", (start, len));

                let held = touch.blocking().lock(mode).unwrap();
                let said = python.ask(&format!("try {theirs} {start} {len}"));
                assert_eq!(said, if conflict { "busy" } else { "held" }, "{how} {case}");
                python.ask(&format!("unlock {start} {len}"));
                held.unlock().unwrap();

                let said = python.ask(&format!("try {theirs} {start} {len}"));
                assert_eq!(said, "held", "{how} {case}: it was unlocked");
                let got = touch.blocking().try_lock(mode).unwrap();
                assert_eq!(got.is_none(), conflict, "{how} {case}, the other way");
                python.ask(&format!("unlock {start} {len}"));
            }
        }
    }
    python.finish();
}

/// A classic lock is lost when its process closes another descriptor of the file. The lock of touchfile
/// beside it is not lost.
fn loses_its_classic_lock() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    File::create(&path).unwrap();
    let mut python = Program::python("classic", &path);
    let touch = touch(&path, (0, 10));
    let held = touch.blocking().lock_exclusive().unwrap();
    assert_eq!(python.ask("try exclusive 10 10"), "held");
    python.ask("reopen");
    drop(File::open(&path).unwrap());
    assert_eq!(python.ask("try shared 0 10"), "busy");
    held.unlock().unwrap();
    assert_eq!(python.ask("try shared 0 10"), "held");
    python.finish();
}

fn converted() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    File::create(&path).unwrap();
    let mut python = Program::python("classic", &path);
    let touch = touch(&path, (0, 0));
    let mut held = touch.blocking().lock_exclusive().unwrap();
    held.downgrade().unwrap();
    assert_eq!(python.ask("try exclusive 5 1"), "busy");
    assert_eq!(python.ask("try shared 5 1"), "held");
    assert!(!held.try_upgrade().unwrap());
    python.ask("unlock 5 1");
    assert!(held.try_upgrade().unwrap());
    assert_eq!(python.ask("try shared 5 1"), "busy");
    python.finish();
}

fn flock_of_util_linux() {
    const BUSY: Option<i32> = Some(1);
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let touch = touch(&path, (0, 0));
    for ours in [Exclusive, Shared] {
        for theirs in [Exclusive, Shared] {
            let held = touch.blocking().lock(ours).unwrap();
            let mut flock = Program::flock(theirs, &path);
            if ours.conflicts_with(theirs) {
                assert_eq!(flock.answer(), Err(Lost::Ended), "{theirs} beside {ours}");
                assert_eq!(flock.finish(), BUSY);
            } else {
                assert_eq!(flock.answer(), Ok("held".into()), "{theirs} beside {ours}");
                flock.finish();
            }
            held.unlock().unwrap();

            let mut flock = Program::flock(theirs, &path);
            assert_eq!(flock.answer(), Ok("held".into()));
            let got = touch.blocking().try_lock(ours).unwrap();
            assert_eq!(got.is_none(), ours.conflicts_with(theirs));
            drop(got);
            flock.finish();
        }
    }
}
