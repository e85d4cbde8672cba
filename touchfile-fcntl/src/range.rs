//! Which bytes of a file are locked.

use std::io;
use std::ops::RangeInclusive;

use nix::libc::off_t;

/// Bytes of a file, as fcntl(2) counts them: a length of 0 is all that follow.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Range {
    pub(crate) start: off_t,
    pub(crate) len: off_t,
}

impl Range {
    pub(crate) const WHOLE: Self = Self { start: 0, len: 0 };

    /// Refuses what the system would take for something else, or refuse with less to say.
    pub(crate) fn new(start: u64, len: u64) -> io::Result<Self> {
        let too_far = || {
            let last = off_t::MAX;
            let what = format!(
                "{len} bytes from byte {start} on cannot be locked: the last byte is {last}"
            );
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        let last = start
            .checked_add(len.saturating_sub(1))
            .ok_or_else(too_far)?;
        if off_t::try_from(last).is_err() {
            return Err(too_far());
        }
        match (start.try_into(), len.try_into()) {
            (Ok(start), Ok(len)) => Ok(Self { start, len }),
            // All bytes there are: the length alone is too large by one.
            (Ok(start), Err(_)) => Ok(Self { start, len: 0 }),
            (Err(_), _) => Err(too_far()),
        }
    }

    /// The first and the last byte, as the kernel lists them; `None` if it is the whole file.
    pub(crate) fn listed(self) -> Option<RangeInclusive<u64>> {
        (self != Self::WHOLE).then(|| self.bytes())
    }

    /// Whether it has a byte in common with these.
    pub(crate) fn overlaps(self, bytes: &RangeInclusive<u64>) -> bool {
        let own = self.bytes();
        own.start() <= bytes.end() && bytes.start() <= own.end()
    }

    fn bytes(self) -> RangeInclusive<u64> {
        // Neither is negative: `new` saw to that.
        let start = u64::try_from(self.start).unwrap_or_default();
        let end = match u64::try_from(self.len).unwrap_or_default() {
            0 => u64::MAX,
            len => start + (len - 1),
        };
        start..=end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: u64 = off_t::MAX as u64;

    #[test]
    fn no_length_is_all_that_follows() {
        assert_eq!(Range::new(0, 0).unwrap(), Range::WHOLE);
        assert_eq!(Range::new(7, 0).unwrap(), Range { start: 7, len: 0 });
        assert_eq!(Range::new(LAST, 0).unwrap().start, off_t::MAX);
    }

    #[test]
    fn ranges_overlap_if_they_have_a_byte_in_common() {
        let some = Range::new(10, 5).unwrap();
        assert!(some.overlaps(&(14..=20)) && some.overlaps(&(0..=10)));
        assert!(!some.overlaps(&(15..=20)) && !some.overlaps(&(0..=9)));
        let rest = Range::new(10, 0).unwrap();
        assert!(rest.overlaps(&(99..=u64::MAX)) && !rest.overlaps(&(0..=9)));
        assert!(Range::WHOLE.overlaps(&(0..=0)));
    }

    #[test]
    fn a_range_is_listed_by_its_first_and_last_byte() {
        assert_eq!(Range::WHOLE.listed(), None);
        assert_eq!(Range::new(7, 3).unwrap().listed(), Some(7..=9));
        assert_eq!(Range::new(7, 0).unwrap().listed(), Some(7..=u64::MAX));
    }

    #[test]
    fn the_last_byte_can_be_locked_and_none_behind_it() {
        let last = Range::new(LAST, 1).unwrap();
        assert_eq!((last.start, last.len), (off_t::MAX, 1));
        assert_eq!(Range::new(1, LAST).unwrap().len, off_t::MAX);
        assert_eq!(Range::new(0, LAST + 1).unwrap(), Range::WHOLE);
        for (start, len) in [
            (LAST, 2),
            (LAST + 1, 0),
            (LAST + 1, 1),
            (0, LAST + 2),
            (2, LAST),
            (1, u64::MAX),
            (u64::MAX, u64::MAX),
            (u64::MAX, 0),
        ] {
            let error = Range::new(start, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{start}+{len}");
            assert!(error.to_string().contains(&start.to_string()), "{error}");
        }
    }
}
