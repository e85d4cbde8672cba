//! File systems that are mounted during a test. All need root, and some need programs and support of the
//! kernel. If these are missing, the test is skipped and prints the reason.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::trials::{Skipped, Tried, needs_root, skip};

/// The size of a file system. It is the smallest that xfs accepts. The file is sparse.
const SIZE: u64 = 310 << 20;

/// A mounted file system. It is unmounted when this is dropped.
#[derive(Debug)]
pub(crate) struct Mounted {
    place: TempDir,
    /// The mount points, in the order in which they were mounted.
    points: Vec<PathBuf>,
    /// The directories for lock files.
    places: Vec<PathBuf>,
}

impl Mounted {
    /// The directories to try. There are several if the file system has different kinds.
    pub(crate) fn places(&self) -> &[PathBuf] {
        &self.places
    }

    fn new() -> Self {
        Self {
            place: tempfile::tempdir().unwrap(),
            points: Vec::new(),
            places: Vec::new(),
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.place.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn mount(&mut self, arguments: &[&str], point: &Path) -> Tried {
        ran(Command::new("mount").args(arguments).arg(point))?;
        self.points.push(point.to_owned());
        Ok(())
    }

    /// A new file system of this type, on a loop device.
    fn on_loop_device(kind: &str, options: &[&str]) -> Result<Self, Skipped> {
        needs_root()?;
        let mut mounted = Self::new();
        let image = mounted.place.path().join("image");
        File::create(&image).unwrap().set_len(SIZE).unwrap();
        ran(Command::new(format!("mkfs.{kind}"))
            .args(options)
            .arg(&image))?;
        let point = mounted.dir("mnt");
        // mount(8) sets up a loop device, and umount(8) frees it.
        mounted.mount(&["-t", kind, "-o", "loop", image.to_str().unwrap()], &point)?;
        mounted.places.push(point);
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for point in self.points.iter().rev() {
            // A process that was killed in a call on it may need some time to end.
            let unmounted = |options: &[&str]| {
                let done = Command::new("umount").args(options).arg(point).output();
                done.is_ok_and(|output| output.status.success())
            };
            let started = Instant::now();
            while !unmounted(&[]) {
                if started.elapsed() > Duration::from_secs(20) {
                    println!("{} was busy", point.display());
                    unmounted(&["--lazy"]);
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

pub(crate) fn btrfs() -> Result<Mounted, Skipped> {
    let mut mounted = Mounted::on_loop_device("btrfs", &["-q"])?;
    // stat(2) reports another device number for it.
    let subvolume = mounted.places[0].join("subvolume");
    ran(Command::new("btrfs")
        .args(["-q", "subvolume", "create"])
        .arg(&subvolume))?;
    mounted.places.push(subvolume);
    Ok(mounted)
}

pub(crate) fn ext4() -> Result<Mounted, Skipped> {
    Mounted::on_loop_device("ext4", &["-q"])
}

pub(crate) fn xfs() -> Result<Mounted, Skipped> {
    Mounted::on_loop_device("xfs", &["-q"])
}

pub(crate) fn tmpfs() -> Result<Mounted, Skipped> {
    needs_root()?;
    let mut mounted = Mounted::new();
    let point = mounted.dir("mnt");
    mounted.mount(&["-t", "tmpfs", "none"], &point)?;
    mounted.places.push(point);
    Ok(mounted)
}

/// An overlay whose two layers are on different file systems, with a lock file in each.
pub(crate) fn overlay() -> Result<Mounted, Skipped> {
    needs_root()?;
    let mut mounted = Mounted::new();
    let (top, point) = (mounted.dir("top"), mounted.dir("mnt"));
    mounted.mount(&["-t", "tmpfs", "none"], &top)?;
    let lower = mounted.dir("lower");
    let in_lower = lower.join("below");
    let (upper, work) = (mounted.dir("top/upper"), mounted.dir("top/work"));
    fs::create_dir(&in_lower).unwrap();
    fs::write(in_lower.join("a.lock"), "").unwrap();
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    mounted.mount(&["-t", "overlay", "none", "-o", &layers], &point)?;
    mounted.places = vec![point.clone(), point.join("below")];
    Ok(mounted)
}

/// Runs a command. The test is skipped if it cannot be run.
fn ran(command: &mut Command) -> Tried {
    let why = match command.output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    skip(format!("{}: {why}", command.get_program().display()))
}
