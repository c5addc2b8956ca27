//! Deadlines: the `grpc-timeout` value.

use std::time::Duration;

/// Nanoseconds of each unit, finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];
const DIGITS: usize = 8;
const MOST: u128 = 99_999_999;

/// Reads a value: one to eight digits and one of `H M S m u n`. `None` if it is anything else.
pub fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS {
        return None;
    }
    let mut count: u64 = 0;
    for digit in digits {
        count = count * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(match unit {
        b'n' => Duration::from_nanos(count),
        b'u' => Duration::from_micros(count),
        b'm' => Duration::from_millis(count),
        b'S' => Duration::from_secs(count),
        b'M' => Duration::from_secs(count * 60),
        b'H' => Duration::from_secs(count * 3600),
        _ => return None,
    })
}

/// Writes the remaining time in the finest unit that keeps to eight digits, rounded down, but at least one unit:
/// a forwarded deadline is never later than the real one by more than a nanosecond.
pub fn format(remaining: Duration) -> String {
    let nanos = remaining.as_nanos().max(1);
    for (unit, size) in UNITS {
        let count = nanos / size;
        if count <= MOST {
            return format!("{count}{}", char::from(unit));
        }
    }
    format!("{MOST}H")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values() {
        let check =
            |text: &str, expected: Option<Duration>| assert_eq!(parse(text.as_bytes()), expected, "{text}");
        check("1H", Some(Duration::from_secs(3600)));
        check("2M", Some(Duration::from_secs(120)));
        check("3S", Some(Duration::from_secs(3)));
        check("004m", Some(Duration::from_millis(4)));
        check("5u", Some(Duration::from_micros(5)));
        check("99999999n", Some(Duration::from_nanos(99_999_999)));
        check("99999999H", Some(Duration::from_secs(99_999_999 * 3600)));
        check("0n", Some(Duration::ZERO));
        for bad in [
            "",
            "S",
            "1",
            "1s",
            "123456789S",
            "-1S",
            "1.5S",
            " 1S",
            "1S ",
            "+1S",
            "1é",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn the_finest_unit_that_fits() {
        let check = |d: Duration, expected: &str| assert_eq!(format(d), expected);
        check(Duration::ZERO, "1n");
        check(Duration::from_nanos(99_999_999), "99999999n");
        check(Duration::from_nanos(100_000_999), "100000u");
        check(Duration::from_secs(5), "5000000u");
        check(Duration::from_secs(100), "100000m");
        check(Duration::MAX, "99999999H");
    }

    proptest! {
        #[test]
        fn a_written_value_reads_back_at_most_one_unit_short(secs in 0u64..1 << 40, nanos in 0u32..1_000_000_000) {
            let time = Duration::new(secs, nanos);
            let text = format(time);
            prop_assert!(text.len() <= 9);
            let back = parse(text.as_bytes()).unwrap();
            if time > Duration::ZERO && time < Duration::from_secs(99_999_999 * 3600) {
                prop_assert!(back <= time && (time - back).as_nanos() * 1_600_000 <= time.as_nanos());
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = parse(&bytes);
        }
    }
}
