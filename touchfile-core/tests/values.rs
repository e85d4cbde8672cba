//! The values that people store and print.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use serde_json::{Value, from_value, json, to_value};
use touchfile_core::{
    Capabilities, Guarantee, Holder, LockKind, LockMode, Loss, OpenOptions, ProcessId,
};

fn stored<T>(value: &T) -> Value
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let stored = to_value(value).unwrap();
    assert_eq!(&from_value::<T>(stored.clone()).unwrap(), value);
    stored
}

#[test]
fn values_with_names_are_stored_under_the_names_they_display_as() {
    for mode in [LockMode::Exclusive, LockMode::Shared] {
        assert_eq!(stored(&mode), mode.to_string());
    }
    for kind in [LockKind::Flock, LockKind::Ofd, LockKind::Posix] {
        assert_eq!(stored(&kind), kind.to_string());
    }
    for guarantee in [
        Guarantee::CrossHost,
        Guarantee::HostLocal,
        Guarantee::None,
        Guarantee::Unknown,
    ] {
        assert_eq!(stored(&guarantee), guarantee.to_string());
    }
    assert_eq!(stored(&Loss::Revoked), "revoked");
}

#[test]
fn a_holder_is_stored_with_all_that_is_known() {
    let mut holder = Holder::new(LockMode::Exclusive);
    assert_eq!(stored(&holder)["process"], "unknown");
    holder.process = ProcessId::Known(7);
    holder.command = Some("cargo build".into());
    holder.started = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    holder.kind = Some(LockKind::Ofd);
    holder.range = Some(0..=9);
    holder.seen_for = Some(Duration::from_millis(1500));
    let stored = stored(&holder);
    assert_eq!(stored["process"], json!({ "known": 7 }));
    assert_eq!(stored["kind"], "OFDLCK");
}

#[test]
fn what_was_stored_before_a_field_existed_has_its_default() {
    assert_eq!(stored(&Capabilities::FILES)["real_files"], true);
    let old: Capabilities = from_value(json!({ "shared": true })).unwrap();
    assert!(old.shared && !old.fair);
    let old: OpenOptions = from_value(json!({ "create": false })).unwrap();
    assert!(!old.create && !old.follow_symlinks);
    stored(&old);
}
