//! A worker process with a `TouchFile`, which executes commands and replies to them.
//!
//! Its runtime has one thread; another thread reads the commands. So a reply to any command shows
//! that the runtime is not blocked.

mod outside;

use std::fmt::Display;
use std::fs::File;
use std::future::{Future, pending};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use touchfile::{AutoBackend, BoxBackend, Error, OwnedLockGuard, TouchFile};
use touchfile_core::LockBackend;
use touchfile_fcntl::FcntlBackend;
use touchfile_flock::FlockBackend;
use touchfile_testkit::worker::{Commands, reply};

pub(crate) use self::outside::{Backend, Settings, Worker};

/// The first argument of a worker.
pub(crate) const ROLE: &str = "--worker";

type Guard = OwnedLockGuard<BoxBackend>;
type Watch = Pin<Box<dyn Future<Output = touchfile::Error>>>;
type Wait = Pin<Box<dyn Future<Output = touchfile::Result<Option<Guard>>>>>;

/// `--worker BACKEND PATH [remove]`
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(serve(arguments)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("no worker: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &[String]) -> Result<(), String> {
    let [backend, path, options @ ..] = arguments else {
        return Err("which backend, which path?".into());
    };
    let backend = match backend.as_str() {
        "auto" => boxed(AutoBackend::new()),
        "fcntl" => boxed(FcntlBackend::new()),
        "flock" => boxed(FlockBackend::new()),
        other => return Err(format!("there is no backend {other}")),
    };
    let touch = TouchFile::builder(backend)
        .path(path)
        .remove_on_release(options.iter().any(|option| option == "remove"))
        .build()
        .map_err(|error| error.to_string())?;
    let mut process = Process {
        touch: Arc::new(touch),
        held: None,
        wait: None,
        watch: None,
    };
    let mut lines = lines().map_err(|error| error.to_string())?;
    say("ready");
    loop {
        // In this order, so that a wait has begun before the next line is read.
        tokio::select! {
            biased;
            ended = end_of(&mut process.wait) => process.waited(ended),
            lost = end_of(&mut process.watch) => {
                process.watch = None;
                say(&in_words(&lost));
            }
            line = lines.recv() => match line {
                Some(line) => {
                    if let Err(error) = process.execute(&line).await {
                        say(&error);
                    }
                }
                None => return Ok(()),
            },
        }
    }
}

struct Process {
    touch: Arc<TouchFile<BoxBackend>>,
    held: Option<Arc<Guard>>,
    wait: Option<Wait>,
    /// Ends when the lock is lost.
    watch: Option<Watch>,
}

impl Process {
    async fn execute(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["try", mode] => {
                let attempt = self.touch.clone().try_lock_owned(parse(mode)?).await;
                self.waited(attempt);
            }
            ["lock", mode] => {
                let lock = self.touch.clone().lock_owned(parse(mode)?);
                self.wait = Some(Box::pin(async { lock.await.map(Some) }));
            }
            ["lock", mode, ms] => {
                let limit = Duration::from_millis(parse(ms)?);
                let lock = self.touch.clone().lock_timeout_owned(parse(mode)?, limit);
                self.wait = Some(Box::pin(async { lock.await.map(Some) }));
            }
            ["cancel"] => {
                self.wait = None;
                say("cancelled");
            }
            ["unlock"] => {
                self.watch = None;
                say(&match self.held.take().and_then(Arc::into_inner) {
                    Some(guard) => match guard.unlock().await {
                        Ok(()) => "unlocked".into(),
                        Err(error) => in_words(&error),
                    },
                    None => "nothing is held".into(),
                });
            }
            ["verify"] => {
                say(&match &self.held {
                    Some(guard) => match guard.verify().await {
                        Ok(()) => "intact".into(),
                        Err(error) => in_words(&error),
                    },
                    None => "nothing is held".into(),
                });
            }
            ["watch", ms] => {
                let interval = Duration::from_millis(parse(ms)?);
                self.watch = self
                    .held
                    .clone()
                    .map(|guard| Box::pin(async move { guard.lost(interval).await }) as Watch);
            }
            ["count", turns, path] => {
                let turns = parse(turns)?;
                say(&match count(&self.touch, turns, Path::new(path)).await {
                    Ok(()) => "counted".into(),
                    Err(error) => error,
                });
            }
            ["ping"] => say("pong"),
            _ => return Err(format!("there is no command {line:?}")),
        }
        Ok(())
    }

    fn waited(&mut self, ended: touchfile::Result<Option<Guard>>) {
        self.wait = None;
        match ended {
            Ok(Some(guard)) => {
                self.held = Some(Arc::new(guard));
                say("held");
            }
            Ok(None) => say("busy"),
            Err(error) => say(&in_words(&error)),
        }
    }
}

/// Increases a number this many times, each time under the lock.
///
/// The number is the length of a file: a client of NFS may have old contents of a file in its cache,
/// but asks the server for the length when it opens the file.
async fn count(touch: &TouchFile<BoxBackend>, turns: u64, path: &Path) -> Result<(), String> {
    for _ in 0..turns {
        let guard = touch
            .lock_exclusive()
            .await
            .map_err(|error| in_words(&error))?;
        let increment = || {
            let number = File::open(path)?.metadata()?.len();
            File::options()
                .write(true)
                .open(path)?
                .write_all_at(b".", number)
        };
        increment().map_err(|error: io::Error| format!("{}: {error}", path.display()))?;
        guard.unlock().await.map_err(|error| in_words(&error))?;
    }
    Ok(())
}

/// The output of the future, if there is one; otherwise this never ends.
async fn end_of<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// An error as a reply.
fn in_words(error: &Error) -> String {
    match error {
        Error::Lost { .. } => "lost".into(),
        Error::Timeout { .. } => "timeout".into(),
        error => format!("error: {error}"),
    }
}

fn boxed<B: LockBackend>(backend: B) -> BoxBackend {
    BoxBackend::new(backend)
}

fn parse<T: FromStr<Err: Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error: T::Err| error.to_string())
}

/// The commands, which another thread reads, as the runtime has one thread only.
fn lines() -> io::Result<mpsc::UnboundedReceiver<String>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let commands = Commands::new()?;
    thread::spawn(move || {
        for line in commands.map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

fn say(line: &str) {
    // If the parent is gone, standard input ends as well.
    reply(line).ok();
}
