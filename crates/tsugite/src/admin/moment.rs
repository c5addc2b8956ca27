//! Moments as people write them into requests.

use tsugite_base::Timestamp;

/// Reads RFC 3339 in UTC, with or without a fraction of a second.
pub(super) fn utc(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let numbers = |text: &str, separator: char| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text
            .split(separator)
            .map(|part| part.parse().ok())
            .collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let month_index = usize::try_from(month.checked_sub(1)?).ok()?;
    let good = (1970..=9999).contains(&year) && day >= 1 && hour < 24 && minute < 60 && second < 60;
    if !good || day > *lengths.get(month_index)? || fraction.is_empty() {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
        + lengths[..month_index].iter().sum::<u64>()
        + day
        - 1;
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(Timestamp(
        (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis,
    ))
}

#[cfg(test)]
mod tests {
    use tsugite_aws::time::iso_millis;

    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for millis in [
            0,
            951_782_400_000,
            1_767_323_045_678,
            4_107_542_399_999,
            4_107_542_400_000,
        ] {
            assert_eq!(utc(&iso_millis(Timestamp(millis))), Some(Timestamp(millis)));
        }
        assert_eq!(utc("1970-01-02T00:00:00Z"), Some(Timestamp(86_400_000)));
        for bad in [
            "",
            "tomorrow",
            "2026-01-31",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:00+01:00",
            "2026-01-31T12:00:00.Z",
            "99999999999999999999-01-01T00:00:00Z",
        ] {
            assert_eq!(utc(bad), None, "{bad}");
        }
    }
}
