//! A cache that many processes read and one at a time rewrites.
//!
//! Readers hold the lock shared, the writer exclusively: so a reader sees the cache's two files of
//! one generation, never one old and one new. Each file is written beside its place and renamed
//! into it, so that not even a writer killed half-way leaves a torn file.
//!
//! `cargo run --example shared_cache` starts four readers and a writer.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use touchfile::{LockMode, TouchFile};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const GENERATIONS: u32 = 100;

/// A directory with the cache's files, and the touch file beside them.
///
/// The lock is on a file of its own: a lock on `data` itself would be one on the old file as soon
/// as a new one is renamed over it.
struct Cache {
    dir: PathBuf,
    touch: TouchFile,
}

impl Cache {
    fn open(dir: PathBuf) -> Outcome<Self> {
        let touch = TouchFile::open(dir.join("cache.lock"))?;
        Ok(Self { dir, touch })
    }

    fn rewrite(&self, generation: u32) -> Outcome {
        self.touch.blocking().with_lock(LockMode::Exclusive, |_| {
            replace(&self.dir.join("data"), &generation.to_string())?;
            replace(&self.dir.join("index"), &generation.to_string())
        })??;
        Ok(())
    }

    /// The generations of the two files.
    fn read(&self) -> Outcome<(u32, u32)> {
        let read = |name| fs::read_to_string(self.dir.join(name));
        let (data, index) = self
            .touch
            .blocking()
            .with_lock(LockMode::Shared, |_| (read("data"), read("index")))?;
        Ok((data?.parse()?, index?.parse()?))
    }
}

/// Replaces a file's content at once, or not at all.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, content)?;
    fs::rename(&new, path)
}

fn main() -> Outcome {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => demonstrate(),
        [role, dir] if role == "write" => write(&Cache::open(dir.into())?),
        [role, dir] if role == "read" => read(&Cache::open(dir.into())?),
        _ => Err("usage: shared_cache".into()),
    }
}

fn demonstrate() -> Outcome {
    let dir = tempfile::tempdir()?;
    Cache::open(dir.path().to_owned())?.rewrite(0)?;
    let start = |role| -> io::Result<Child> {
        let program = env::current_exe()?;
        Command::new(program).arg(role).arg(dir.path()).spawn()
    };
    let processes = ["read", "read", "read", "read", "write"].map(start);
    for process in processes {
        if !process?.wait()?.success() {
            return Err("a process failed".into());
        }
    }
    Ok(())
}

fn write(cache: &Cache) -> Outcome {
    for generation in 1..=GENERATIONS {
        cache.rewrite(generation)?;
        pause();
    }
    println!("the writer wrote {GENERATIONS} generations");
    Ok(())
}

fn read(cache: &Cache) -> Outcome {
    let mut reads = 0;
    loop {
        let (data, index) = cache.read()?;
        reads += 1;
        if data != index {
            return Err(format!("data of generation {data}, index of {index}").into());
        }
        if data == GENERATIONS {
            println!("a reader read {reads} times, and all it saw was whole");
            return Ok(());
        }
        pause();
    }
}

/// What else a process has to do. flock(2) is not fair: a process that did nothing but lock would
/// keep the others waiting.
fn pause() {
    thread::sleep(Duration::from_millis(1));
}
