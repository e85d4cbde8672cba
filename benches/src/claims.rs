//! The numbers that decide what the documentation may say.

use crate::report::Report;

pub(crate) fn judge(_report: &Report) -> String {
    String::new()
}
