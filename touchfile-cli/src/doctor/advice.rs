//! The advice that follows from the facts.

use touchfile::Guarantee;
use touchfile::auto::{self, Method};
use touchfile_file::{FileSystem, FileSystemKind, Mount};

use super::facts::Facts;

/// What a lock guarantees, and which backend to use.
#[derive(Debug)]
pub(super) struct Advice {
    /// The backend to use.
    pub(super) backend: Method,
    pub(super) guarantee: Guarantee,
    /// Which processes a lock excludes and why, as text.
    pub(super) why: String,
    pub(super) warnings: Vec<String>,
    /// Whether a lock excludes all processes that can open the files.
    pub(super) complete: bool,
}

impl Advice {
    pub(super) fn on(facts: &Facts) -> Self {
        let (file_system, mount) = (facts.file_system, facts.mount.as_ref());
        let name = file_system.name();
        let mut guarantee = auto::guarantee(file_system, mount);
        let local = file_system.kind() == FileSystemKind::Local;
        let mut warnings = warnings(file_system, mount);
        let mut backend = auto::choose(file_system);
        let mut complete = match guarantee {
            Guarantee::CrossHost => true,
            Guarantee::HostLocal => local,
            _ => false,
        };
        let mut why = why(file_system, mount, guarantee);
        if let Some(export) = &facts.export {
            let says = if export.active {
                "exports"
            } else {
                "is to export"
            };
            warnings.push(format!(
                "an NFS server on this host {says} {} ({}): flock here does not exclude its \
                 clients, fcntl does",
                export.directory.display(),
                export.list.display()
            ));
            // The NFS server of the kernel takes the locks of its clients as locks of fcntl(2).
            backend = Method::Fcntl;
            guarantee = Guarantee::CrossHost;
            complete = false;
            why = format!(
                "{name} is local, and locks of fcntl meet those of the clients of the NFS server, \
                 unless these have it mounted with nolock"
            );
        }
        Self {
            backend,
            guarantee,
            why,
            warnings,
            complete,
        }
    }
}

/// The name of a method in reports and on the command line.
pub(super) fn name(method: Method) -> &'static str {
    match method {
        Method::Fcntl => "fcntl",
        _ => "flock",
    }
}

/// Which processes a lock excludes, and how that is known.
fn why(file_system: FileSystem, mount: Option<&Mount>, guarantee: Guarantee) -> String {
    let name = file_system.name();
    let local = file_system.kind() == FileSystemKind::Local;
    match guarantee {
        Guarantee::HostLocal if local => {
            format!("{name} is a local file system: all who can get at it are on this host")
        }
        Guarantee::HostLocal => match mount.and_then(host_local_option) {
            Some(option) => format!(
                "{name} is mounted with {option}: the server is not told of locks, and other \
                 hosts are not excluded"
            ),
            None => format!("{name} does not tell other hosts of locks"),
        },
        Guarantee::CrossHost => {
            format!("{name} passes locks of fcntl on to the server, which excludes other hosts")
        }
        Guarantee::None => format!("{name} as it is mounted grants every lock, or none"),
        _ if mount.is_none() => {
            format!("{name} may be shared with other hosts, and its mount cannot be seen")
        }
        _ => format!("whether {name} passes locks on to other hosts cannot be asked"),
    }
}

/// The mount option that keeps locks on this host.
fn host_local_option(mount: &Mount) -> Option<String> {
    for option in ["nolock", "nobrl", "localflock", "localflocks"] {
        if mount.has(option) {
            return Some(option.into());
        }
    }
    for option in ["local_lock", "flock"] {
        if let Some(value) = mount.option(option) {
            return Some(format!("{option}={value}"));
        }
    }
    None
}

fn warnings(file_system: FileSystem, mount: Option<&Mount>) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(mount) = mount else {
        return warnings;
    };
    let name = file_system.name();
    if name == "nfs" && (mount.has("soft") || mount.has("softerr")) {
        warnings.push(
            "it is a soft mount: when the server does not answer in time, calls fail, and a lock \
             may be lost; mount it hard"
                .into(),
        );
    }
    let is_4 = mount.file_system() == "nfs4"
        || mount
            .option("vers")
            .is_some_and(|version| version.starts_with('4'));
    if name == "nfs" && !is_4 && mount.option("local_lock") == Some("flock") {
        warnings.push(
            "it is mounted with local_lock=flock: programs that use flock exclude nobody on other \
             hosts, those that use fcntl do"
                .into(),
        );
    }
    if name == "overlayfs" {
        warnings.push(
            "a lock through the overlay does not exclude one on the same file in its layer: have \
             all go through the overlay"
                .into(),
        );
    }
    if mount.has("ro") {
        warnings.push("it is mounted read-only: no lock file can be created".into());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::exports::Export;
    use super::super::facts::TrialDirectory;
    use super::*;

    fn advice(magic: u32, mount: &str, export: Option<Export>) -> Advice {
        let mount = Mount::parse(&format!("41 27 {mount}")).unwrap();
        Advice::on(&Facts {
            file_system: FileSystem::from_magic(magic).with_block_device(mount.device().0 != 0),
            mount: Some(mount),
            export,
            queue: touchfile_file::QueuePlace::Abstract,
            trial_directory: TrialDirectory::None(String::new()),
        })
    }

    #[test]
    fn a_local_file_system_is_locked_with_flock_and_nothing_is_missing() {
        let advice = advice(0xEF53, "254:0 / / rw - ext4 /dev/vda rw", None);
        assert_eq!(advice.backend, Method::Flock);
        assert!(advice.complete && advice.warnings.is_empty());
        assert!(advice.why.contains("local"), "{}", advice.why);
    }

    #[test]
    fn an_export_is_a_reason_for_fcntl() {
        let export = Export {
            directory: "/export".into(),
            list: "/etc/exports".into(),
            active: true,
        };
        let advice = advice(0xEF53, "254:0 / / rw - ext4 /dev/vda rw", Some(export));
        assert_eq!(advice.backend, Method::Fcntl);
        assert_eq!(advice.guarantee, Guarantee::CrossHost);
        assert!(!advice.complete);
        let [warning] = &advice.warnings[..] else {
            panic!("{:?}", advice.warnings)
        };
        assert!(warning.contains("flock here does not exclude"), "{warning}");
    }

    #[test]
    fn options_that_keep_locks_on_this_host_are_named() {
        for (magic, mount, option) in [
            (
                0x6969,
                "0:53 / /n rw - nfs s:/ rw,vers=3,nolock,local_lock=all",
                "nolock",
            ),
            (
                0x6969,
                "0:53 / /n rw - nfs s:/ rw,vers=3,local_lock=posix",
                "local_lock=posix",
            ),
            (0xFE53_4D42, "0:54 / /s rw - cifs //s/x rw,nobrl", "nobrl"),
            (
                0x0BD0_0BD0,
                "0:56 / /l rw - lustre m:/fs rw,localflock",
                "localflock",
            ),
        ] {
            let advice = advice(magic, mount, None);
            assert!(!advice.complete, "{mount}");
            assert!(
                advice.why.contains(&format!("with {option}:")),
                "{}",
                advice.why
            );
        }
    }

    #[test]
    fn nfs_4_does_not_care_about_those_options() {
        let mount = "0:53 / /n rw - nfs4 s:/ rw,vers=4.2,soft,local_lock=all";
        let advice = advice(0x6969, mount, None);
        assert!(advice.complete && advice.why.contains("other hosts"));
        assert_eq!(advice.warnings.len(), 1, "soft: {:?}", advice.warnings);
    }

    #[test]
    fn what_is_not_known_is_not_said_to_be_complete() {
        let advice = advice(0x6573_5546, "0:61 / /f rw - fuse.glusterfs s:/v rw", None);
        assert!(!advice.complete);
        assert!(advice.why.contains("cannot be asked"), "{}", advice.why);
    }
}
