//! The other user's process: what it does until it is killed, or for half a minute.

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{CWD, MemfdFlags, RenameFlags, memfd_create, renameat_with};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Another user, with no rights on anything.
pub(crate) const NOBODY: u32 = 65_534;

/// How many locks and how many descriptors an attack has that has many.
const LOCKS: usize = 2_000;
const DESCRIPTORS: usize = 40_000;

const ATTACK: &str = "TOUCHFILE_TEST_ATTACK";
const TARGET: &str = "TOUCHFILE_TEST_TARGET";

/// A running attack, which ends when this is dropped.
pub(crate) struct Attack {
    process: Child,
    answers: BufReader<ChildStdout>,
}

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
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut attack = Self {
            process: child,
            answers,
        };
        assert_eq!(attack.answer(), "running");
        attack
    }

    /// The next thing that it says.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
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
        "compute" => {
            println!("running");
            while goes_on() {
                std::hint::spin_loop();
            }
        }
        "exchange" => {
            // The directory `real` and the link `link` in a directory of this user.
            let (real, link) = (format!("{target}/real"), format!("{target}/link"));
            println!("running");
            while goes_on() {
                renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        }
        "follow" => {
            let stream = UnixStream::connect_addr(&address()).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            println!("running");
            println!("{}", what_comes(&stream));
        }
        "have many descriptors" => {
            let file = File::open("/proc/self/exe").unwrap();
            let _copies = copies(&file);
            println!("running");
            while goes_on() {
                thread::sleep(Duration::from_millis(100));
            }
        }
        "say that it waits many times" => {
            // As a waiter of touchfile says it, of itself and of this file.
            let (file, pid) = (File::open(&target).unwrap(), std::process::id());
            let name = format!(
                "touchfile-waits FLOCK exclusive all {} {pid}",
                file.as_raw_fd()
            );
            let notice = memfd_create(&name, MemfdFlags::CLOEXEC).unwrap();
            let _copies = copies(&notice.into());
            println!("running");
            while goes_on() {
                thread::sleep(Duration::from_millis(100));
            }
        }
        "have many locks" => {
            let file = File::open(&target).unwrap();
            // Bytes that are not next to each other, and not those of another process.
            let first = i64::from(std::process::id()) << 20;
            for byte in (first..).step_by(2).take(LOCKS) {
                let lock = nix::libc::flock {
                    l_type: nix::libc::F_RDLCK as i16,
                    l_whence: nix::libc::SEEK_SET as i16,
                    l_start: byte,
                    l_len: 1,
                    l_pid: 0,
                };
                fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
            }
            println!("running");
            while goes_on() {
                thread::sleep(Duration::from_millis(100));
            }
        }
        "lock and unlock" => {
            let file = File::open(&target).unwrap();
            println!("running");
            while goes_on() {
                drop(fs4::FileExt::try_lock_shared(&file));
                drop(fs4::FileExt::unlock(&file));
            }
        }
        "open and close now and then" => {
            println!("running");
            while goes_on() {
                drop(File::open(&target));
                thread::sleep(Duration::from_millis(40));
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

/// As many descriptors for a file as this process can have.
fn copies(file: &File) -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, most).ok();
    let copies = (0..DESCRIPTORS).map_while(|_| file.try_clone().ok());
    copies.collect()
}

/// What the head of a queue passes to a follower.
fn what_comes(stream: &UnixStream) -> &'static str {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    );
    match (received, control.drain().next()) {
        (Ok(_), Some(RecvAncillaryMessage::ScmRights(_))) => "a socket",
        _ => "nothing",
    }
}
