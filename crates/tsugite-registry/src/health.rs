//! Merged health: one verdict on each instance, and which instances of a service are to be used.
//!
//! The verdict is the word of the strongest source that objects. Two kinds of objection differ: who is *withdrawn* (it is
//! leaving, or an operator took it out of service) is never used. Everything else may be an error of those who judge, so
//! when too few instances are left, all that are not withdrawn are used ([`Usable`]).

use crate::check::Check;
use crate::registry::{InstanceState, ServiceState};
use crate::views::{Health, HealthSay, HealthStatus, InstanceView, LeaseHealth};

/// Service attribute: the share of instances, in percent, below which all are used.
pub const MIN_AVAILABLE: &str = "TSUGITE_MIN_AVAILABLE_PERCENT";

/// Which instances of a service are used. Whoever is withdrawn is not, in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usable {
    /// Those that are healthy.
    Healthy,
    /// All but those that were pushed to be unhealthy: too few are healthy.
    Presumed,
    /// All: nobody else is left.
    All,
}

impl Usable {
    pub(crate) fn admits(self, instance: &InstanceState) -> bool {
        self.admits_as(instance, &instance.health())
    }

    /// As [`Usable::admits`], with the instance's health at hand.
    fn admits_as(self, instance: &InstanceState, health: &Health) -> bool {
        !instance.is_withdrawn()
            && match self {
                Usable::Healthy => health.status == HealthStatus::Healthy,
                Usable::Presumed => instance.instance.custom != Some(false),
                Usable::All => true,
            }
    }
}

impl ServiceState {
    /// Which instances are used, if `percent` of those of which something is known must be. A status that somebody
    /// pushed is his word and no measurement: such instances do not count.
    pub(crate) fn usable(&self, percent: u32) -> Usable {
        // Whatever changes a verdict touches the service: until then the answer is the same.
        if let Some((touched, usable)) = self.judged.get()
            && touched == self.touched
        {
            return usable;
        }
        let usable = self.judge(percent);
        self.judged.set(Some((self.touched, usable)));
        usable
    }

    fn judge(&self, percent: u32) -> Usable {
        let (mut healthy, mut known, mut presumed) = (0_u64, 0_u64, false);
        let candidates = self.instances.values().filter(|i| !i.is_withdrawn());
        for instance in candidates.filter(|i| i.instance.custom != Some(false)) {
            presumed = true;
            match instance.health().status {
                HealthStatus::Healthy => (healthy, known) = (healthy + 1, known + 1),
                HealthStatus::Unhealthy => known += 1,
                HealthStatus::Unknown => {}
            }
        }
        let percent = self.min_available().unwrap_or(percent);
        if healthy > 0 && healthy * 100 >= known * u64::from(percent) {
            Usable::Healthy
        } else if presumed {
            Usable::Presumed
        } else {
            Usable::All
        }
    }

    fn min_available(&self) -> Option<u32> {
        self.attributes.get(MIN_AVAILABLE)?.parse().ok()
    }

    /// All instances as they are shown.
    pub(crate) fn views(&self, percent: u32) -> impl Iterator<Item = InstanceView> {
        let usable = self.usable(percent);
        self.instances.values().map(move |state| state.view(usable))
    }
}

impl InstanceState {
    /// Whether it is leaving or was taken out of service: it is never used then.
    pub(crate) const fn is_withdrawn(&self) -> bool {
        self.leaving.is_some() || self.out.is_some()
    }

    /// The merged health.
    pub(crate) fn health(&self) -> Health {
        use HealthStatus::{Healthy, Unhealthy};
        let unless = |bad: bool| if bad { Unhealthy } else { Healthy };
        let lease = self.lease_health();
        let active = self.check.as_ref().map(Check::status);
        let custom = self.instance.custom.map(|healthy| unless(!healthy));
        let passive = self
            .doubt
            .as_ref()
            .filter(|doubt| doubt.unreachable && doubt.is_denied());
        let (passive, admin) = (passive.map(|_| Unhealthy), self.out.as_ref().map(|_| Unhealthy));
        let by_lease = lease.map(|lease| unless(lease == LeaseHealth::Unhealthy));
        let leaving = self.leaving.is_some();
        let says = [
            (HealthSay::Leaving, leaving.then_some(Unhealthy)),
            (HealthSay::Admin, admin),
            (HealthSay::Passive, passive),
            (HealthSay::Custom, custom),
            (HealthSay::Active, active),
            (HealthSay::Lease, by_lease),
        ];
        let (mut status, mut decided_by) = (Healthy, None);
        for (who, says) in says {
            if says.is_some_and(|says| says > status) {
                (status, decided_by) = (says.unwrap_or(status), Some(who));
            }
        }
        Health {
            status,
            decided_by,
            lease,
            active,
            flapping: self.check.as_ref().is_some_and(Check::is_flapping),
            custom,
            passive,
            admin,
            leaving,
        }
    }

    fn lease_health(&self) -> Option<LeaseHealth> {
        let lease = self.lease.as_ref()?;
        Some(match &self.doubt {
            _ if !lease.suspect => LeaseHealth::Healthy,
            Some(doubt) if !doubt.is_denied() => LeaseHealth::Suspect,
            // It did not answer, or there is no address to ask at.
            _ => LeaseHealth::Unhealthy,
        })
    }

    /// Whether anything has a say in its health.
    pub(crate) const fn is_checked(&self) -> bool {
        self.lease.is_some()
            || self.check.is_some()
            || self.instance.custom.is_some()
            || self.doubt.is_some()
            || self.is_withdrawn()
    }

    pub(crate) fn view(&self, usable: Usable) -> InstanceView {
        let health = self.health();
        InstanceView {
            id: self.instance.id.clone(),
            attributes: self.instance.attributes.clone(),
            health,
            takes_calls: usable.admits_as(self, &health),
            out_of_service: self.out.as_deref().map(str::to_owned),
            leaving_until: self.leaving.as_ref().map(|leaving| leaving.until),
            lease_ms: self.instance.lease_ms,
            lease_until: self.lease.as_ref().map(|lease| lease.until),
            creator_request_id: self.instance.creator_request_id.clone(),
            registered: self.instance.registered,
        }
    }
}
