//! Durations on the command line.

use std::time::Duration;

/// Parses seconds, like sleep(1) and flock(1), or numbers with units: `5`, `0.5`, `250ms`, `1.5h`,
/// `1m30s`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let unit_starts = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(unit_starts.unwrap_or(text.len()));
    let parsed = if unit.is_empty() || number.contains('.') {
        fraction(number, unit.trim())
    } else {
        humantime::parse_duration(text).ok()
    };
    parsed
        .ok_or_else(|| "give seconds, as 5 or 0.5, or a time with units, as 250ms or 1m30s".into())
}

/// Parses a number with one unit. It may have a fraction.
fn fraction(number: &str, unit: &str) -> Option<Duration> {
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let unit = match unit {
        "" => Duration::from_secs(1),
        unit if !unit.chars().all(|c| c.is_ascii_alphabetic()) => return None,
        unit => humantime::parse_duration(&format!("1{unit}")).ok()?,
    };
    let seconds = number.parse::<f64>().ok()? * unit.as_secs_f64();
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_need_no_unit_and_other_times_have_one() {
        for (text, milliseconds) in [
            ("0", 0),
            ("5", 5_000),
            ("5.5", 5_500),
            (".25", 250),
            ("5.", 5_000),
            ("5s", 5_000),
            ("250ms", 250),
            ("1.5m", 90_000),
            ("1m30s", 90_000),
            ("1h 5min", 3_900_000),
            ("2days", 172_800_000),
            ("100000000000", 100_000_000_000_000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        assert!(parse("500000000years").is_ok());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let too_long = "9".repeat(400);
        for text in [
            "", ".", "s", "-1", "+1", "1e3", "1,5", "inf", "nan", "soon", "5x", "1.2.3", "1.5h30m",
            "5 ", " 5", &too_long,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
