//! Moments as signers write them, to the second.

use std::time::Duration;

use tsugite_base::Timestamp;

/// Reads `20150830T123600Z`.
pub(crate) fn basic(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    if bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| digits(bytes.get(from..to)?);
    moment(
        (number(0, 4)?, number(4, 6)?, number(6, 8)?),
        (number(9, 11)?, number(11, 13)?, number(13, 15)?),
    )
}

/// Reads `Sun, 30 Aug 2015 12:36:00 GMT`, the form of the header `Date` (RFC 9110, section 5.6.7).
pub(super) fn http(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let rest = text.split_once(", ")?.1.strip_suffix(" GMT")?;
    let mut parts = rest.split([' ', ':']);
    let mut next = || parts.next();
    let day = digits(next()?.as_bytes())?;
    let month = next()?;
    let month = MONTHS.iter().position(|known| *known == month)?;
    let year = digits(next()?.as_bytes())?;
    let mut clock = || digits(next()?.as_bytes());
    moment(
        (year, u64::try_from(month).ok()? + 1, day),
        (clock()?, clock()?, clock()?),
    )
}

/// Writes `20150830T123600Z`.
pub(super) fn to_basic(at: Timestamp) -> String {
    // 2015-08-30T12:36:00.000Z
    let iso = at.iso_millis();
    let mut text: String = iso.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    text.push('Z');
    text
}

fn digits(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let all = (1..=4).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit);
    all.then(|| text.parse().ok()).flatten()
}

fn moment((year, month, day): (u64, u64, u64), (hour, minute, second): (u64, u64, u64)) -> Option<Timestamp> {
    let good = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !good {
        return None;
    }
    // Years that start in March, so that the leap day is the last of its year; days since 0000-03-01.
    let (shifted, from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + (153 * from_march + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?; // to 1970-01-01
    let at = Timestamp(0) + Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second);
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        for (text, millis) in [
            ("19700101T000000Z", Some(0)),
            ("20000229T000000Z", Some(951_782_400_000)),
            ("20260102T030405Z", Some(1_767_323_045_000)),
            ("21000301T000000Z", Some(4_107_542_400_000)),
            ("20260132T030405Z", None),
            ("20261302T030405Z", None),
            ("20260102T240405Z", None),
            ("20260102 030405Z", None),
            ("2026010ZT030405Z", None),
            ("", None),
            ("2026-01-02T03:04:05Z", None),
        ] {
            assert_eq!(basic(text).map(Timestamp::millis), millis, "{text}");
            if let Some(at) = basic(text) {
                assert_eq!(to_basic(at), text);
            }
        }
        let of_header = http("Sun, 30 Aug 2015 12:36:00 GMT").unwrap();
        assert_eq!(to_basic(of_header), "20150830T123600Z");
        for bad in [
            "",
            "Sun, 30 Aug 2015 12:36:00",
            "30 Aug 2015 12:36:00 GMT",
            "Sun, 30 Agu 2015 12:36:00 GMT",
        ] {
            assert_eq!(http(bad), None, "{bad}");
        }
    }
}
