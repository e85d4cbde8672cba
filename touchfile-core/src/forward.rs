//! `Arc<B>`, `Box<B>` and `Box<H>` are backends and handles too.
//!
//! The futures are handed on as they are, not awaited inside another boxed future: forwarding
//! costs no allocation. That is why these methods are written the way `async_trait` expands them.

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Attempt, Capabilities, ConvertLock, Guarantee, Holder, LockBackend, LockHandle, LockMode,
    OpenFile, OpenOptions, Platform,
};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

macro_rules! forward_backend {
    ($($pointer:ident),*) => {$(
        impl<B: LockBackend + ?Sized> LockBackend for $pointer<B> {
            type Handle = B::Handle;

            fn name(&self) -> &'static str {
                (**self).name()
            }

            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }

            fn open<'s, 'p, 'o, 'f>(
                &'s self,
                path: &'p Path,
                options: &'o OpenOptions,
            ) -> BoxFuture<'f, io::Result<B::Handle>>
            where
                's: 'f,
                'p: 'f,
                'o: 'f,
                Self: 'f,
            {
                (**self).open(path, options)
            }

            fn adopt(&self, file: &OpenFile) -> io::Result<B::Handle> {
                (**self).adopt(file)
            }

            fn holders<'s, 'p, 'f>(
                &'s self,
                path: &'p Path,
            ) -> BoxFuture<'f, io::Result<Vec<Holder>>>
            where
                's: 'f,
                'p: 'f,
                Self: 'f,
            {
                (**self).holders(path)
            }

            fn guarantee(&self, path: &Path) -> io::Result<Guarantee> {
                (**self).guarantee(path)
            }

            fn open_may_block(&self, path: &Path, options: &OpenOptions) -> bool {
                (**self).open_may_block(path, options)
            }

            fn answers_later(&self) -> bool {
                (**self).answers_later()
            }

            fn platform(&self) -> &'static dyn Platform {
                (**self).platform()
            }
        }
    )*};
}

forward_backend!(Arc, Box);

impl<H: LockHandle + ?Sized> LockHandle for Box<H> {
    fn try_lock<'s, 'f>(&'s mut self, mode: LockMode) -> BoxFuture<'f, io::Result<Attempt>>
    where
        's: 'f,
        Self: 'f,
    {
        (**self).try_lock(mode)
    }

    fn lock<'s, 'f>(&'s mut self, mode: LockMode) -> BoxFuture<'f, io::Result<()>>
    where
        's: 'f,
        Self: 'f,
    {
        (**self).lock(mode)
    }

    fn try_lock_fair<'s, 'f>(&'s mut self, mode: LockMode) -> BoxFuture<'f, io::Result<Attempt>>
    where
        's: 'f,
        Self: 'f,
    {
        (**self).try_lock_fair(mode)
    }

    fn unlock<'s, 'f>(&'s mut self) -> BoxFuture<'f, io::Result<()>>
    where
        's: 'f,
        Self: 'f,
    {
        (**self).unlock()
    }

    fn is_current<'s, 'p, 'f>(&'s self, path: &'p Path) -> BoxFuture<'f, io::Result<bool>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        (**self).is_current(path)
    }

    fn is_lost<'s, 'f>(&'s self) -> BoxFuture<'f, io::Result<bool>>
    where
        's: 'f,
        Self: 'f,
    {
        (**self).is_lost()
    }

    fn lost<'s, 'f>(&'s self, interval: Duration) -> BoxFuture<'f, io::Result<()>>
    where
        's: 'f,
        Self: 'f,
    {
        (**self).lost(interval)
    }

    fn valid_until(&self) -> Option<Instant> {
        (**self).valid_until()
    }

    fn token(&self) -> Option<u64> {
        (**self).token()
    }

    fn may_block(&self) -> bool {
        (**self).may_block()
    }

    fn queues(&self) -> bool {
        (**self).queues()
    }

    fn drop_may_block(&self) -> bool {
        (**self).drop_may_block()
    }

    fn file(&self) -> Option<&File> {
        (**self).file()
    }

    fn identity(&self) -> Option<Vec<u8>> {
        (**self).identity()
    }

    fn guarantee(&self) -> io::Result<Guarantee> {
        (**self).guarantee()
    }

    fn convertible(&mut self) -> Option<&mut dyn ConvertLock> {
        (**self).convertible()
    }
}
