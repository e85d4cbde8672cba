//! Holders and waiters for machines.

use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};
use touchfile::{Holder, LockMode, Unseen};

use super::Look;
use super::names::Users;

pub(super) fn of(looks: &[Look<'_>], users: &mut Users) -> Value {
    let files: Vec<Value> = looks.iter().map(|look| of_file(look, users)).collect();
    json!({ "sees_all_processes": touchfile_file::sees_all_processes(), "files": files })
}

fn of_file(look: &Look<'_>, users: &mut Users) -> Value {
    let mut file = json!({ "path": look.path.to_string_lossy() });
    if look.path.to_str().is_none() {
        file["path_bytes"] = json!(look.path.as_os_str().as_bytes());
    }
    match &look.found {
        Ok(found) => {
            let mut list = |waiting| {
                let some = found.iter().filter(|holder| holder.waiting == waiting);
                some.map(|holder| of_holder(holder, users))
                    .collect::<Vec<_>>()
            };
            file["holders"] = list(false).into();
            file["waiters"] = list(true).into();
        }
        Err(error) => file["error"] = error.to_string().into(),
    }
    file
}

fn of_holder(holder: &Holder, users: &mut Users) -> Value {
    let mode = match holder.mode {
        LockMode::Exclusive => "exclusive",
        LockMode::Shared => "shared",
    };
    let unseen = holder.unseen.map(|unseen| match unseen {
        Unseen::Namespace => "pid namespace",
        Unseen::Permission => "permission",
        _ => "untold",
    });
    let last = |end: u64| (end != u64::MAX).then_some(end);
    let started = holder.started.map(humantime::format_rfc3339_seconds);
    json!({
        "pid": holder.pid,
        "unseen": unseen,
        "confirmed": holder.confirmed,
        "uid": holder.uid,
        "user": holder.uid.and_then(|uid| users.name(uid).map(str::to_owned)),
        "command": holder.command,
        "process_started": started.map(|time| time.to_string()),
        "kind": holder.kind.map(|kind| kind.to_string()),
        "mode": mode,
        "first_byte": holder.range.as_ref().map_or(0, |range| *range.start()),
        "last_byte": holder.range.as_ref().and_then(|range| last(*range.end())),
        "seen_for_seconds": holder.seen_for.map(|seen| seen.as_secs_f64()),
    })
}
