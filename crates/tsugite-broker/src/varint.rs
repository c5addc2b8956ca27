//! Numbers of as many bytes as they need: seven bits a byte, the low ones first.

use tsugite_base::codec::{Get, Malformed};

const WHAT: &str = "number of variable length";

/// Appends a number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads a number that [`put_varint`] wrote.
pub(crate) fn get_varint(get: &mut Get<'_>) -> Result<u64, Malformed> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let byte = get.u8(WHAT)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        n |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(Malformed { what: WHAT })
}

/// Appends `to` as its distance from `from`, either way.
pub(crate) fn put_delta(out: &mut Vec<u8>, from: u64, to: u64) {
    put_varint(out, zigzag(from, to));
}

/// Reads the number that lies as far from `from` as [`put_delta`] wrote.
pub(crate) fn get_delta(get: &mut Get<'_>, from: u64) -> Result<u64, Malformed> {
    Ok(unzigzag(from, get_varint(get)?))
}

/// The distance as a number that is small for small distances: the sign is its lowest bit.
pub(crate) const fn zigzag(from: u64, to: u64) -> u64 {
    let distance = to.wrapping_sub(from) as i64;
    (distance.wrapping_shl(1) ^ (distance >> 63)) as u64
}

/// The reverse of [`zigzag`].
pub(crate) const fn unzigzag(from: u64, n: u64) -> u64 {
    from.wrapping_add((n >> 1) ^ 0_u64.wrapping_sub(n & 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_distances_round_trip() {
        let edges = [0, 1, 127, 128, 300, 1 << 32, u64::MAX - 1, u64::MAX];
        for n in edges {
            for from in edges {
                let mut out = Vec::new();
                put_varint(&mut out, n);
                put_delta(&mut out, from, n);
                let mut get = Get::new(&out);
                assert_eq!((get_varint(&mut get), get_delta(&mut get, from)), (Ok(n), Ok(n)));
                assert_eq!(get.remaining(), 0);
            }
        }
        let mut out = Vec::new();
        put_delta(&mut out, 1_000, 990);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn endless_and_cut_numbers_are_refused() {
        assert!(get_varint(&mut Get::new(&[0xff; 11])).is_err());
        assert!(get_varint(&mut Get::new(&[0x80])).is_err());
        assert!(
            get_varint(&mut Get::new(&[
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2
            ]))
            .is_err()
        );
    }
}
