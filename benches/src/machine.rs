//! Where it was measured: numbers of different machines are not compared.

use std::fs;
use std::path::Path;
use std::thread;

pub(crate) fn describe(directory: &Path) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = read("/proc/cpuinfo");
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!(
        "Linux {}, {} processors ({model}), {} at {}, load {load} at the start, touchfile {}\n",
        kernel.trim(),
        thread::available_parallelism().map_or(0, usize::from),
        file_system(directory),
        directory.parent().unwrap_or(directory).display(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The type of the file system, as the last mount that covers the directory says.
fn file_system(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?;
        let covers = directory.starts_with(point);
        Some((point.len(), words.next()?.to_owned())).filter(|_| covers)
    };
    let deepest = mounts
        .lines()
        .filter_map(mount)
        .max_by_key(|(depth, _)| *depth);
    deepest.map_or_else(|| "unknown file system".to_owned(), |(_, kind)| kind)
}
