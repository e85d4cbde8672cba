//! A mount that ends with its test, come what may.

use std::env;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption};
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use crate::server::Server;

/// Says to this program that it is a watchman, of this process and this mount.
const WATCH: &str = "TOUCHFILE_TEST_WATCH";

/// The server's file system, mounted on a directory of its own.
pub(crate) struct Mounted {
    pub(crate) server: Server,
    session: Option<BackgroundSession>,
    watchman: Child,
    dir: TempDir,
}

impl Mounted {
    pub(crate) fn new() -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let server = Server::default();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("touchfile-test".into())];
        let session = fuser::spawn_mount(server.clone(), dir.path(), &config)?;
        let watchman = Command::new(env::current_exe()?)
            .env(WATCH, dir.path())
            .stdin(Stdio::null())
            // What ends the test's process group must not end this.
            .process_group(0)
            .spawn();
        let Ok(watchman) = watchman else {
            end(dir.path());
            return Err(io::Error::other("no watchman"));
        };
        Ok(Self {
            server,
            session: Some(session),
            watchman,
            dir,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.server.go_on();
        end(self.dir.path());
        if let Some(session) = self.session.take() {
            drop(session.umount_and_join());
        }
        drop(self.watchman.kill());
        drop(self.watchman.wait());
    }
}

/// Fails all calls that wait for an answer, and takes the mount away, whoever still uses it.
fn end(mount: &Path) {
    // Busy or not, this aborts the connection to the server (fuse_umount_begin in fs/fuse/inode.c).
    unmount(mount, UnmountFlags::FORCE).ok();
    unmount(mount, UnmountFlags::DETACH).ok();
}

pub(crate) fn is_watchman() -> bool {
    env::var_os(WATCH).is_some()
}

/// Waits until the test has ended, and ends the mount if the test did not.
///
/// A process that was killed while a call waits for its own server would never end: its threads
/// are gone, the server's as well, but the one in the call.
pub(crate) fn watch() {
    let mount = PathBuf::from(env::var_os(WATCH).unwrap());
    let test = rustix::process::getppid().unwrap();
    let status = format!("/proc/{}/status", test.as_raw_nonzero());
    let runs = || {
        fs::read_to_string(&status).is_ok_and(|status| !is_over(&status))
            && rustix::process::getppid() == Some(test)
    };
    while runs() {
        thread::sleep(Duration::from_millis(100));
    }
    end(&mount);
    drop(fs::remove_dir(&mount));
}

/// Whether a process has ended or was killed, as its main thread's status tells: that may be the one
/// that is in the call.
fn is_over(status: &str) -> bool {
    const SIGKILL: u64 = 1 << (9 - 1);
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
    let state = field("State:").unwrap_or_default().trim_start();
    let pending = field("SigPnd:").map(str::trim);
    let pending = pending.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    state.starts_with(['Z', 'X']) || pending.is_some_and(|mask| mask & SIGKILL != 0)
}
