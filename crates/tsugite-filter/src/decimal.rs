//! Numbers as they are written, compared exactly.
//!
//! A policy says `3` and a message says `"3.0"`; a price has five digits after the point and an identifier has
//! twenty before it. Binary floating point gets some of these wrong, so a number stays the decimal that it is.

use std::cmp::Ordering;
use std::fmt;

/// Digits that fit into `head`: 18 nines are below 2^60.
const HEAD_DIGITS: usize = 18;
/// Powers of ten stay within this, so that sums of a few cannot overflow. A number beyond it is as good as infinite.
const POWER_LIMIT: i64 = 1 << 40;

/// A decimal number of any length. Equal numbers are equal values, however they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    /// −1, 0 or 1.
    sign: i8,
    /// The number is 0.d₁d₂d₃… × 10^power with d₁ ≠ 0; 0 for zero.
    power: i64,
    /// d₁ to d₁₈.
    head: u64,
    /// The digits after those, without zeros at the end.
    tail: Option<Box<[u8]>>,
}

impl Decimal {
    const ZERO: Decimal = Decimal {
        sign: 0,
        power: 0,
        head: 0,
        tail: None,
    };

    /// Reads an optional sign, digits with an optional point, and an optional exponent; nothing around them.
    /// Takes time linear in the text.
    pub(crate) fn parse(text: &str) -> Option<Decimal> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let mantissa_end = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = match mantissa_end {
            Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let point = mantissa.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match point {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        Some(Decimal::from_digits(negative, whole, fraction, exponent))
    }

    fn from_digits(negative: bool, whole: &[u8], fraction: &[u8], exponent: i64) -> Decimal {
        let digits = || whole.iter().chain(fraction);
        let Some(leading_zeros) = digits().position(|digit| *digit != b'0') else {
            return Decimal::ZERO;
        };
        let zeros_at_end = digits().rev().take_while(|digit| **digit == b'0').count();
        let significant = whole.len() + fraction.len() - leading_zeros - zeros_at_end;
        let mut rest = digits().skip(leading_zeros).take(significant);
        let mut head = 0;
        for _ in 0..HEAD_DIGITS {
            head = head * 10 + rest.next().map_or(0, |digit| u64::from(digit - b'0'));
        }
        let tail: Box<[u8]> = rest.copied().collect();
        let power = (whole.len() as i64)
            .saturating_sub(leading_zeros as i64)
            .saturating_add(exponent)
            .clamp(-POWER_LIMIT, POWER_LIMIT);
        Decimal {
            sign: if negative { -1 } else { 1 },
            power,
            head,
            tail: (!tail.is_empty()).then_some(tail),
        }
    }

    /// A number that grows with the value, not strictly: what is different here is different there, in the same
    /// order, but close neighbours may share one. The index sorts ranges by it; the matcher then compares exactly.
    pub(crate) fn rank(&self) -> u64 {
        const HALF: u64 = 1 << 63;
        // 11 bits of power above 52 bits of digits, so that a greater power wins.
        let power = (self.power + 1023).clamp(1, 2047) as u64;
        let size = power << 52 | self.head >> 8;
        match self.sign {
            1 => HALF + size,
            0 => HALF,
            _ => HALF - size,
        }
    }

    fn size_cmp(&self, other: &Decimal) -> Ordering {
        // No tail is the shortest tail, and a tail that is longer and otherwise the same is greater.
        (self.power, self.head, &self.tail).cmp(&(other.power, other.head, &other.tail))
    }
}

/// Plain where that is short, otherwise as digits and a power of ten.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PLAIN: i64 = 21;
        let digits = format!("{:018}", self.head);
        let digits = match &self.tail {
            None => digits.trim_end_matches('0').to_owned(),
            Some(tail) => digits + &String::from_utf8_lossy(tail),
        };
        let sign = if self.sign < 0 { "-" } else { "" };
        match usize::try_from(self.power) {
            _ if self.sign == 0 => f.write_str("0"),
            Ok(whole) if whole >= digits.len() && self.power <= PLAIN => {
                write!(f, "{sign}{digits}{}", "0".repeat(whole - digits.len()))
            }
            Ok(whole) if whole > 0 && whole < digits.len() => {
                write!(f, "{sign}{}.{}", &digits[..whole], &digits[whole..])
            }
            _ if (-PLAIN..=0).contains(&self.power) => {
                write!(
                    f,
                    "{sign}0.{}{digits}",
                    "0".repeat(self.power.unsigned_abs() as usize)
                )
            }
            _ => write!(f, "{sign}0.{digits}e{}", self.power),
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        self.sign.cmp(&other.sign).then_with(|| match self.sign {
            1 => self.size_cmp(other),
            0 => Ordering::Equal,
            _ => other.size_cmp(self),
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An exponent of any length, cut at [`POWER_LIMIT`].
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut size = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        size = (size * 10 + i64::from(digit - b'0')).min(POWER_LIMIT);
    }
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn however_written_the_number_is_the_same() {
        for (one, other) in [
            ("3", "3.0"),
            ("3", "3."),
            ("3", "+3"),
            ("3", "0003.000"),
            ("0.5", ".5"),
            ("1e3", "1000"),
            ("1E+3", "0.001e6"),
            ("-12.50", "-1.25e1"),
            ("0", "-0.0e7"),
            (
                "123456789012345678901234567890",
                "1.2345678901234567890123456789e29",
            ),
            ("1e999999999999999999999", "1e888888888888888888888"),
        ] {
            assert_eq!(number(one), number(other), "{one} {other}");
        }
    }

    #[test]
    fn numbers_are_in_order() {
        let ascending = [
            "-1e999",
            "-1000000000.00001",
            "-1000000000",
            "-2",
            "-1.5",
            "-1e-7",
            "0",
            "1e-999",
            "0.00001",
            "0.1",
            "0.30000000000000001",
            "0.3000000000000000100001",
            "1",
            "1.00000000000000000000000001",
            "2",
            "10",
            "999999999999999999",
            "1000000000000000000",
            "1000000000000000001",
            "1e999",
        ];
        for pair in ascending.windows(2) {
            let (lower, upper) = (number(pair[0]), number(pair[1]));
            assert!(lower < upper, "{pair:?}");
            assert!(lower.rank() <= upper.rank(), "{pair:?}");
        }
    }

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        for (text, shown) in [
            ("0.0", "0"),
            ("+7", "7"),
            ("-100", "-100"),
            ("1e9", "1000000000"),
            ("12.50", "12.5"),
            ("0.00001", "0.00001"),
            ("-1.5e-3", "-0.0015"),
            (
                "123456789012345678901234567890.5",
                "123456789012345678901234567890.5",
            ),
            ("1e999", "0.1e1000"),
            ("-2.5e-999", "-0.25e-998"),
        ] {
            assert_eq!(number(text).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", "+", ".", "e5", "1e", "1e+", "1e5.0", "1.2.3", "--1", " 1", "1 ", "0x10", "NaN", "inf",
            "1_000", "١",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_compare_as_integers(a in any::<i64>(), b in any::<i64>(), zeros in 0_usize..30) {
            let (x, y) = (number(&a.to_string()), number(&format!("{b}.{}", "0".repeat(zeros))));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x == y, a == b);
            if x <= y { prop_assert!(x.rank() <= y.rank()) }
        }

        #[test]
        fn fractions_compare_as_fractions(a in -99_999_999_i64..99_999_999, b in -99_999_999_i64..99_999_999, e in -40_i32..40) {
            // Both over the same power of ten, one written with a point and the other with an exponent.
            let point = |n: i64| {
                let digits = format!("{:09}", n.abs());
                format!("{}{}.{}e{e}", if n < 0 { "-" } else { "" }, &digits[..4], &digits[4..])
            };
            let (x, y) = (number(&point(a)), number(&format!("{b}e{}", e - 5)));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            if x <= y { prop_assert!(x.rank() <= y.rank()) }
        }
    }
}
