//! Moments as dates of the calendar.

use crate::Timestamp;

impl Timestamp {
    /// UTC with milliseconds, for example `2026-01-02T03:04:05.678Z`.
    pub fn iso_millis(self) -> String {
        let millis = self.millis();
        let (days, in_day) = (millis / 86_400_000, millis % 86_400_000);
        let (year, month, day) = civil(days);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            in_day / 3_600_000,
            in_day / 60_000 % 60,
            in_day / 1000 % 60,
            in_day % 1000
        )
    }

    /// The moment that a text names: UTC, as [`Timestamp::iso_millis`] writes it, with or without the fraction.
    pub fn from_iso(text: &str) -> Option<Timestamp> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let number = |text: &str| -> Option<u64> {
            let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
            digits.then(|| text.parse().ok()).flatten()
        };
        let mut date = date.split('-').map(number);
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let (time, millis) = match time.split_once('.') {
            // Digits beyond milliseconds are read and left out.
            Some((time, fraction))
                if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) =>
            {
                (time, number(&format!("{fraction:0<3}")[..3])?)
            }
            Some(_) => return None,
            None => (time, 0),
        };
        let mut time = time.split(':').map(number);
        let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
        let days = days_from_civil(year, month, day)?;
        let fits = hour < 24 && minute < 60 && second < 60 && date.next().is_none() && time.next().is_none();
        fits.then(|| Timestamp(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + millis))
    }
}

/// Days from 1970-01-01 to a date that exists, up to the year 9999; the inverse of [`civil`].
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = days.checked_sub(719_468)?;
    (civil(days) == (year + u64::from(month <= 2), month, day)).then_some(days)
}

/// Year, month and day of the proleptic Gregorian calendar, `days` after 1970-01-01. Counts in 400-year eras of
/// years that start in March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(millis).iso_millis(), expected);
            assert_eq!(Timestamp::from_iso(expected), Some(Timestamp(millis)));
        }
    }

    #[test]
    fn texts_that_name_no_moment() {
        assert_eq!(
            Timestamp::from_iso("1970-01-02T00:00:00Z"),
            Some(Timestamp(86_400_000))
        );
        let long = "1970-01-02T00:00:00.001999999999999999999999Z";
        assert_eq!(Timestamp::from_iso(long), Some(Timestamp(86_400_001)));
        assert_eq!(
            Timestamp::from_iso("2026-01-02T03:04:05Z"),
            Some(Timestamp(1_767_323_045_000))
        );
        assert_eq!(
            Timestamp::from_iso("2026-01-02T03:04:05.5Z"),
            Some(Timestamp(1_767_323_045_500))
        );
        for bad in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "tomorrow",
            "2026-01-31T12:00:00+01:00",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.xZ",
            "2026-01-02T03:04:05.a日Z",
            "1969-12-31T23:59:59Z",
            "+2026-01-02T03:04:05Z",
            "2026-01-02-03T03:04:05Z",
            "99999999999999999999-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::from_iso(bad), None, "{bad}");
        }
    }
}
