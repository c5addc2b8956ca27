//! The endpoints of a service as one choice sees them: which of them takes calls, and for what share.

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use crate::circuit::Standing;
use crate::table::Service;

/// Places of a ring or table that are looked at for an endpoint that takes calls.
const LOOKED_AT: usize = 4096;

/// The endpoints.
pub(super) struct Field<'a> {
    pub(super) service: &'a Service,
    pub(super) exclude: &'a [usize],
    /// Whether trial calls are to be had.
    pub(super) trials: bool,
    pub(super) now: Mono,
}

/// What an endpoint is in a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Candidate {
    /// It takes calls, with this weight.
    Takes(f64),
    /// It waits for a trial call.
    Trial,
    /// It is excluded, ejected or has no weight.
    Passed,
}

impl Field<'_> {
    pub(super) fn len(&self) -> usize {
        self.service.endpoints.len()
    }

    pub(super) fn candidate(&self, at: usize) -> Candidate {
        let weight = self.service.endpoints[at].weight;
        if weight == 0 || self.exclude.contains(&at) {
            return Candidate::Passed;
        }
        match self.service.standing(at, self.now) {
            Standing::Takes(share) => Candidate::Takes(share * f64::from(weight)),
            Standing::Trial if self.trials => Candidate::Trial,
            Standing::Trial | Standing::Ejected | Standing::Held => Candidate::Passed,
        }
    }

    /// Any of those that take calls but one, all with the same chance.
    pub(super) fn nth_that_takes(&self, but: Option<usize>, rng: &mut SplitMix64) -> Option<(usize, f64)> {
        let takes = |at: usize| match self.candidate(at) {
            Candidate::Takes(share) if Some(at) != but => Some((at, share)),
            _ => None,
        };
        let count = (0..self.len()).filter_map(takes).count();
        let nth = if count > 1 {
            rng.below(count as u64) as usize
        } else {
            0
        };
        (0..self.len()).filter_map(takes).nth(nth)
    }

    /// One at random, each with the chance of its weight.
    pub(super) fn draw(&self, rng: &mut SplitMix64) -> Option<usize> {
        let heaviest = f64::from(self.service.heaviest());
        for _ in 0..8 * self.len() {
            let at = rng.below(self.len() as u64) as usize;
            match self.candidate(at) {
                Candidate::Trial => return Some(at),
                Candidate::Takes(share) if rng.unit() * heaviest < share => return Some(at),
                _ => {}
            }
        }
        None
    }

    /// The endpoint that the hash falls on, or the next one that takes calls.
    pub(super) fn by_hash(&self, hash: u64) -> Option<usize> {
        let takes = |at: &usize| self.candidate(*at) != Candidate::Passed;
        self.service.plan.in_order(hash).take(LOOKED_AT).find(takes)
    }

    /// The endpoint to take when none is as it should be: rather one without weight, then one that failed this call
    /// before, then an ejected one; never one that an operator holds open.
    pub(super) fn last_resort(&self, rng: &mut SplitMix64) -> Option<usize> {
        let start = rng.below(self.len() as u64) as usize;
        let any = |test: &dyn Fn(usize, Standing) -> bool| {
            (0..self.len())
                .map(|step| (start + step) % self.len())
                .find(|&at| test(at, self.service.standing(at, self.now)))
        };
        let takes = |standing| matches!(standing, Standing::Takes(_));
        let fresh = |at| !self.exclude.contains(&at);
        let weighs = |at: usize| self.service.endpoints[at].weight > 0;
        // With a single endpoint its trial is simply the next call.
        let tried = |standing| self.trials && standing == Standing::Trial;
        any(&|at, standing| (takes(standing) || tried(standing)) && fresh(at))
            .or_else(|| any(&|at, standing| takes(standing) && weighs(at)))
            .or_else(|| any(&|_, standing| takes(standing)))
            .or_else(|| any(&|at, standing| standing != Standing::Held && fresh(at)))
            .or_else(|| any(&|_, standing| standing != Standing::Held))
    }
}
