//! The rules of opening a lock file, each with a test that fails without it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, mkfifo, setfsgid, setfsuid, setsid};
use tempfile::tempdir;
use touchfile_core::OpenOptions;
use touchfile_file::{FileId, Symlinks, open};

const NOBODY: u32 = 65_534;

#[test]
fn an_existing_file_is_left_as_it_is() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    fs::write(&path, "somebody's data").unwrap();
    let before = fs::metadata(&path).unwrap();
    open(&path, &OpenOptions::new()).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's data");
    assert_eq!(
        (before.ino(), before.mtime_nsec(), before.mode()),
        (after.ino(), after.mtime_nsec(), after.mode())
    );
}

#[test]
fn a_missing_file_is_created_with_the_usual_mode() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    // What any program's new file has here is the usual mode less the umask.
    File::create(dir.path().join("usual")).unwrap();
    let usual = fs::metadata(dir.path().join("usual")).unwrap().mode();
    open(&path, &OpenOptions::new()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode(), usual);
}

#[test]
fn a_mode_that_was_asked_for_is_given_whatever_the_umask() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut options = OpenOptions::new();
    options.create_mode = Some(0o666);
    open(&path, &options).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o666);
}

#[test]
fn a_missing_file_is_not_created_unless_asked_for() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let mut options = OpenOptions::new();
    options.create = false;
    assert_eq!(
        open(&path, &options).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(!path.exists());
}

#[test]
fn many_openers_of_a_missing_file_get_one_file() {
    for _ in 0..50 {
        let dir = tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let inodes: Vec<u64> = thread::scope(|scope| {
            let opener = || {
                open(&path, &OpenOptions::new())
                    .unwrap()
                    .metadata()
                    .map(|m| m.ino())
                    .unwrap()
            };
            let openers: Vec<_> = (0..4).map(|_| scope.spawn(opener)).collect();
            openers
                .into_iter()
                .map(|opener| opener.join().unwrap())
                .collect()
        });
        assert!(
            inodes.windows(2).all(|pair| pair[0] == pair[1]),
            "{inodes:?}"
        );
    }
}

/// Linux refuses `O_CREAT` on it to everybody but its owner, root included.
#[test]
fn another_users_file_in_a_sticky_directory_can_be_opened() {
    if !root() || protected_regular() == 0 {
        eprintln!("skipped: needs root, and fs.protected_regular to be on");
        return;
    }
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
    let path = dir.path().join("a.lock");
    File::create(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    let plain = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    assert_eq!(
        plain.unwrap_err().kind(),
        ErrorKind::PermissionDenied,
        "the trap is not set"
    );
    open(&path, &OpenOptions::new()).unwrap();
}

#[test]
fn the_descriptor_is_closed_on_exec() {
    let dir = tempdir().unwrap();
    let file = open(&dir.path().join("a.lock"), &OpenOptions::new()).unwrap();
    let flags = FdFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC));
}

/// Opened for reading and writing, as by its owner, a FIFO never blocks; for reading only, it does.
#[test]
fn a_fifo_is_refused_and_does_not_hang_whoever_may_only_read_it() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("fifo");
    mkfifo(&path, Mode::empty()).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        become_nobody();
        drop(send.send(open(&path, &OpenOptions::new())));
    });
    let error = receive
        .recv_timeout(Duration::from_secs(20))
        .expect("it hangs")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("FIFO"), "{error}");
}

#[test]
fn a_terminal_does_not_become_the_controlling_one() {
    // Only a session leader without a terminal could get one, so the test is one, in a child.
    let test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_session_leader", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&test.stdout);
    assert!(test.status.success(), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

#[test]
#[ignore = "part of a_terminal_does_not_become_the_controlling_one"]
fn as_session_leader() {
    setsid().unwrap();
    let terminal = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
    nix::pty::grantpt(&terminal).unwrap();
    nix::pty::unlockpt(&terminal).unwrap();
    let name = nix::pty::ptsname_r(&terminal).unwrap();
    let error = open(Path::new(&name), &OpenOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // Whoever has a controlling terminal can open it by this name.
    assert!(
        File::open("/dev/tty").is_err(),
        "it is our controlling terminal now"
    );
}

#[test]
fn devices_and_sockets_are_refused() {
    let dir = tempdir().unwrap();
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [Path::new("/dev/null"), &socket] {
        let error = open(path, &OpenOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_symbolic_link_is_refused_unless_it_is_to_be_followed() {
    let dir = tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    File::create(&target).unwrap();
    symlink(&target, &link).unwrap();
    let error = open(&link, &OpenOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("symbolic link"), "{error}");
    let opened = open(&link, &following()).unwrap();
    assert_eq!(
        opened.metadata().unwrap().ino(),
        fs::metadata(&target).unwrap().ino()
    );
}

#[test]
fn a_link_on_the_way_is_refused_where_links_are() {
    let dir = tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir(root.join("directory")).unwrap();
    symlink("directory", root.join("link")).unwrap();
    symlink("directory/a.lock", root.join("a.link")).unwrap();
    let mut options = OpenOptions::new();
    options.no_symlinks = true;
    for path in ["link/a.lock", "directory/../link/a.lock", "a.link"] {
        let error = open(&root.join(path), &options).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        assert!(error.to_string().contains("no_symlinks"), "{error}");
    }
    assert_eq!(fs::read_dir(root.join("directory")).unwrap().count(), 0);
    open(&root.join("directory/a.lock"), &options).unwrap();
    let file = FileId::from_path(&root.join("link/a.lock"), Symlinks::NoFollow).unwrap();
    assert!(file.is_some());
    let refused = FileId::from_path(&root.join("link/a.lock"), Symlinks::Refuse).unwrap();
    assert_eq!(refused, None);
    let file_again = FileId::from_path(&root.join("directory/a.lock"), Symlinks::Refuse).unwrap();
    assert_eq!(file_again, file);
}

#[test]
fn a_link_to_nowhere_creates_nothing() {
    let dir = tempdir().unwrap();
    let link = dir.path().join("link");
    symlink(dir.path().join("nowhere"), &link).unwrap();
    for options in [OpenOptions::new(), following()] {
        let error = open(&link, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn what_may_only_be_read_is_opened_for_reading() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("a.lock");
    File::create(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    let access = as_nobody(|| open(&path, &writing()).map(|file| access(&file)));
    assert_eq!(access.unwrap(), OFlag::O_RDONLY);
}

#[test]
fn directories_and_the_running_executable_can_be_opened() {
    let dir = tempdir().unwrap();
    assert_eq!(
        access(&open(dir.path(), &writing()).unwrap()),
        OFlag::O_RDONLY
    );
    let running = std::env::current_exe().unwrap();
    assert_eq!(
        access(&open(&running, &writing()).unwrap()),
        OFlag::O_RDONLY
    );
}

#[test]
fn a_file_is_opened_for_writing_only_if_that_is_asked_for() {
    let dir = tempdir().unwrap();
    for (name, options, expected) in [
        ("plain", OpenOptions::new(), OFlag::O_RDONLY),
        ("written", writing(), OFlag::O_RDWR),
    ] {
        // It is created by the first opening, and is there at the second.
        for _ in 0..2 {
            let file = open(&dir.path().join(name), &options).unwrap();
            assert_eq!(access(&file), expected, "{name}");
        }
    }
}

fn writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write = true;
    options
}

fn following() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.follow_symlinks = true;
    options
}

fn access(file: &File) -> OFlag {
    OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL).unwrap()) & OFlag::O_ACCMODE
}

fn as_nobody<R: Send>(work: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                become_nobody();
                work()
            })
            .join()
            .unwrap()
    })
}

/// Gives up this thread's rights over other users' files (setfsuid(2)). Only root has any.
fn become_nobody() {
    setfsgid(Gid::from_raw(NOBODY));
    setfsuid(Uid::from_raw(NOBODY));
}

fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn protected_regular() -> u32 {
    fs::read_to_string("/proc/sys/fs/protected_regular")
        .ok()
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
