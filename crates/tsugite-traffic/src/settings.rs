//! Settings of a circuit, with the defaults of a service circuit.

use std::time::Duration;

use tsugite_base::Invalid;

/// The most half-open permits that a circuit can hand out in one half-open phase, and at a time.
pub const MAX_PERMITS: u16 = 64;

/// When a circuit opens, and how it closes again.
///
/// Rates are shares between 0 and 1; a rate that *reaches* its threshold opens the circuit.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitSettings {
    /// Length of the time window in which calls are counted. Default 10 s, kept as 10 buckets.
    pub window: Duration,
    /// Calls in the window below which no rate is judged. Default 20.
    pub min_calls: u32,
    /// Share of failed calls that opens the circuit. Default 0.5.
    pub failure_rate: f64,
    /// A call that takes this long is slow. Default 5 s; see [`CircuitSettings::for_timeout`].
    pub slow_call_duration: Duration,
    /// Share of slow calls that opens the circuit. Default 0.8.
    pub slow_call_rate: f64,
    /// Share of calls that are slow, failed or both that opens the circuit. Default off.
    pub combined_rate: Option<f64>,
    /// Whether a call counts as slow as soon as it passes the threshold, before it ends. Default on.
    pub inflight_slow: bool,
    /// Failures in a row that open the circuit; 0 is off, the default of a service circuit.
    pub consecutive_failures: u32,
    /// Connect failures in a row that open the circuit; 0 is off, the default of a service circuit.
    pub consecutive_connect_failures: u32,
    /// How long the circuit stays open.
    pub open: OpenSettings,
    /// How the circuit tries again.
    pub half_open: HalfOpenSettings,
    /// Time over which an endpoint that closed, or came, gets from a tenth to all of its share. Default none; of use to
    /// endpoints only.
    pub slow_start: Duration,
}

impl Default for CircuitSettings {
    fn default() -> CircuitSettings {
        CircuitSettings {
            window: Duration::from_secs(10),
            min_calls: 20,
            failure_rate: 0.5,
            slow_call_duration: Duration::from_secs(5),
            slow_call_rate: 0.8,
            combined_rate: None,
            inflight_slow: true,
            consecutive_failures: 0,
            consecutive_connect_failures: 0,
            open: OpenSettings::default(),
            half_open: HalfOpenSettings::default(),
            slow_start: Duration::ZERO,
        }
    }
}

/// How the wait grows with the openings in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// `base · 2^(n-1)`; n starts again after 60 s in closed. For services.
    #[default]
    Doubling,
    /// `base · n`; n is one less for each 10 s in closed. For endpoints.
    Linear,
}

/// How long a circuit stays open: longer with each opening in a row, up to `max`.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenSettings {
    /// The first wait. Default 5 s.
    pub base: Duration,
    /// The longest wait. Default 60 s.
    pub max: Duration,
    /// Random share added to or taken from the wait. Default 0.2.
    pub jitter: f64,
    /// How the wait grows. Default doubling.
    pub growth: Growth,
}

impl Default for OpenSettings {
    fn default() -> OpenSettings {
        OpenSettings {
            base: Duration::from_secs(5),
            max: Duration::from_secs(60),
            jitter: 0.2,
            growth: Growth::Doubling,
        }
    }
}

/// How many trial calls a half-open circuit lets through.
#[derive(Clone, Debug, PartialEq)]
pub struct HalfOpenSettings {
    /// Trial calls in one half-open phase. Default 5.
    pub permits: u16,
    /// Trial calls upstream at the same time. Default 5.
    pub concurrent: u16,
    /// After the first trial call, the longest wait for a verdict; then the circuit opens again. Default 30 s.
    pub max_duration: Duration,
}

impl Default for HalfOpenSettings {
    fn default() -> HalfOpenSettings {
        HalfOpenSettings {
            permits: 5,
            concurrent: 5,
            max_duration: Duration::from_secs(30),
        }
    }
}

impl CircuitSettings {
    /// The defaults behind a route with this time limit: slow is half of it, at most 5 s, because a slow
    /// threshold above the limit would never be reached.
    pub fn for_timeout(timeout: Option<Duration>) -> CircuitSettings {
        let default = CircuitSettings::default();
        let slow = timeout.map_or(default.slow_call_duration, |t| {
            (t / 2).min(default.slow_call_duration)
        });
        CircuitSettings {
            slow_call_duration: slow.max(Duration::from_millis(1)),
            ..default
        }
    }

    /// Checks the relations between the settings, naming the first setting that breaks one.
    pub fn check(&self) -> Result<(), Invalid> {
        let rate = |what: &str, rate: f64| {
            if rate > 0.0 && rate <= 1.0 {
                Ok(())
            } else {
                Err(Invalid::new(what, rate, "must be above 0 and at most 1"))
            }
        };
        let between = |what: &str, value: Duration, low: Duration, high: Duration| {
            if value >= low && value <= high {
                Ok(())
            } else {
                let rule = format!("must be between {low:?} and {high:?}");
                Err(Invalid::new(what, format!("{value:?}"), rule))
            }
        };
        let permits = |what: &str, value: u16| {
            if (1..=MAX_PERMITS).contains(&value) {
                Ok(())
            } else {
                Err(Invalid::new(
                    what,
                    value,
                    format!("must be between 1 and {MAX_PERMITS}"),
                ))
            }
        };
        let (milli, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
        between("window", self.window, Duration::from_millis(10), hour)?;
        between("slow_call_duration", self.slow_call_duration, milli, hour)?;
        between("open.base", self.open.base, milli, hour)?;
        between("open.max", self.open.max, self.open.base, 24 * hour)?;
        between("half_open.max_duration", self.half_open.max_duration, milli, hour)?;
        rate("failure_rate", self.failure_rate)?;
        rate("slow_call_rate", self.slow_call_rate)?;
        if let Some(combined) = self.combined_rate {
            rate("combined_rate", combined)?;
        }
        permits("half_open.permits", self.half_open.permits)?;
        permits("half_open.concurrent", self.half_open.concurrent)?;
        if !(0.0..1.0).contains(&self.open.jitter) {
            return Err(Invalid::new(
                "open.jitter",
                self.open.jitter,
                "must be at least 0 and below 1",
            ));
        }
        if self.min_calls == 0 {
            return Err(Invalid::new("min_calls", 0, "must be at least 1"));
        }
        Ok(())
    }
}

/// When an endpoint is ejected, and how it comes back.
///
/// An endpoint's circuit is one like the service's, with other times; beside it each endpoint is compared with its peers.
#[derive(Clone, Debug, PartialEq)]
pub struct EjectionSettings {
    /// Whether endpoints have circuits at all. Default on.
    pub enabled: bool,
    /// Failures in a row that eject; 0 is off. Default 5.
    pub consecutive_failures: u32,
    /// Connect failures in a row that eject; 0 is off. Default 3.
    pub consecutive_connect_failures: u32,
    /// The first ejection lasts so long, the n-th in a row n times that. Default 30 s.
    pub base: Duration,
    /// The longest ejection. Default 300 s.
    pub max: Duration,
    /// Ejections leave at least this share of a service's instances, in percent. Those that are unhealthy count as gone.
    /// Default 50.
    pub min_available_percent: u8,
    /// Time over which an endpoint that is new or came back gets from a tenth to all of its share. Default 10 s.
    pub slow_start: Duration,
}

impl Default for EjectionSettings {
    fn default() -> EjectionSettings {
        EjectionSettings {
            enabled: true,
            consecutive_failures: 5,
            consecutive_connect_failures: 3,
            base: Duration::from_secs(30),
            max: Duration::from_secs(300),
            min_available_percent: 50,
            slow_start: Duration::from_secs(10),
        }
    }
}

impl EjectionSettings {
    /// The circuit of each endpoint of a service whose own circuit has these settings.
    pub fn circuit(&self, service: &CircuitSettings) -> CircuitSettings {
        CircuitSettings {
            consecutive_failures: self.consecutive_failures,
            consecutive_connect_failures: self.consecutive_connect_failures,
            open: OpenSettings {
                base: self.base,
                max: self.max,
                jitter: 0.1,
                growth: Growth::Linear,
            },
            half_open: HalfOpenSettings {
                permits: 1,
                concurrent: 1,
                ..service.half_open.clone()
            },
            slow_start: self.slow_start,
            ..service.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_follow_the_route_timeout() {
        assert_eq!(CircuitSettings::default().check(), Ok(()));
        let slow = |timeout: Option<u64>| {
            CircuitSettings::for_timeout(timeout.map(Duration::from_millis)).slow_call_duration
        };
        assert_eq!(slow(None), Duration::from_secs(5));
        assert_eq!(slow(Some(15_000)), Duration::from_secs(5));
        assert_eq!(slow(Some(4_000)), Duration::from_secs(2));
        assert_eq!(slow(Some(0)), Duration::from_millis(1));
    }

    #[test]
    fn each_broken_relation_names_its_setting() {
        let broken = |change: fn(&mut CircuitSettings)| {
            let mut settings = CircuitSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().what
        };
        assert_eq!(broken(|s| s.window = Duration::ZERO), "window");
        assert_eq!(broken(|s| s.failure_rate = 0.0), "failure_rate");
        assert_eq!(broken(|s| s.failure_rate = f64::NAN), "failure_rate");
        assert_eq!(broken(|s| s.slow_call_rate = 1.1), "slow_call_rate");
        assert_eq!(broken(|s| s.combined_rate = Some(-1.0)), "combined_rate");
        assert_eq!(broken(|s| s.half_open.permits = 0), "half_open.permits");
        assert_eq!(broken(|s| s.half_open.concurrent = 65), "half_open.concurrent");
        assert_eq!(broken(|s| s.open.max = Duration::from_secs(1)), "open.max");
        assert_eq!(broken(|s| s.open.jitter = 1.0), "open.jitter");
        assert_eq!(broken(|s| s.min_calls = 0), "min_calls");
    }
}
