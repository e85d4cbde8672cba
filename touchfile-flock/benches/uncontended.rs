//! One uncontended lock and unlock of an exclusive lock: the floor, the peer, and ours.
//!
//! `cargo bench -p touchfile-flock --bench uncontended`

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::fs::{FlockOperation, flock, lstat};
use touchfile_core::{BoxBackend, LockBackend, LockMode, TouchFile};
use touchfile_flock::FlockBackend;

fn open(path: &Path) -> File {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .open(path)
        .expect("a file")
}

fn touch<B: LockBackend>(backend: B, path: &Path, verify: bool) -> TouchFile<B> {
    TouchFile::builder(backend)
        .path(path)
        .verify(verify)
        .build()
        .expect("a touch file")
}

/// Not inlined, as the C library's function is not: whether the compiler inlines a system call
/// into the loop makes a quarter of the floor, and no program's lock calls are inlined.
#[inline(never)]
fn raw(file: &File, operation: FlockOperation) {
    flock(file, operation).expect("free or held");
}

fn uncontended(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.lock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("uncontended");

    let file = open(&path);
    group.bench_function("raw flock pair", |bencher| {
        bencher.iter(|| {
            raw(&file, FlockOperation::NonBlockingLockExclusive);
            raw(&file, FlockOperation::Unlock);
        });
    });
    group.bench_function("raw flock pair and lstat", |bencher| {
        bencher.iter(|| {
            raw(&file, FlockOperation::NonBlockingLockExclusive);
            black_box(lstat(&path).expect("it is there"));
            raw(&file, FlockOperation::Unlock);
        });
    });
    group.bench_function("fs4", |bencher| {
        bencher.iter(|| {
            fs4::FileExt::try_lock(&file).expect("free");
            fs4::FileExt::unlock(&file).expect("held");
        });
    });

    for (verify, suffix) in [(false, "verify off"), (true, "verify on")] {
        let touch = Arc::new(touch(FlockBackend::new(), &path, verify));
        group.bench_function(format!("async, {suffix}"), |bencher| {
            // Inside one task, as an application is: entering the runtime is not part of a cycle.
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = std::time::Instant::now();
                    for _ in 0..rounds {
                        drop(black_box(
                            touch.lock(LockMode::Exclusive).await.expect("free"),
                        ));
                    }
                    started.elapsed()
                })
            });
        });
        group.bench_function(format!("async, owned, {suffix}"), |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = std::time::Instant::now();
                    for _ in 0..rounds {
                        drop(black_box(
                            touch
                                .clone()
                                .lock_owned(LockMode::Exclusive)
                                .await
                                .expect("free"),
                        ));
                    }
                    started.elapsed()
                })
            });
        });
        group.bench_function(format!("blocking, {suffix}"), |bencher| {
            bencher.iter(|| {
                drop(black_box(
                    touch.blocking().lock(LockMode::Exclusive).expect("free"),
                ));
            });
        });
        let boxed = self::touch(BoxBackend::new(FlockBackend::new()), &path, verify);
        group.bench_function(format!("async, boxed, {suffix}"), |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = std::time::Instant::now();
                    for _ in 0..rounds {
                        drop(black_box(
                            boxed.lock(LockMode::Exclusive).await.expect("free"),
                        ));
                    }
                    started.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, uncontended);
criterion_main!(benches);
