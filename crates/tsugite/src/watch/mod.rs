//! Watches of services: who waits is woken when a service of his scope changed, and by nothing else.
//!
//! The hub looks once at what changed and rings the bells of those concerned. Who is woken looks for himself, so nothing
//! is queued for anybody: a slow reader sees later states, not all of them.

mod follower;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tsugite_engine::RegistryStore;
use tsugite_registry::{Scope, ServiceName, Touched};

pub(crate) use follower::{Follower, Told};

type Bells<K> = HashMap<K, HashMap<u64, Arc<Notify>>>;

/// Who watches what.
pub(crate) struct Hub {
    watchers: Mutex<Watchers>,
    limit: usize,
    closing: AtomicBool,
    wake_ups: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default)]
struct Watchers {
    next: u64,
    all: Bells<()>,
    /// Names in lower case.
    namespaces: Bells<String>,
    services: Bells<ServiceName>,
    count: usize,
}

/// The hub has as many watchers as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) limit: usize,
}

impl Hub {
    /// A hub for at most `limit` watchers.
    pub(crate) fn new(limit: usize) -> Hub {
        Hub {
            watchers: Mutex::default(),
            limit,
            closing: AtomicBool::new(false),
            wake_ups: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Wakes watchers for as long as it is polled.
    pub(crate) async fn run<S: RegistryStore>(self: Arc<Hub>, store: S) {
        let mut changes = store.registry_changes();
        let mut seen = 0;
        loop {
            changes.borrow_and_update();
            let touched = store.touched_since(seen);
            seen = touched.index;
            self.wake(&touched);
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// From now on whoever watches what `scope` says is woken by changes of it, until the ticket is dropped.
    pub(crate) fn watch(self: &Arc<Hub>, scope: Scope) -> Result<Ticket, TooMany> {
        let scope = folded(scope);
        let bell = Arc::new(Notify::new());
        let mut watchers = self.lock();
        if watchers.count >= self.limit {
            self.refused.fetch_add(1, Relaxed);
            return Err(TooMany { limit: self.limit });
        }
        watchers.count += 1;
        watchers.next += 1;
        let id = watchers.next;
        match &scope {
            Scope::All => add(&mut watchers.all, &(), id, &bell),
            Scope::Namespace(name) => add(&mut watchers.namespaces, name, id, &bell),
            Scope::Services(names) => {
                for name in names {
                    add(&mut watchers.services, name, id, &bell);
                }
            }
        }
        drop(watchers);
        Ok(Ticket {
            hub: self.clone(),
            id,
            scope,
            bell,
        })
    }

    /// Rings for whoever watches one of the services that were touched.
    fn wake(&self, touched: &Touched) {
        let watchers = self.lock();
        if watchers.count == 0 {
            return;
        }
        let mut rung = 0;
        if touched.all {
            rung += ring(watchers.all.values())
                + ring(watchers.namespaces.values())
                + ring(watchers.services.values());
        } else if !touched.names.is_empty() {
            rung += ring(watchers.all.values());
            let mut namespaces: Vec<String> = Vec::new();
            for name in touched.names.iter().map(ServiceName::folded) {
                rung += ring(watchers.services.get(&name).into_iter());
                if !namespaces.contains(&name.namespace) {
                    rung += ring(watchers.namespaces.get(&name.namespace).into_iter());
                    namespaces.push(name.namespace);
                }
            }
        }
        drop(watchers);
        self.wake_ups.fetch_add(rung, Relaxed);
    }

    /// Ends every watch: the program stops.
    pub(crate) fn close(&self) {
        self.closing.store(true, Relaxed);
        let watchers = self.lock();
        ring(watchers.all.values());
        ring(watchers.namespaces.values());
        ring(watchers.services.values());
    }

    /// Whether every watch is to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// How many watchers there may be.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Watchers now; bells rung by changes, and watchers refused, since the start.
    pub(crate) fn counts(&self) -> (usize, u64, u64) {
        let watchers = self.lock().count;
        (watchers, self.wake_ups.load(Relaxed), self.refused.load(Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn folded(scope: Scope) -> Scope {
    match scope {
        Scope::All => Scope::All,
        Scope::Namespace(name) => Scope::Namespace(name.to_ascii_lowercase()),
        Scope::Services(names) => Scope::Services(names.iter().map(ServiceName::folded).collect()),
    }
}

fn add<K: Clone + Eq + Hash>(bells: &mut Bells<K>, key: &K, id: u64, bell: &Arc<Notify>) {
    bells.entry(key.clone()).or_default().insert(id, bell.clone());
}

fn remove<K: Eq + Hash>(bells: &mut Bells<K>, key: &K, id: u64) {
    if let Some(of_key) = bells.get_mut(key) {
        of_key.remove(&id);
        if of_key.is_empty() {
            bells.remove(key);
        }
    }
}

fn ring<'a>(bells: impl Iterator<Item = &'a HashMap<u64, Arc<Notify>>>) -> u64 {
    let mut rung = 0;
    for bell in bells.flat_map(HashMap::values) {
        // One ring is kept for who is not listening at this moment; more of them mean no more.
        bell.notify_one();
        rung += 1;
    }
    rung
}

/// A place among the watchers, given back when it is dropped.
pub(crate) struct Ticket {
    hub: Arc<Hub>,
    id: u64,
    scope: Scope,
    bell: Arc<Notify>,
}

impl Ticket {
    /// What is watched; names in lower case.
    pub(crate) const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Completes when something in scope changed since the last time, or the hub closes.
    pub(crate) async fn rung(&self) {
        if !self.hub.is_closing() {
            self.bell.notified().await;
        }
    }

    /// Whether every watch is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.hub.is_closing()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut watchers = self.hub.lock();
        let watchers = &mut *watchers;
        watchers.count = watchers.count.saturating_sub(1);
        match &self.scope {
            Scope::All => remove(&mut watchers.all, &(), self.id),
            Scope::Namespace(name) => remove(&mut watchers.namespaces, name, self.id),
            Scope::Services(names) => {
                for name in names {
                    remove(&mut watchers.services, name, self.id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(namespace: &str, service: &str) -> ServiceName {
        ServiceName {
            namespace: namespace.into(),
            service: service.into(),
        }
    }

    fn touched(names: &[ServiceName]) -> Touched {
        Touched {
            index: 1,
            all: false,
            names: names.to_vec(),
        }
    }

    /// Whether the bell of a ticket has rung since the last look.
    fn has_rung(ticket: &Ticket) -> bool {
        use std::future::Future;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(ticket.rung())
            .as_mut()
            .poll(&mut context)
            .is_ready()
    }

    #[test]
    fn a_thousand_changes_elsewhere_wake_nobody() {
        let hub = Arc::new(Hub::new(10));
        let one = Scope::Services(vec![name("Shop", "Orders"), name("shop", "carts")]);
        let one = hub.watch(one).unwrap();
        let namespace = hub.watch(Scope::Namespace("SHOP".into())).unwrap();
        let all = hub.watch(Scope::All).unwrap();
        for n in 0..1_000 {
            hub.wake(&touched(&[name("elsewhere", &format!("s{n}"))]));
        }
        assert!(!has_rung(&one) && !has_rung(&namespace) && has_rung(&all));
        hub.wake(&touched(&[name("shop", "other")]));
        assert!(!has_rung(&one) && has_rung(&namespace) && has_rung(&all));
        hub.wake(&touched(&[name("shop", "orders"), name("shop", "carts")]));
        assert!(has_rung(&one) && has_rung(&namespace) && has_rung(&all));
        assert!(!has_rung(&one), "rings are not counted");
        assert_eq!(hub.counts(), (3, 1_000 + 2 + 4, 0));
        hub.wake(&Touched {
            all: true,
            ..touched(&[])
        });
        assert!(has_rung(&one) && has_rung(&namespace) && has_rung(&all));
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let hub = Arc::new(Hub::new(2));
        let scopes = [Scope::All, Scope::Services(vec![name("a", "b"), name("a", "b")])];
        let tickets: Vec<_> = scopes.map(|scope| hub.watch(scope).unwrap()).into();
        assert_eq!(hub.watch(Scope::All).err(), Some(TooMany { limit: 2 }));
        assert_eq!(hub.counts(), (2, 0, 1));
        drop(tickets);
        let namespace = hub.watch(Scope::Namespace("x".into())).unwrap();
        let watchers = hub.lock();
        assert!(watchers.all.is_empty() && watchers.services.is_empty());
        assert_eq!(watchers.count, 1);
        drop(watchers);
        hub.close();
        assert!(has_rung(&namespace) && has_rung(&namespace) && namespace.is_over());
    }
}
