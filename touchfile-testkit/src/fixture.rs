//! Where a case takes place: its lock files, and its processes by number.

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

/// Makes the backend of a process of a simulated world.
pub(crate) type MakeInWorld = Arc<dyn Fn(&World, &str) -> BoxBackend + Send + Sync>;

/// What fixtures are made of.
pub(crate) enum Host {
    /// Worker processes, by place, and a directory for lock files.
    Processes {
        pools: Vec<Pool>,
        dir: PathBuf,
        death_grace: Duration,
        fixtures: AtomicU32,
    },
    /// Threads, and a world for each fixture.
    Worlds(MakeInWorld),
}

/// The lock files and the processes of one case.
pub(crate) struct Fixture<'h> {
    ground: Ground<'h>,
    running: BTreeMap<usize, Process>,
    /// Children whose parent was killed.
    orphans: Vec<u32>,
    death_grace: Duration,
    last_death: Option<Instant>,
}

enum Ground<'h> {
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
        let ground = match self {
            Self::Processes {
                pools,
                dir,
                death_grace,
                fixtures,
            } => {
                grace = *death_grace;
                let dir = dir.join(fixtures.fetch_add(1, Ordering::Relaxed).to_string());
                fs::create_dir(&dir)?;
                Ground::Dir { pools, dir }
            }
            Self::Worlds(make) => Ground::World {
                world: World::new(),
                make,
            },
        };
        Ok(Fixture {
            ground,
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
        match &self.ground {
            Ground::Dir { dir, .. } => dir.join(name),
            Ground::World { .. } => Path::new("/").join(name),
        }
    }

    /// Process number `number`, which is started if it does not run.
    pub(crate) fn process(&mut self, number: usize) -> Result<&mut Process, String> {
        if !self.running.contains_key(&number) {
            let process = match &self.ground {
                Ground::Dir { pools, .. } => pool_of(pools, number).take()?,
                Ground::World { world, make } => Process::thread(make(world, &name(number))),
            };
            self.running.insert(number, process);
        }
        Ok(self
            .running
            .get_mut(&number)
            .expect("it was just put there"))
    }

    /// As [`process`](Self::process), but never one that was used before.
    pub(crate) fn new_process(&mut self, number: usize) -> Result<&mut Process, String> {
        if let Ground::Dir { pools, .. } = &self.ground {
            let process = pool_of(pools, number).take_new()?;
            self.running.insert(number, process);
        }
        self.process(number)
    }

    /// SIGKILL, and the wait for its end. The number stands for another process from then on.
    pub(crate) fn kill(&mut self, number: usize) {
        if let Ground::World { world, .. } = &self.ground {
            world.kill(&name(number));
        }
        if let Some(process) = self.running.remove(&number) {
            process.kill();
        }
        self.last_death = Some(Instant::now());
    }

    /// Whether somebody who was killed may still be found to hold locks.
    pub(crate) fn may_be_held_by_the_dead(&self) -> bool {
        self.last_death
            .is_some_and(|death| death.elapsed() < self.death_grace)
    }

    /// What process number `number` calls the directory of the lock files.
    pub(crate) fn dir_of(&self, number: usize) -> PathBuf {
        match &self.ground {
            Ground::Dir { pools, dir } => pool_of(pools, number).seen_there(dir),
            Ground::World { .. } => self.path(""),
        }
    }

    /// Lets a process end by itself, and waits for that.
    pub(crate) fn finish(&mut self, number: usize) {
        if let Some(process) = self.running.remove(&number) {
            process.finish();
        }
    }

    /// SIGSTOP, and the wait for it to take effect.
    pub(crate) fn stop(&mut self, number: usize) -> Result<(), String> {
        let Some(worker) = self.process(number)?.worker() else {
            self.in_world(|world| world.stop(&name(number)));
            return Ok(());
        };
        worker.stop().map_err(|error| format!("SIGSTOP: {error}"))
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, number: usize) {
        match self.running.get(&number).and_then(Process::worker) {
            // It may have ended already, which is seen when it does not answer.
            Some(worker) => {
                worker.resume().ok();
            }
            None => self.in_world(|world| world.resume(&name(number))),
        }
    }

    /// SIGKILL for a child whose parent was killed, and the wait for its end.
    pub(crate) fn end_orphan(&mut self, pid: u32) {
        system::end(pid);
        self.last_death = Some(Instant::now());
    }

    /// Remembers a child that its parent may not live to end.
    pub(crate) fn remember_child(&mut self, pid: u32) {
        self.orphans.push(pid);
    }

    /// Removes the name of a file, if there is one.
    pub(crate) fn unlink(&self, path: &Path) -> io::Result<()> {
        let removed = match &self.ground {
            Ground::Dir { .. } => system::remove(path),
            Ground::World { world, .. } => world.unlink(path),
        };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Renames a new file over `path`.
    pub(crate) fn replace(&self, path: &Path) -> io::Result<()> {
        match &self.ground {
            Ground::Dir { dir, .. } => {
                let new = dir.join("new");
                fs::write(&new, "")?;
                system::replace(path, &new)
            }
            Ground::World { world, .. } => {
                world.replace(path);
                Ok(())
            }
        }
    }

    /// Gives a file a second name.
    pub(crate) fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        match &self.ground {
            Ground::Dir { .. } => fs::hard_link(original, link),
            Ground::World { world, .. } => world.hard_link(original, link),
        }
    }

    /// Whether this is how a file system without links of a kind says so: FAT and many others.
    pub(crate) fn has_no_links(error: &io::Error) -> bool {
        system::has_no_links(error)
    }

    /// Creates a file that cannot be opened for writing; false if this user can open every file.
    pub(crate) fn make_read_only(&self, path: &Path) -> io::Result<bool> {
        match &self.ground {
            Ground::Dir { .. } => {
                fs::write(path, "")?;
                system::set_mode(path, 0o444)?;
                Ok(fs::OpenOptions::new().write(true).open(path).is_err())
            }
            Ground::World { world, .. } => {
                world.create(path);
                world.set_read_only(path, true)?;
                Ok(true)
            }
        }
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        match &self.ground {
            Ground::Dir { .. } => path.symlink_metadata().is_ok(),
            Ground::World { world, .. } => world.exists(path),
        }
    }

    /// Keeps the running for the next case. They must not be busy.
    pub(crate) fn close(mut self) {
        self.end_orphans();
        if let Ground::Dir { pools, .. } = &self.ground {
            while let Some((number, process)) = self.running.pop_first() {
                pool_of(pools, number).give_back(process);
            }
        }
    }

    fn in_world(&self, act: impl FnOnce(&World) -> bool) {
        if let Ground::World { world, .. } = &self.ground {
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
        if let Ground::Dir { dir, .. } = &self.ground {
            // What cannot be removed is left to the suite's own directory.
            drop(system::remove_tree(dir));
        }
    }
}

/// That of the place where a process runs.
fn pool_of(pools: &[Pool], number: usize) -> &Pool {
    &pools[number % pools.len()]
}

fn name(number: usize) -> String {
    format!("process {number}")
}
