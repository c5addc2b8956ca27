//! What watchers of services are told: an index that grows with every change, and what changed since one.
//!
//! An index is the number of a change. That of a service is its latest change, be it of instances or of health; indices
//! grow over restarts. Watchers are told how a service is, not what happened to it: who comes late misses nothing
//! but the states in between, and nothing has to be kept for anybody.

use std::ops::Bound;

use crate::command::Page;
use crate::error::DiscoverError;
use crate::history::HealthChange;
use crate::model::NamespaceId;
use crate::registry::{Registry, ServiceState, lower};
use crate::views::{InstanceView, ServiceView};

/// Names a service by its name and that of its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Name of the namespace.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every service.
    All,
    /// Every service of the namespace of that name.
    Namespace(String),
    /// These services, whether they exist or not.
    Services(Vec<ServiceName>),
}

/// A service as it is at one moment.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Its latest change.
    pub index: u64,
    /// Its latest change that was about health.
    pub health_index: u64,
    /// The service.
    pub view: ServiceView,
    /// Instances, by id.
    pub instances: Vec<InstanceView>,
    /// Where the next page of them starts, if there are more.
    pub next: Option<String>,
    /// The latest changes of their health, the latest first; at most 32.
    pub history: Vec<HealthChange>,
}

/// One thing that is told.
#[derive(Clone, Debug)]
pub enum Story {
    /// How a service is.
    Is(Box<Sight>),
    /// A service is gone.
    Gone {
        /// The change that removed it.
        index: u64,
        /// What it was called.
        name: ServiceName,
    },
}

impl Story {
    /// The change that it tells of.
    pub fn index(&self) -> u64 {
        match self {
            Story::Is(sight) => sight.index,
            Story::Gone { index, .. } => *index,
        }
    }
}

/// What changed since a watcher looked last.
#[derive(Clone, Debug)]
pub struct News {
    /// All up to here is told, once that is [`complete`](News::complete).
    pub index: u64,
    /// Pass this to the next call.
    pub next: Seen,
    /// What follows is all there is, here and in the calls until `complete`: the watcher drops what it had.
    pub anew: bool,
    /// In the order of their indices.
    pub stories: Vec<Story>,
    /// There is no more; else ask again at once.
    pub complete: bool,
}

/// What a watcher has been told so far. One that begins has an index, of its last time or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Everything up to here.
    pub index: u64,
    sweep: Option<Sweep>,
}

/// All there is, told in portions. Old changes come in order then, however little is known of what went before them; only
/// what is forgotten meanwhile makes it begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sweep {
    /// What was forgotten when it began.
    forgotten: u64,
    /// The latest change then: who was gone by that time is not told of.
    begun: u64,
}

impl From<u64> for Seen {
    fn from(index: u64) -> Seen {
        Seen { index, sweep: None }
    }
}

/// How much is told at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Services in one answer.
    pub services: usize,
    /// Instances of each of them.
    pub instances: usize,
}

/// Which services changed, by name.
#[derive(Clone, Debug)]
pub struct Touched {
    /// Pass this to the next call.
    pub index: u64,
    /// Too much has changed to say what: all may have.
    pub all: bool,
    /// Services that changed, appeared or went.
    pub names: Vec<ServiceName>,
}

/// A service of the trail, or the name of one that is gone.
enum Trace<'a> {
    Live(&'a ServiceState),
    Grave(&'a ServiceName),
}

impl Registry {
    /// Begins to number changes for those outside, after what was stored has been read.
    pub fn begin_watches(&mut self, wall: tsugite_base::Timestamp) {
        self.trail.begin(wall);
    }

    /// The latest change of the service of that name; 0 if there is none.
    pub fn service_index(&self, name: &ServiceName) -> u64 {
        let state = self.service_by_name(name);
        state.map_or(0, |state| self.trail.index(state.touched))
    }

    /// The service of that name with a page of its instances.
    pub fn sight(&self, name: &ServiceName, page: &Page) -> Result<Sight, DiscoverError> {
        let namespace = self.namespace_named(&name.namespace)?.namespace.id;
        let state = self.service_named(namespace, &name.service)?;
        let view = self.get_service(state.service.id)?;
        Ok(self.sight_of(state, view, page))
    }

    fn sight_of(&self, state: &ServiceState, view: ServiceView, page: &Page) -> Sight {
        let from = page.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = state.instances.range::<str, _>((from, Bound::Unbounded));
        let shown = rest.by_ref().take(page.limit);
        let usable = state.usable(self.min_available());
        let instances: Vec<_> = shown.map(|(_, state)| state.view(usable)).collect();
        let next = page.next(rest.next().and(instances.last()).map(|last| &last.id));
        Sight {
            index: self.trail.index(state.touched),
            health_index: self.trail.index(state.health_touched),
            history: self.health_history(state.service.id),
            view,
            instances,
            next,
        }
    }

    /// What changed within `scope` after `seen`; everything that there is if `seen` is 0, of another process, or too
    /// long ago.
    pub fn news(&self, scope: &Scope, seen: impl Into<Seen>, bounds: Bounds) -> News {
        let seen: Seen = seen.into();
        let sweep = seen.sweep.filter(|sweep| sweep.forgotten == self.trail.forgotten);
        let known = match sweep {
            Some(_) => self.trail.own_change(seen.index),
            None => self.trail.change(seen.index),
        };
        let from = known.map_or(0, |change| change + 1);
        let mut traces = self.traces(scope, from);
        let begins = Sweep {
            forgotten: self.trail.forgotten,
            begun: self.trail.latest,
        };
        let sweep = if known.is_none() { Some(begins) } else { sweep };
        if let Some(sweep) = sweep {
            traces.retain(|(change, trace)| matches!(trace, Trace::Live(_)) || *change > sweep.begun);
        }
        traces.sort_by_key(|(change, _)| *change);
        let complete = traces.len() <= bounds.services;
        traces.truncate(bounds.services);
        let latest = match traces.last() {
            Some((change, _)) if !complete => *change,
            _ => self.trail.latest,
        };
        let page = Page {
            after: None,
            limit: bounds.instances,
        };
        let story = |(change, trace)| match trace {
            Trace::Live(state) => {
                let sight = self.sight_of(state, self.view(state)?, &page);
                Some(Story::Is(Box::new(sight)))
            }
            Trace::Grave(name) => Some(Story::Gone {
                index: self.trail.index(change),
                name: name.clone(),
            }),
        };
        let index = self.trail.index(latest);
        News {
            index,
            next: Seen {
                index,
                sweep: sweep.filter(|_| !complete),
            },
            anew: known.is_none(),
            stories: traces.into_iter().filter_map(story).collect(),
            complete,
        }
    }

    /// What is in scope and was touched by the change `from` or a later one.
    fn traces(&self, scope: &Scope, from: u64) -> Vec<(u64, Trace<'_>)> {
        let graves = self.trail.graves.range(from..);
        let graves = graves.map(|(change, name)| (*change, Trace::Grave(name)));
        match scope {
            Scope::All => self.live(from, |_| true).chain(graves).collect(),
            Scope::Namespace(name) => {
                let id = self.namespace_named(name).map(|state| state.namespace.id).ok();
                let is_of = |namespace: NamespaceId| Some(namespace) == id;
                let graves = graves.filter(
                    |(_, trace)| matches!(trace, Trace::Grave(grave) if grave.namespace.eq_ignore_ascii_case(name)),
                );
                self.live(from, is_of).chain(graves).collect()
            }
            Scope::Services(names) => {
                let states = names.iter().filter_map(|name| self.service_by_name(name));
                let live = states
                    .filter(|state| state.touched >= from)
                    .map(|state| (state.touched, Trace::Live(state)));
                let graves = graves.filter(
                    |(_, trace)| matches!(trace, Trace::Grave(grave) if names.iter().any(|name| name.is(grave))),
                );
                live.chain(graves).collect()
            }
        }
    }

    fn live(&self, from: u64, is_in: impl Fn(NamespaceId) -> bool) -> impl Iterator<Item = (u64, Trace<'_>)> {
        let touched = self.trail.services.range(from..);
        touched
            .filter_map(move |(change, id)| Some((*change, self.services.get(id)?)))
            .filter(move |(_, state)| is_in(state.service.namespace))
            .map(|(change, state)| (change, Trace::Live(state)))
    }

    /// Which services changed after `seen`.
    pub fn touched_since(&self, seen: u64) -> Touched {
        let index = self.trail.index(self.trail.latest);
        let Some(change) = self.trail.change(seen) else {
            return Touched {
                index,
                all: true,
                names: Vec::new(),
            };
        };
        let traces = self.traces(&Scope::All, change + 1).into_iter();
        let names = traces.filter_map(|(_, trace)| match trace {
            Trace::Grave(name) => Some(name.clone()),
            Trace::Live(state) => {
                let namespace = &self.namespaces.get(&state.service.namespace)?.namespace;
                Some(ServiceName {
                    namespace: namespace.name.clone(),
                    service: state.service.name.clone(),
                })
            }
        });
        Touched {
            index,
            all: false,
            names: names.collect(),
        }
    }

    fn service_by_name(&self, name: &ServiceName) -> Option<&ServiceState> {
        let namespace = self.namespace_named(&name.namespace).ok()?.namespace.id;
        self.service_named(namespace, &name.service).ok()
    }
}

impl ServiceName {
    /// Whether both name the same service: case does not matter.
    pub fn is(&self, other: &ServiceName) -> bool {
        self.namespace.eq_ignore_ascii_case(&other.namespace)
            && self.service.eq_ignore_ascii_case(&other.service)
    }

    /// In the form in which names are compared.
    #[must_use]
    pub fn folded(&self) -> ServiceName {
        ServiceName {
            namespace: lower(&self.namespace),
            service: lower(&self.service),
        }
    }
}
