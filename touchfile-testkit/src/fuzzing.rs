//! The parsers of what workers write.
//!
//! They are for the fuzz targets in `fuzz/`, and no part of the interface: they are there with the feature
//! `fuzzing` only, and may change at any time.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::free::{Line, Plan};
use crate::process::{Answer, Command};
use crate::worker::next_reply;

/// What a worker writes, and what it is sent.
///
/// # Panics
///
/// If a parser does, or if what was understood is not read back from what is written of it.
pub fn worker(text: &[u8]) {
    let mut read = text.to_vec();
    while let Some(reply) = next_reply(&mut read) {
        lines(&reply);
    }
    assert!(!read.contains(&b'\n'), "all whole lines are read");
    for line in String::from_utf8_lossy(text).lines() {
        lines(line);
    }
}

fn lines(line: &str) {
    json::<Answer>(line);
    json::<Command>(line);
    json::<Plan>(line);
    if let Ok(entry) = line.parse::<Line>() {
        // A carriage return in it is written as a space.
        let written = entry.to_string();
        let again = written.parse::<Line>().expect("it was written");
        assert_eq!(again.to_string(), written, "{line:?}");
    }
}

fn json<T: DeserializeOwned + Serialize>(line: &str) {
    if let Ok(value) = serde_json::from_str::<T>(line) {
        let written = serde_json::to_string(&value).expect("it can be written");
        let again: T = serde_json::from_str(&written).expect("it was written");
        let again = serde_json::to_string(&again).expect("it can be written");
        assert_eq!(again, written, "{line:?}");
    }
}
