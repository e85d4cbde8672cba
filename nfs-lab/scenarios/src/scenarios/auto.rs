//! What `AutoBackend` chooses and guarantees on each kind of mount, and whether the guarantee is kept.

use std::fs;
use std::path::{Path, PathBuf};

use touchfile::auto::Method;
use touchfile::{AutoBackend, Guarantee, LockBackend};
use touchfile_core::{LockHandle, OpenOptions};

use crate::lab::{At, Lab, run};
use crate::outcome::{Outcome, Undone, must};
use crate::runner::Scenario;
use crate::worker::{Backend, Worker};

pub(super) fn scenarios() -> Vec<Scenario> {
    use Guarantee::{CrossHost, HostLocal, Unknown};
    let mut scenarios = vec![
        Scenario::new(
            "auto::on_a_mount_of_nfs_a_lock_counts_across_hosts",
            |lab| {
                chooses(lab.dir(At::A), Method::Fcntl, CrossHost)?;
                excludes(lab, Backend::Auto, At::A, At::B, true)?;
                // On the server it is a local file system, for which it chooses otherwise.
                chooses(lab.dir(At::Server), Method::Flock, HostLocal)?;
                excludes(lab, Backend::Auto, At::A, At::Server, false)
            },
        ),
        Scenario::new(
            "auto::on_local_file_systems_a_lock_counts_on_this_host",
            |_| {
                let there = mounted("tmpfs", &["-t", "tmpfs", "tmpfs"])?;
                chooses(&there.0, Method::Flock, HostLocal)?;
                let layers = format!(
                    "lowerdir=/etc,upperdir={0}/upper,workdir={0}/work",
                    there.0.display()
                );
                fs::create_dir(there.0.join("upper"))?;
                fs::create_dir(there.0.join("work"))?;
                let overlay = mounted("overlay", &["-t", "overlay", "overlay", "-o", &layers])?;
                chooses(&overlay.0, Method::Flock, HostLocal)
            },
        ),
        Scenario::new(
            "auto::on_fuse_nothing_is_known_of_what_a_lock_is_worth",
            |lab| {
                let place = PathBuf::from("/mnt/fuse");
                fs::create_dir_all(&place)?;
                run("bindfs", &[&text(lab.dir(At::Server)), &text(&place)])?;
                let there = Mounted(place);
                chooses(&there.0, Method::Fcntl, Unknown)
            },
        ),
    ];
    // Version 4 has locks in its protocol and ignores these options (nfs(5)).
    for (options, worth_on_v3) in [
        ("nolock", HostLocal),
        ("local_lock=all", HostLocal),
        ("local_lock=posix", HostLocal),
        ("local_lock=flock", CrossHost),
    ] {
        let name = format!("auto::what_a_lock_is_worth_with_{options}_is_known_and_true");
        scenarios.push(Scenario::new(name, move |lab| {
            let worth = if lab.is_v3() { worth_on_v3 } else { CrossHost };
            let there = mount_at_a(lab, options)?;
            chooses(&there.0, Method::Fcntl, worth)?;
            is_worth(lab, &there.0, worth)
        }));
    }
    scenarios
}

/// The method and the guarantee for a file in this directory.
fn chooses(dir: &Path, method: Method, guarantee: Guarantee) -> Outcome {
    // Opening waits while a client has a delegation for the file.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let path = dir.join("auto.lock");
    let handle = runtime.block_on(AutoBackend::new().open(&path, &OpenOptions::new()))?;
    let chosen = (handle.raw().method(), handle.guarantee()?);
    must(
        chosen == (method, guarantee),
        format!(
            "on {}: {chosen:?}, not {:?}",
            dir.display(),
            (method, guarantee)
        ),
    )
}

/// Whether two processes exclude each other.
fn excludes(lab: &Lab, backend: Backend, one: At, other: At, expected: bool) -> Outcome {
    let name = lab.new_name();
    let mut one = Worker::start(lab, one, backend, &name)?;
    let mut other = Worker::start(lab, other, backend, &name)?;
    one.must("try exclusive", "held")?;
    other.must("try exclusive", if expected { "busy" } else { "held" })
}

/// A lock through this mount on client A excludes client B, or only others on A.
fn is_worth(lab: &Lab, dir: &Path, worth: Guarantee) -> Outcome {
    let name = lab.new_name();
    let mut here = Worker::start_in(dir, At::A, Backend::Auto, &name)?;
    let mut beside = Worker::start_in(dir, At::A, Backend::Auto, &name)?;
    let mut elsewhere = Worker::start(lab, At::B, Backend::Auto, &name)?;
    here.must("try exclusive", "held")?;
    beside.must("try exclusive", "busy")?;
    let across = if worth == Guarantee::CrossHost {
        "busy"
    } else {
        "held"
    };
    elsewhere.must("try exclusive", across)
}

/// A mount. It is unmounted when this is dropped.
struct Mounted(PathBuf);

/// Mounts the shared directory once more on client A.
fn mount_at_a(lab: &Lab, options: &str) -> Result<Mounted, Undone> {
    let place = PathBuf::from(format!("/mnt/{options}"));
    fs::create_dir_all(&place)?;
    let options = format!("vers={},nosharecache,{options}", lab.version());
    let words = ["a", "mount", "-t", "nfs", "-o", &options];
    run(
        "as-client",
        &[&words[..], &[&lab.share_for_a(), &text(&place)]].concat(),
    )?;
    Ok(Mounted(place))
}

fn mounted(name: &str, words: &[&str]) -> Result<Mounted, Undone> {
    let place = PathBuf::from(format!("/mnt/{name}"));
    fs::create_dir_all(&place)?;
    run("mount", &[words, &[&text(&place)]].concat())?;
    Ok(Mounted(place))
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The unmount is lazy, because a worker with an open file may just have been killed.
        if let Err(error) = run("umount", &["-l", &text(&self.0)]) {
            println!("{error:?}");
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
