//! One core's own state: its view of the table, its pools, its balancing memory, its generator.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;
use tsugite_traffic::{Balancer, Budget, RetrySettings, Service, ServiceKey, Table};

use crate::clients::Clients;
use crate::leaving::{InUse, Users};
use crate::metrics::{CoreCounters, ServiceCounters};
use crate::pool::Pool;
use crate::settings::Settings;
use crate::shared::{Published, Shared};

/// The state; nothing of it leaves its thread.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) clients: Rc<Clients>,
    pub(crate) balancer: RefCell<Balancer>,
    pub(crate) rng: RefCell<SplitMix64>,
    /// Bytes of request bodies that are kept for retries.
    pub(crate) kept_bytes: Cell<usize>,
    view: RefCell<Rc<View>>,
    version: Cell<u64>,
}

/// A table as one core uses it: with its pools beside the endpoints.
pub(crate) struct View {
    published: Arc<Published>,
    /// `[service][endpoint]`, in the order of the table.
    pools: Vec<Vec<Rc<Pool>>>,
    /// Budgets for retries, in the order of the services.
    budgets: Vec<Rc<RefCell<Budget>>>,
    users: Users,
}

impl View {
    /// Pools of addresses that were in the view before live on; the others close with their last request.
    fn new(published: Arc<Published>, before: Option<&View>, settings: &Settings) -> View {
        let mut by_address: HashMap<SocketAddr, Rc<Pool>> = HashMap::new();
        for pool in before.into_iter().flat_map(View::pools) {
            by_address.insert(pool.address, pool.clone());
        }
        let mut pool = |address| {
            let new = || Rc::new(Pool::new(address, settings));
            by_address.entry(address).or_insert_with(new).clone()
        };
        let services = published.table.services().iter();
        let pools = services
            .map(|service| service.endpoints.iter().map(|e| pool(e.address)).collect())
            .collect();
        let budgets = budgets(&published.table, before, settings.cores);
        let users = Users::new(&published.table, before.map(|view| (view.table(), &view.users)));
        View {
            published,
            pools,
            budgets,
            users,
        }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.published.table
    }

    pub(crate) fn service(&self, index: usize) -> &Service {
        &self.published.table.services()[index]
    }

    pub(crate) fn pool(&self, service: usize, endpoint: usize) -> &Rc<Pool> {
        &self.pools[service][endpoint]
    }

    pub(crate) fn budget(&self, service: usize) -> &Rc<RefCell<Budget>> {
        &self.budgets[service]
    }

    /// The number of the table.
    pub(crate) fn number(&self) -> u64 {
        self.published.number
    }

    /// To be held by a call for as long as it uses the endpoint.
    pub(crate) fn in_use(&self, service: usize, endpoint: usize) -> InUse {
        self.users.of(service, endpoint)
    }

    /// The instances that are leaving and still have calls on this core.
    pub(crate) fn busy_leavers(&self) -> Vec<(ServiceKey, String)> {
        self.users.busy_leavers(self.table())
    }

    pub(crate) fn counters(&self, service: usize, core: usize) -> &ServiceCounters {
        self.published.counters[service].of(core)
    }

    fn pools(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.pools.iter().flatten()
    }
}

/// The budget of each service: the one of before, unless its settings changed.
fn budgets(table: &Table, before: Option<&View>, cores: usize) -> Vec<Rc<RefCell<Budget>>> {
    let old: HashMap<&ServiceKey, (&RetrySettings, &Rc<RefCell<Budget>>)> = before
        .into_iter()
        .flat_map(|view| view.table().services().iter().zip(&view.budgets))
        .map(|(service, budget)| (&service.key, (&service.retry, budget)))
        .collect();
    let budget = |service: &Service| match old.get(&service.key) {
        Some((settings, budget)) if **settings == service.retry => Rc::clone(budget),
        _ => Rc::new(RefCell::new(Budget::new(&service.retry, cores))),
    };
    table.services().iter().map(budget).collect()
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Core {
        let version = shared.version();
        let view = View::new(shared.published(), None, &shared.settings);
        let seed = shared.world.random_u64();
        Core {
            balancer: RefCell::new(Balancer::new()),
            rng: RefCell::new(SplitMix64::new(seed)),
            kept_bytes: Cell::new(0),
            clients: Rc::new(Clients::new()),
            view: RefCell::new(Rc::new(view)),
            version: Cell::new(version),
            shared,
            index,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn now(&self) -> Mono {
        self.shared.world.mono()
    }

    pub(crate) fn counters(&self) -> &CoreCounters {
        self.shared.core(self.index)
    }

    /// The table in force. One load and a comparison unless it changed.
    pub(crate) fn view(&self) -> Rc<View> {
        let version = self.shared.version();
        let mut view = self.view.borrow_mut();
        if version != self.version.get() {
            let next = View::new(self.shared.published(), Some(&**view), self.settings());
            *view = Rc::new(next);
            self.version.set(version);
        }
        view.clone()
    }

    /// Closes upstream connections that rested too long, and those to endpoints that are gone. Says whether any is left.
    pub(crate) fn age_pools(&self) -> bool {
        let now = self.clients.coarse_now();
        let limit = self.settings().upstream_idle;
        let mut left = false;
        for pool in self.view().pools() {
            // Every pool ages, also after one that has connections left.
            left |= pool.age(now, limit);
        }
        left
    }
}
