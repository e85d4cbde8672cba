//! The thread of an offloaded handle.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::sync::oneshot;

use crate::LockHandle;
use crate::platform::{Platform, Process};
use crate::queue::Permit;
use crate::runtime::block_on;

/// A thread that owns a handle: it makes its calls, one after the other, and in the end drops it.
#[derive(Debug)]
pub(super) struct HandleThread<H: LockHandle> {
    /// The thread drops the handle when this is gone.
    commands: mpsc::Sender<Command<H>>,
    /// A view of the handle for as long as no call needs it for itself. It goes back to the thread
    /// before such a call and at the end, so that the thread is always the last owner.
    view: Option<Arc<H>>,
    process: Process,
}

pub(super) type Call<H> = Box<dyn FnOnce(&mut Arc<H>) + Send>;

pub(super) enum Command<H> {
    Call(Call<H>),
    /// The end of the handle; only then is the turn in the queue over.
    Close(Option<Arc<H>>, Option<Permit>),
    /// Carried out whether or not somebody still waits for it, unlike other calls.
    Unlock(Option<Arc<H>>, Option<Permit>, oneshot::Sender<Unlocked<H>>),
}

pub(super) type Unlocked<H> = (Arc<H>, Option<Permit>, io::Result<()>);

impl<H: LockHandle> HandleThread<H> {
    pub(super) fn new(platform: &'static dyn Platform) -> (Self, mpsc::Receiver<Command<H>>) {
        let (commands, received) = mpsc::channel();
        let thread = Self {
            commands,
            view: None,
            process: Process::current(platform),
        };
        (thread, received)
    }

    pub(super) fn with(mut self, handle: &Arc<H>) -> Self {
        self.view = Some(handle.clone());
        self
    }

    /// Makes a call there that only reads the handle.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&H) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        let (send, answer) = oneshot::channel();
        self.send(Command::Call(Box::new(move |handle| {
            // A call that nobody waits for any more need not be begun.
            if !send.is_closed() {
                drop(send.send(call(handle)));
            }
        })))?;
        answer.await.map_err(|_| panicked())?
    }

    /// Makes a call there that may change what the handle holds. If the future is dropped, the call
    /// may still be made, and its result is lost; the handle stays where it is, as it is then.
    pub(super) async fn call_mut<R: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut H) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        let (send, answer) = oneshot::channel();
        let view = self.view.take();
        self.send(Command::Call(Box::new(move |handle| {
            drop(view);
            if !send.is_closed() {
                let done = call(sole_owner(handle));
                drop(send.send((handle.clone(), done)));
            }
        })))?;
        let (view, done) = answer.await.map_err(|_| panicked())?;
        self.view = Some(view);
        done
    }

    pub(super) fn close(&mut self, permit: &mut Option<Permit>) {
        // In a forked child there is nobody to close it, nor to end the turn in the queue.
        if self.process.is_current() {
            let close = Command::Close(self.view.take(), permit.take());
            // If the thread is gone, so is the handle.
            drop(self.commands.send(close));
        }
    }

    pub(super) async fn unlock(&mut self, permit: &mut Option<Permit>) -> io::Result<()> {
        if !self.process.is_current() {
            return Ok(()); // the lock is the parent's
        }
        let (send, answer) = oneshot::channel();
        let view = self.view.take();
        self.send(Command::Unlock(view, permit.take(), send))?;
        let (view, returned, done) = answer.await.map_err(|_| panicked())?;
        (self.view, *permit) = (Some(view), returned);
        done
    }

    pub(super) fn peek(&self) -> Option<&H> {
        self.view.as_deref()
    }

    #[inline]
    pub(super) fn is_of_this_process(&self) -> bool {
        self.process.is_current()
    }

    fn send(&self, command: Command<H>) -> io::Result<()> {
        if !self.process.is_current() {
            return Err(io::Error::other(
                "the thread that has this handle stayed in the process that forked this one",
            ));
        }
        self.commands.send(command).map_err(|_| panicked())
    }
}

impl<H: LockHandle> Drop for HandleThread<H> {
    fn drop(&mut self) {
        self.close(&mut None); // this does nothing if it was closed before
    }
}

/// The main function of the thread: it makes calls until it is told to close the handle.
///
/// The order of the parameters is that in which a panic drops them: the handle first.
pub(super) fn run<H: LockHandle>(commands: mpsc::Receiver<Command<H>>, mut handle: Arc<H>) {
    let mut permits = Vec::new();
    while let Ok(command) = commands.recv() {
        match command {
            Command::Call(call) => call(&mut handle),
            Command::Close(view, permit) => {
                drop(view);
                permits.extend(permit);
                break;
            }
            Command::Unlock(view, permit, send) => {
                drop(view);
                let done = block_on(sole_owner(&mut handle).unlock());
                if let Err((_, permit, _)) = send.send((handle.clone(), permit, done)) {
                    permits.extend(permit);
                }
            }
        }
    }
    drop(handle); // which releases
    drop(permits);
}

fn sole_owner<H>(handle: &mut Arc<H>) -> &mut H {
    Arc::get_mut(handle).expect("the view of the handle comes back before such a call")
}

pub(super) fn panicked() -> io::Error {
    io::Error::other("the backend panicked in this call")
}

pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("touchfile-call".into())
        .spawn(work)
        .map(drop)
}
