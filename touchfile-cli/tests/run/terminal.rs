//! Tests on a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setpgid};
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::support::{DEADLINE, Place, Process, STAY, touchfile, until};

const CTRL_C: &[u8] = b"\x03";

/// Erases the line of a wait.
const ERASED: &str = "\r\x1b[J";

/// It is set if a test of this file is the command that another test runs.
const IS_COMMAND: &str = "TOUCHFILE_TEST_IS_COMMAND";

#[test]
fn a_long_wait_is_a_line_with_the_elapsed_time_that_goes_away() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let mut terminal = Terminal::run("xterm", &place, &["echo", "inside"]);
    // On a busy machine the holder may not be found in time. Then the line does not name it.
    let name = place.lock();
    let name = name.display();
    terminal.expect_any(&[
        format!("s] pid {} (touchfile) has {name}", held.pid()),
        format!("s] waiting for the exclusive lock on {name}"),
    ]);
    // A busy machine may not draw the line each second.
    let later: Vec<String> = (2..60).map(|n| format!("[{n}s] ")).collect();
    terminal.expect_any(&later);
    assert!(held.finish().success());
    terminal.expect("inside");
    assert!(terminal.ended().success());
    let last_wait = terminal.shown.rfind("s] ").unwrap();
    let (_, after) = terminal.shown.split_at(last_wait);
    let erased = after.find(ERASED).expect("the line is erased");
    assert!(erased < after.find("inside").unwrap(), "{after:?}");
    assert!(
        !terminal.shown.contains("touchfile: "),
        "{:?}",
        terminal.shown
    );
}

#[test]
fn the_line_of_a_wait_fits_the_window_and_has_the_holder_also_when_that_shrinks() {
    let place = Place::new();
    let held = place.held(&[]);
    let mut terminal = Terminal::run("xterm", &place, &["true"]);
    let holder = format!("pid {} (touchfile", held.pid());
    terminal.expect(&holder);
    for columns in [80, 40] {
        terminal.keys.resize(Size::new(24, columns)).unwrap();
        let before = terminal.shown.len();
        // The next line may still have been drawn for the old width.
        for _ in 0..4 {
            terminal.expect(ERASED);
        }
        let shown = &terminal.shown[before..];
        let lines: Vec<&str> = shown.split(ERASED).collect();
        for line in &lines[2..lines.len() - 1] {
            let line = line.strip_prefix("\x1b[?7l").unwrap();
            // The cursor stays at the start of the line.
            let line = line.strip_suffix("\x1b[?7h\r").unwrap();
            assert!(line.chars().count() < columns.into(), "{line:?}");
            assert!(line.contains(&holder), "{line:?}");
            // Of the path at least the end is shown.
            let (_, end) = line.rsplit_once(['/', '…']).unwrap();
            assert!(!end.is_empty() && "a.lock".ends_with(end), "{line:?}");
        }
    }
}

#[test]
fn a_name_does_nothing_to_the_terminal() {
    let place = Place::new();
    let mut held = Process::spawn(
        std::process::Command::new(touchfile())
            .arg("run")
            .arg(place.file("\x1b[31m\n.lock"))
            .arg("--")
            .args(STAY),
    );
    assert_eq!(held.line(), "inside");
    let script = format!(
        "cd '{}' && exec '{}' run -w 2 \"$(printf '\\033[31m\\n.lock')\" true",
        place.directory().display(),
        touchfile().display()
    );
    let mut terminal = Terminal::run("xterm", &place, &["sh", "-c", &script]);
    terminal.expect(r"\u{1b}[31m\n.lock");
    assert_eq!(terminal.ended().code(), Some(1));
    assert!(!terminal.shown.contains("\x1b[31m"), "{:?}", terminal.shown);
}

#[test]
fn giving_up_erases_the_line_and_says_so() {
    let place = Place::new();
    let _held = place.held(&[]);
    let mut terminal = Terminal::run_with("xterm", &["--timeout", "3s"], &place, &STAY);
    terminal.expect("s] ");
    terminal.expect(ERASED);
    terminal.expect("touchfile: gave up after 3s");
    assert_eq!(terminal.ended().code(), Some(1));
}

#[test]
fn a_terminal_that_cannot_erase_gets_one_line() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let mut terminal = Terminal::run("dumb", &place, &["echo", "inside"]);
    terminal.expect("touchfile: waiting for the exclusive lock on ");
    assert!(held.finish().success());
    terminal.expect("inside");
    assert!(terminal.ended().success());
    assert!(!terminal.shown.contains('\x1b'), "{:?}", terminal.shown);
}

#[test]
fn nothing_is_shown_on_a_terminal_if_there_is_no_wait() {
    let place = Place::new();
    let mut terminal = Terminal::run("xterm", &place, &["echo", "inside"]);
    terminal.expect("inside\r\n");
    assert!(terminal.ended().success());
    assert_eq!(terminal.shown, "inside\r\n");
}

#[test]
fn ctrl_c_reaches_the_command_from_the_terminal() {
    let place = Place::new();
    // It prints nothing at that time, because the kernel discards output while it handles the key.
    let script = "trap 'exit 7' INT; echo inside; while :; do sleep 0.05; done";
    let mut terminal = Terminal::run("xterm", &place, &["sh", "-c", script]);
    terminal.expect("inside");
    terminal.press(CTRL_C);
    assert_eq!(terminal.ended().code(), Some(7));
    place.assert_free();
}

#[test]
fn ctrl_c_reaches_the_command_from_nobody_else() {
    let place = Place::new();
    let this = std::env::current_exe().unwrap();
    let test = "terminal::command_beyond_the_reach_of_keys";
    let options = ["--exact", "--ignored", "--nocapture"];
    let command = [&[this.to_str().unwrap(), test][..], &options].concat();
    let mut terminal = Terminal::run("xterm", &place, &command);
    terminal.expect("beyond reach");
    // After this signal was forwarded, a key can no longer come too early for the command.
    kill(terminal.pid(), Signal::SIGUSR1).unwrap();
    terminal.expect("got SIGUSR1");
    terminal.press(CTRL_C);
    // The kernel echoes the key after it has sent the signal, so touchfile receives that before the next
    // one.
    terminal.expect("^C");
    kill(terminal.pid(), Signal::SIGTERM).unwrap();
    terminal.expect("got SIGTERM");
    let status = terminal.ended();
    assert!(status.success(), "{status:?} {:?}", terminal.shown);
    assert!(!terminal.shown.contains("SIGINT"), "{:?}", terminal.shown);
}

/// A command in a process group of its own, which receives only forwarded signals and none from keys.
#[test]
#[ignore = "the command that another test runs"]
fn command_beyond_the_reach_of_keys() {
    if std::env::var_os(IS_COMMAND).is_none() {
        return; // this is a run of all ignored tests
    }
    setpgid(Pid::this(), Pid::from_raw(0)).unwrap();
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1].map(|signal| signal as i32);
    let mut signals = signal_hook::iterator::Signals::new(signals).unwrap();
    println!("beyond reach");
    for signal in &mut signals {
        let signal = Signal::try_from(signal).unwrap();
        println!("got {signal}");
        if signal == Signal::SIGTERM {
            return;
        }
    }
}

#[test]
fn an_interrupt_that_is_not_the_terminals_is_passed_on() {
    let place = Place::new();
    let script = "trap 'echo interrupt; exit 7' INT; echo inside; while :; do sleep 0.05; done";
    let mut terminal = Terminal::run("xterm", &place, &["sh", "-c", script]);
    terminal.expect("inside");
    kill(terminal.pid(), Signal::SIGINT).unwrap();
    terminal.expect("interrupt");
    assert_eq!(terminal.ended().code(), Some(7));
}

#[test]
fn ctrl_c_ends_the_wait() {
    let place = Place::new();
    let mut held = place.held(&[]);
    let mut terminal = Terminal::run("xterm", &place, &["echo", "inside"]);
    terminal.expect("s] ");
    terminal.press(CTRL_C);
    assert_eq!(terminal.ended().signal(), Some(Signal::SIGINT as i32));
    place.assert_held();
    assert!(held.finish().success());
    place.assert_free();
}

#[test]
fn a_terminal_that_goes_away_ends_the_command() {
    let place = Place::new();
    let started = place.file("started");
    let script = r#": > "$0"; exec sleep 60"#;
    let (terminal, mut child) = start(
        "xterm",
        &[],
        &place,
        &["sh", "-c", script, started.to_str().unwrap()],
    );
    until("the command runs", || started.exists());
    // The kernel sends SIGHUP to the leader of the session only, which is touchfile.
    drop(terminal);
    assert_eq!(ended(&mut child).code(), Some(129));
    place.assert_free();
}

/// Starts `touchfile run` in the foreground of a new terminal, as the leader of its session.
fn start(term: &str, options: &[&str], place: &Place, command: &[&str]) -> (Pty, Child) {
    let (keys, terminal) = open().unwrap();
    keys.resize(Size::new(24, 120)).unwrap();
    let child = Command::new(touchfile())
        .env("TERM", term)
        .env(IS_COMMAND, "yes")
        .arg("run")
        .args(options)
        .arg(place.lock())
        .arg("--")
        .args(command)
        .spawn(terminal)
        .unwrap();
    (keys, child)
}

#[track_caller]
fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// A terminal with `touchfile run` in its foreground.
struct Terminal {
    keys: Pty,
    child: Child,
    screen: Receiver<String>,
    /// Everything that was shown so far.
    shown: String,
    /// How much of it the test has checked.
    seen: usize,
}

impl Terminal {
    fn run(term: &str, place: &Place, command: &[&str]) -> Self {
        Self::run_with(term, &[], place, command)
    }

    fn run_with(term: &str, options: &[&str], place: &Place, command: &[&str]) -> Self {
        let (keys, child) = start(term, options, place, command);
        let output = keys.as_fd().try_clone_to_owned().unwrap();
        let mut output = File::from(output);
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Reading fails with EIO after the last process has closed the terminal.
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self {
            keys,
            child,
            screen,
            shown: String::new(),
            seen: 0,
        }
    }

    /// Waits until `text` is shown after the last text that was waited for.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        self.expect_any(&[text.to_owned()]);
    }

    /// Waits until one of `texts` is shown.
    #[track_caller]
    fn expect_any(&mut self, texts: &[String]) {
        loop {
            let shown = &self.shown[self.seen..];
            let ends = texts
                .iter()
                .filter_map(|text| Some(shown.find(text)? + text.len()));
            if let Some(end) = ends.min() {
                self.seen += end;
                return;
            }
            match self.screen.recv_timeout(DEADLINE) {
                Ok(more) => self.shown.push_str(&more),
                Err(_) => panic!("{texts:?} is not in {:?}", self.shown),
            }
        }
    }

    fn press(&mut self, key: &[u8]) {
        self.keys.write_all(key).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let status = ended(&mut self.child);
        self.shown.extend(self.screen.try_iter());
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
