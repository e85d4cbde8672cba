//! The other user's process: what it does until it is killed, or for half a minute.

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Another user, with no rights on anything.
const NOBODY: u32 = 65_534;

const ATTACK: &str = "TOUCHFILE_TEST_ATTACK";
const TARGET: &str = "TOUCHFILE_TEST_TARGET";

/// A running attack, which ends when this is dropped.
pub(crate) struct Attack(Child);

impl Attack {
    pub(crate) fn start(attack: &str, target: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .env(ATTACK, attack)
            .env(TARGET, target)
            .uid(NOBODY)
            .gid(NOBODY)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut answers = BufReader::new(child.stdout.as_mut().unwrap());
        answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "running");
        Self(child)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub(crate) fn is_asked_for() -> bool {
    env::var_os(ATTACK).is_some()
}

pub(crate) fn run() -> ExitCode {
    let target = env::var(TARGET).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let goes_on = || Instant::now() < until;
    let address = || SocketAddr::from_abstract_name(&target).unwrap();
    match env::var(ATTACK).unwrap().as_str() {
        "connect" => {
            let address = address();
            println!("running");
            while goes_on() {
                drop(UnixStream::connect_addr(&address));
            }
        }
        "open and close" => {
            drop(File::open(&target).unwrap());
            println!("running");
            while goes_on() {
                drop(File::open(&target));
            }
        }
        "take the name" => {
            let _listener = UnixListener::bind_addr(&address()).unwrap();
            println!("running");
            while goes_on() {
                thread::sleep(Duration::from_millis(100));
            }
        }
        other => unreachable!("nobody attacks by {other:?}"),
    }
    ExitCode::SUCCESS
}
