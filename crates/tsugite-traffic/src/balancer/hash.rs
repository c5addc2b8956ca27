//! Consistent hashing: the ring of Karger et al. (1997) as ketama builds it, and the lookup table of Maglev (Eisenbud et
//! al., NSDI 2016, section 3.4).

use crate::table::Endpoint;

/// Points of the ring for an endpoint of the greatest weight, if there are few endpoints.
const POINTS: usize = 160;
/// Points of a whole ring at most, but for one of each endpoint.
const MOST_POINTS: usize = 65_536;
/// Sizes of a Maglev table: primes, of which the first is taken that gives each endpoint a hundred places.
const SIZES: [usize; 5] = [251, 2_039, 16_381, 65_537, 655_373];
const PLACES: usize = 100;

/// A hash of bytes that spreads well; the same in every process, so that all gateways send a key to the same endpoint.
pub fn hash_of(bytes: &[u8]) -> u64 {
    // FNV-1a, and the finaliser of SplitMix64, for FNV alone leaves the upper bits of short keys alike.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mixed(hash)
}

const fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

/// Points on a circle, each owned by an endpoint. A key belongs to the next point.
#[derive(Debug)]
pub(super) struct Ring {
    points: Vec<u64>,
    owners: Vec<u32>,
}

impl Ring {
    pub(super) fn new(endpoints: &[Endpoint]) -> Ring {
        let heaviest = endpoints.iter().map(|e| e.weight).max().unwrap_or(1).max(1);
        let most = (MOST_POINTS / endpoints.len().max(1)).clamp(1, POINTS);
        let mut points: Vec<(u64, u32)> = Vec::new();
        for (at, endpoint) in endpoints.iter().enumerate().filter(|(_, e)| e.weight > 0) {
            let share = most as u64 * u64::from(endpoint.weight) / u64::from(heaviest);
            let own = hash_of(endpoint.id.as_bytes());
            points
                .extend((0..share.max(1)).map(|point| (mixed(own.wrapping_add(point << 1 | 1)), at as u32)));
        }
        points.sort_unstable();
        let (points, owners) = points.into_iter().unzip();
        Ring { points, owners }
    }

    pub(super) fn start(&self, hash: u64) -> usize {
        let at = self.points.partition_point(|point| *point < hash);
        if at == self.points.len() { 0 } else { at }
    }

    pub(super) fn owners(&self) -> &[u32] {
        &self.owners
    }
}

/// A table of places, each owned by an endpoint.
#[derive(Debug)]
pub(super) struct Maglev {
    owners: Vec<u32>,
}

impl Maglev {
    /// Each endpoint has its own order of all places, and in turn they take the next that is free; an endpoint of less
    /// weight takes fewer turns.
    pub(super) fn new(endpoints: &[Endpoint]) -> Maglev {
        let weighed = || endpoints.iter().enumerate().filter(|(_, e)| e.weight > 0);
        let heaviest = weighed().map(|(_, e)| e.weight).max().unwrap_or(0);
        if heaviest == 0 {
            return Maglev { owners: Vec::new() };
        }
        let size = SIZES.into_iter().find(|size| *size >= PLACES * endpoints.len());
        let size = size.unwrap_or(SIZES[SIZES.len() - 1]) as u64;
        let mut turns: Vec<Turn> = weighed().map(|(at, e)| Turn::new(at, e, size)).collect();
        let mut owners = vec![u32::MAX; size as usize];
        let mut free = size;
        loop {
            for turn in &mut turns {
                turn.saved += u64::from(turn.weight);
                if turn.saved < u64::from(heaviest) {
                    continue;
                }
                turn.saved -= u64::from(heaviest);
                while owners[turn.next as usize] != u32::MAX {
                    turn.next = (turn.next + turn.skip) % size;
                }
                owners[turn.next as usize] = turn.at;
                free -= 1;
                if free == 0 {
                    return Maglev { owners };
                }
            }
        }
    }

    pub(super) fn start(&self, hash: u64) -> usize {
        (hash % self.owners.len().max(1) as u64) as usize
    }

    pub(super) fn owners(&self) -> &[u32] {
        &self.owners
    }
}

/// Where an endpoint is in its order of the places.
struct Turn {
    at: u32,
    weight: u32,
    saved: u64,
    next: u64,
    skip: u64,
}

impl Turn {
    fn new(at: usize, endpoint: &Endpoint, size: u64) -> Turn {
        let hash = hash_of(endpoint.id.as_bytes());
        Turn {
            at: at as u32,
            weight: endpoint.weight,
            saved: 0,
            next: hash % size,
            skip: mixed(hash) % (size - 1) + 1,
        }
    }
}
