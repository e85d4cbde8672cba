//! The fuzz targets of `fuzz/`, on their corpus and on some thousand inputs made from it, each time the
//! same ones.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use touchfile_file::fuzzing as file;
use touchfile_testkit::fuzzing as testkit;

/// How many inputs are made for each target.
const MUTATIONS: u32 = 4_000;

#[test]
fn no_list_of_locks_is_too_strange() {
    on_corpus("locks", file::locks);
}

#[test]
fn no_fdinfo_is_too_strange() {
    on_corpus("fdinfo", file::fdinfo);
}

#[test]
fn no_list_of_mounts_is_too_strange() {
    on_corpus("mountinfo", file::mountinfo);
}

#[test]
fn no_notice_is_too_strange() {
    on_corpus("notice", file::notice);
}

#[test]
fn no_process_is_too_strange() {
    on_corpus("process", file::process);
}

#[test]
fn no_message_in_a_queue_is_too_strange() {
    on_corpus("queue", file::queue);
}

#[test]
fn no_line_of_a_worker_is_too_strange() {
    on_corpus("worker", testkit::worker);
}

/// Runs a target. What is printed before it panics is the input, for the corpus.
fn on_corpus(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut names: Vec<_> = fs::read_dir(folder.join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let seeds: Vec<Vec<u8>> = names.iter().map(|name| fs::read(name).unwrap()).collect();
    assert!(!seeds.is_empty(), "there is no corpus for {name}");
    seeds.iter().for_each(|seed| run(target, seed));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..MUTATIONS {
        let mut input = random.one_of(&seeds).clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &seeds, &mut random);
        }
        run(target, &input);
    }
}

fn run(target: fn(&[u8]), input: &[u8]) {
    if std::panic::catch_unwind(|| target(input)).is_err() {
        panic!("on {:?}", String::from_utf8_lossy(input));
    }
}

/// What parsers stumble over: the ends of numbers, separators, and bytes that are no text.
const PIECES: [&[u8]; 16] = [
    b"",
    b" ",
    b"\n",
    b"\0",
    b":",
    b"-",
    b"-1",
    b"0",
    b"%",
    b"\\0",
    b"\xff",
    "\u{fc}".as_bytes(),
    b"4294967295",
    b"4294967296",
    b"18446744073709551615",
    b"18446744073709551616",
];

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(24)).min(input.len());
    match random.below(6) {
        0 => drop(input.drain(at..end)),
        1 => drop(input.splice(at..end, random.one_of(&PIECES).iter().copied())),
        2 => {
            let again = input[at..end].to_vec();
            drop(input.splice(end..end, again));
        }
        3 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        4 => input.truncate(at),
        _ => {
            let other = random.one_of(seeds);
            let from = random.below(other.len() + 1);
            let to = (from + random.below(64)).min(other.len());
            drop(input.splice(at..end, other[from..to].iter().copied()));
        }
    }
}

/// xorshift64 (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
