//! The lock files and the processes of one case.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use touchfile_core::BoxBackend;
use touchfile_mock::World;

use crate::process::{Pool, Process};
use crate::system;

/// Makes the backend of a process in a simulated world.
pub(crate) type MakeInWorld = Arc<dyn Fn(&World, &str) -> BoxBackend + Send + Sync>;

/// What fixtures are made from.
pub(crate) enum Host {
    /// Worker processes at each place, and a directory for lock files.
    Processes {
        pools: Vec<Pool>,
        dir: PathBuf,
        death_grace: Duration,
        fixtures: AtomicU32,
    },
    /// Threads that stand for processes, and a simulated world for each fixture.
    Worlds(MakeInWorld),
}

/// The lock files and the processes of one case.
pub(crate) struct Fixture<'h> {
    files: Files<'h>,
    running: BTreeMap<usize, Process>,
    /// Children whose parent was killed.
    orphans: Vec<u32>,
    death_grace: Duration,
    last_death: Option<Instant>,
}

enum Files<'h> {
    Dir { pools: &'h [Pool], dir: PathBuf },
    World { world: World, make: &'h MakeInWorld },
}

impl Host {
    pub(crate) fn processes(pools: Vec<Pool>, dir: PathBuf, death_grace: Duration) -> Self {
        Self::Processes {
            pools,
            dir,
            death_grace,
            fixtures: AtomicU32::new(0),
        }
    }

    /// An empty fixture.
    pub(crate) fn fixture(&self) -> io::Result<Fixture<'_>> {
        let mut grace = Duration::ZERO;
        let files = match self {
            Self::Processes {
                pools,
                dir,
                death_grace,
                fixtures: count,
            } => {
                grace = *death_grace;
                let dir = dir.join(count.fetch_add(1, Ordering::Relaxed).to_string());
                fs::create_dir(&dir)?;
                Files::Dir { pools, dir }
            }
            Self::Worlds(make) => Files::World {
                world: World::new(),
                make,
            },
        };
        Ok(Fixture {
            files,
            running: BTreeMap::new(),
            orphans: Vec::new(),
            death_grace: grace,
            last_death: None,
        })
    }
}

impl Fixture<'_> {
    /// The path of a lock file with this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match &self.files {
            Files::Dir { dir, .. } => dir.join(name),
            Files::World { .. } => Path::new("/").join(name),
        }
    }

    /// Process `number`, which is started if it does not run.
    pub(crate) fn process(&mut self, number: usize) -> Result<&mut Process, String> {
        if !self.running.contains_key(&number) {
            let process = match &self.files {
                Files::Dir { pools, .. } => pool_of(pools, number).take()?,
                Files::World { world, make } => Process::thread(make(world, &name(number))),
            };
            self.running.insert(number, process);
        }
        Ok(self
            .running
            .get_mut(&number)
            .expect("it was just put there"))
    }

    /// Process `number`, which is always a new process.
    pub(crate) fn new_process(&mut self, number: usize) -> Result<&mut Process, String> {
        if let Files::Dir { pools, .. } = &self.files {
            let process = pool_of(pools, number).take_new()?;
            self.running.insert(number, process);
        }
        self.process(number)
    }

    /// Kills a process with SIGKILL, and waits for its end. From then on the number stands for another
    /// process.
    pub(crate) fn kill(&mut self, number: usize) {
        if let Files::World { world, .. } = &self.files {
            world.kill(&name(number));
        }
        if let Some(process) = self.running.remove(&number) {
            process.kill();
        }
        self.last_death = Some(Instant::now());
    }

    /// Whether a killed process may still hold locks.
    pub(crate) fn killed_may_hold(&self) -> bool {
        self.last_death
            .is_some_and(|death| death.elapsed() < self.death_grace)
    }

    /// The path of the directory of the lock files, as process `number` sees it.
    pub(crate) fn dir_of(&self, number: usize) -> PathBuf {
        match &self.files {
            Files::Dir { pools, dir } => pool_of(pools, number).seen_there(dir),
            Files::World { .. } => self.path(""),
        }
    }

    /// Lets a process end by itself, and waits for its end.
    pub(crate) fn finish(&mut self, number: usize) {
        if let Some(process) = self.running.remove(&number) {
            process.finish();
        }
        self.last_death = Some(Instant::now());
    }

    /// Stops a process with SIGSTOP, and waits until it has stopped.
    pub(crate) fn stop(&mut self, number: usize) -> Result<(), String> {
        let Some(worker) = self.process(number)?.worker() else {
            self.in_world(|world| world.stop(&name(number)));
            return Ok(());
        };
        worker.stop().map_err(|error| format!("SIGSTOP: {error}"))
    }

    /// Lets a stopped process go on with SIGCONT.
    pub(crate) fn resume(&mut self, number: usize) {
        match self.running.get(&number).and_then(Process::worker) {
            // If it has ended already, this shows when it does not answer.
            Some(worker) => {
                worker.resume().ok();
            }
            None => self.in_world(|world| world.resume(&name(number))),
        }
    }

    /// Kills a child whose parent was killed, and waits for its end.
    pub(crate) fn end_orphan(&mut self, pid: u32) {
        system::end(pid);
        self.last_death = Some(Instant::now());
    }

    /// Remembers a child, so that it is killed at the end even if its parent was killed before.
    pub(crate) fn remember_child(&mut self, pid: u32) {
        self.orphans.push(pid);
    }

    /// Removes the name of a file, if the file exists.
    pub(crate) fn unlink(&self, path: &Path) -> io::Result<()> {
        let removed = match &self.files {
            Files::Dir { .. } => system::remove(path),
            Files::World { world, .. } => world.unlink(path),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Takes the lock on `path` away from its holders, who are not told.
    pub(crate) fn lose(&self, path: &Path) -> io::Result<()> {
        match &self.files {
            Files::Dir { .. } => Err(io::ErrorKind::Unsupported.into()),
            Files::World { world, .. } => {
                world.lose_lock(path);
                Ok(())
            }
        }
    }

    /// Renames a new file over `path`.
    pub(crate) fn replace(&self, path: &Path) -> io::Result<()> {
        match &self.files {
            Files::Dir { dir, .. } => {
                let new = dir.join("new");
                fs::write(&new, "")?;
                system::replace(path, &new)
            }
            Files::World { world, .. } => {
                world.replace(path);
                Ok(())
            }
        }
    }

    /// Gives a file a second name.
    pub(crate) fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        match &self.files {
            Files::Dir { .. } => fs::hard_link(original, link),
            Files::World { world, .. } => world.hard_link(original, link),
        }
    }

    /// Whether an error says that the file system has no links of this kind, as FAT has none.
    pub(crate) fn has_no_links(error: &io::Error) -> bool {
        system::has_no_links(error)
    }

    /// Creates a file that cannot be opened for writing. Returns false if this user can open it all
    /// the same.
    pub(crate) fn make_read_only(&self, path: &Path) -> io::Result<bool> {
        match &self.files {
            Files::Dir { .. } => {
                fs::write(path, "")?;
                system::set_mode(path, 0o444)?;
                Ok(fs::OpenOptions::new().write(true).open(path).is_err())
            }
            Files::World { world, .. } => {
                world.create(path);
                world.set_read_only(path, true)?;
                Ok(true)
            }
        }
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        match &self.files {
            Files::Dir { .. } => path.symlink_metadata().is_ok(),
            Files::World { world, .. } => world.exists(path),
        }
    }

    /// Keeps the running processes for the next case. No command may be under way.
    pub(crate) fn close(mut self) {
        self.end_orphans();
        if let Files::Dir { pools, .. } = &self.files {
            while let Some((number, process)) = self.running.pop_first() {
                pool_of(pools, number).give_back(process);
            }
        }
    }

    fn in_world(&self, act: impl FnOnce(&World) -> bool) {
        if let Files::World { world, .. } = &self.files {
            act(world);
        }
    }

    fn end_orphans(&mut self) {
        for pid in self.orphans.drain(..) {
            system::end(pid);
        }
    }
}

impl Drop for Fixture<'_> {
    fn drop(&mut self) {
        self.running.clear();
        self.end_orphans();
        if let Files::Dir { dir, .. } = &self.files {
            // What cannot be removed here is removed with the directory of the suite.
            drop(system::remove_tree(dir));
        }
    }
}

/// The pool of the place where process `number` runs.
fn pool_of(pools: &[Pool], number: usize) -> &Pool {
    &pools[number % pools.len()]
}

fn name(number: usize) -> String {
    format!("process {number}")
}
