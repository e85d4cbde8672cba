//! The holder is killed with SIGKILL while another process waits.

use std::io;

use super::handoff;
use super::turns::End;
use crate::run::Run;

pub(super) const NAME: &str = "crash";

pub(super) fn run(run: &mut Run) -> io::Result<()> {
    let rounds = run.effort.pick(150, 8, 2);
    let caption = "The holder's process is killed with SIGKILL.";
    handoff::measure(run, "", End::Kill, false, rounds, NAME, caption)
}
