//! Parses the numbers of options like util-linux.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::libc::off_t;

use super::{OS_ERROR, Stop};

/// How long to wait for the lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WaitLimit {
    Unlimited,
    None,
    Time(Duration),
    /// A time to which no timer can be set. The error is reported after the file was opened.
    Unfit,
}

impl WaitLimit {
    /// Refuses a time to which no timer can be set.
    pub(super) fn checked(self) -> Result<Self, Stop> {
        match self {
            Self::Unfit => Err(Stop::new(OS_ERROR, "cannot set up timer: Invalid argument")),
            fit => Ok(fit),
        }
    }
}

/// An exit status.
pub(super) fn exit_code(value: &OsStr) -> Result<u8, Stop> {
    let number = number(value, "invalid exit code")?;
    u8::try_from(number).map_err(|_| Stop::usage("exit code out of range (expected 0 to 255)"))
}

/// A whole number in the form of strtol(3) in base 10.
pub(super) fn number(value: &OsStr, complaint: &str) -> Result<i32, Stop> {
    let text = value
        .to_str()
        .map(str::trim_ascii_start)
        .unwrap_or_default();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unfit(complaint, value, ""));
    }
    text.parse()
        .map_err(|_| unfit(complaint, value, ": Numerical result out of range"))
}

/// A number of seconds in the form of strtod(3), in microseconds.
pub(super) fn timeout(value: &OsStr) -> Result<WaitLimit, Stop> {
    let text = value
        .to_str()
        .map(str::trim_ascii_start)
        .unwrap_or_default();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hexadecimal = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"));
    let seconds = match hexadecimal {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(f64::from),
        None => text.parse().ok(),
    };
    let seconds: f64 = seconds.ok_or_else(|| unfit("invalid timeout value", value, ""))?;
    let Ok(time) = Duration::try_from_secs_f64(seconds) else {
        return Ok(WaitLimit::Unfit);
    };
    if i64::try_from(time.as_secs()).is_err() {
        return Ok(WaitLimit::Unfit);
    }
    // A timer that is set to zero is off.
    match time.as_micros() {
        0 => Ok(WaitLimit::None),
        _ => Ok(WaitLimit::Time(time)),
    }
}

/// A number of bytes, perhaps with a suffix: K and KiB are 1024, KB is 1000, and so on.
pub(super) fn size(value: &OsStr, complaint: &str) -> Result<off_t, Stop> {
    const UNITS: &str = "KMGTPE";
    let text = value
        .to_str()
        .map(str::trim_ascii_start)
        .unwrap_or_default();
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let wrong = |why| unfit(complaint, value, why);
    if digits.is_empty() {
        return Err(wrong(""));
    }
    let suffix = suffix.to_ascii_uppercase();
    let power = suffix.chars().next().map_or(Some(0), |unit| {
        let power = u32::try_from(UNITS.find(unit)?).ok()?;
        Some(power + 1)
    });
    let base = match suffix.get(1..).unwrap_or_default() {
        "" | "IB" => 1024_i64,
        "B" => 1000,
        _ => return Err(wrong("")),
    };
    let power = power.ok_or_else(|| wrong(""))?;
    let bytes = digits.parse::<i64>().ok();
    let bytes = bytes.and_then(|number| number.checked_mul(base.checked_pow(power)?));
    bytes
        .and_then(|bytes| off_t::try_from(bytes).ok())
        .ok_or_else(|| wrong(": Numerical result out of range"))
}

fn unfit(complaint: &str, value: &OsStr, why: &str) -> Stop {
    let start = format!("{complaint}: '");
    let end = format!("'{why}");
    Stop::usage([start.as_bytes(), value.as_bytes(), end.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_suffixes_of_util_linux() {
        for (text, bytes) in [
            ("0", 0),
            ("7", 7),
            (" +7", 7),
            ("1K", 1024),
            ("1k", 1024),
            ("2KiB", 2048),
            ("1KB", 1000),
            ("3M", 3 << 20),
            ("1MB", 1_000_000),
            ("1G", 1 << 30),
            ("7E", 7 << 60),
        ] {
            assert_eq!(size(OsStr::new(text), "").ok(), Some(bytes), "{text}");
        }
        for text in [
            "",
            "-1",
            "K",
            "1X",
            "1KiBs",
            "1Ki",
            "8E",
            "99999999999999999999",
            "1 K",
        ] {
            assert!(size(OsStr::new(text), "").is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_to_the_microsecond() {
        let time = |text| timeout(OsStr::new(text)).ok();
        assert_eq!(
            time("1.5"),
            Some(WaitLimit::Time(Duration::from_millis(1500)))
        );
        assert_eq!(
            time(".007"),
            Some(WaitLimit::Time(Duration::from_millis(7)))
        );
        assert_eq!(time("0x10"), Some(WaitLimit::Time(Duration::from_secs(16))));
        for none in ["0", "-0", "0.0", "1e-9"] {
            assert_eq!(time(none), Some(WaitLimit::None), "{none}");
        }
        for unfit in ["-1", "inf", "nan", "1e30"] {
            assert_eq!(time(unfit), Some(WaitLimit::Unfit), "{unfit}");
        }
        for wrong in ["", "s", "1s", "1 ", "1,5", "0xg", "."] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }
}
