//! What can be said of a message at some time: whether it surely was in its queue, and surely leased or not.

use crate::Rules;
use crate::facts::{Delivery, Moment, Span, Stored, Touch};
use crate::timeline::Timeline;

/// How sure something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sure {
    Yes,
    No,
    Perhaps,
}

/// Questions about a history.
pub(crate) struct View<'a> {
    pub(crate) timeline: &'a Timeline<'a>,
    pub(crate) rules: Rules,
}

impl View<'_> {
    /// Whether a crash lies between these two events.
    pub(crate) fn crashed(&self, from: usize, to: usize) -> bool {
        let crashes = &self.timeline.crashes;
        let next = crashes.partition_point(|crash| crash.n <= from);
        crashes.get(next).is_some_and(|crash| crash.n < to)
    }

    /// The earliest and the latest millisecond at which the lease of a delivery may end, as seen at `at`.
    pub(crate) fn lease(&self, stored: &Stored, number: usize, at: &Span) -> (u64, u64) {
        let delivery = &stored.deliveries[number];
        let fifo = self.timeline.lines[stored.queue].settings.fifo;
        let begun = (delivery.span, delivery.visibility, true, fifo);
        let renewals = delivery
            .renewals
            .iter()
            .map(|&(span, millis)| (span, millis, true, fifo));
        // By the handle of another delivery too: that of a later one or, once a crash may have forgotten this one, any.
        let began = |number: usize| stored.deliveries[number].span.from.n;
        let changes = stored.touches.iter().filter(|t| {
            let forgotten = !fifo && self.crashed(began(number), t.span.to.n);
            began(t.delivery) >= began(number) || forgotten
        });
        // A release does not wait for the disk: a crash may undo it.
        let changes = changes.filter_map(|t| {
            let own = t.done && t.delivery == number;
            Some((t.span, t.change?, own, t.change? > 0))
        });
        // A repeat without a reply may have begun the lease anew, as long as it asked for.
        let attempts = self.timeline.lines[stored.queue].unknown_attempts.iter();
        let repeats = attempts.filter(|(attempt, span, _)| {
            delivery.attempt.as_deref() == Some(*attempt) && span.to.n > delivery.span.from.n
        });
        let repeats = repeats.map(|&(_, span, millis)| (span, millis, false, true));
        let all = std::iter::once(begun).chain(renewals).chain(repeats);
        let all: Vec<_> = all.chain(changes).collect();
        let (mut earliest, mut latest) = (u64::MAX, 0);
        for (span, millis, _, durable) in &all {
            let kept = |(other, _, sure, durable): &(Span, u64, bool, bool)| {
                *sure
                    && span.before(other)
                    && other.before(at)
                    && (*durable || !self.crashed(other.from.n, at.to.n))
            };
            if span.from.n >= at.to.n && span.from.n != delivery.span.from.n || all.iter().any(kept) {
                continue;
            }
            let lost = !durable && self.crashed(span.from.n, at.to.n);
            let end = if lost {
                0
            } else {
                span.from.at.saturating_add(*millis)
            };
            earliest = earliest.min(end);
            latest = latest.max(span.to.at.saturating_add(*millis));
        }
        (earliest, latest)
    }

    /// A delivery before `at` whose lease surely was not over at `at`.
    pub(crate) fn surely_leased(&self, stored: &Stored, at: &Span) -> bool {
        let mut deliveries = stored.deliveries.iter().enumerate();
        deliveries.any(|(number, d)| {
            d.span.before(at) && self.lease(stored, number, at).0 > at.to.at.saturating_add(self.rules.slack)
        })
    }

    /// Whether the message is leased at `at`, give or take `grace` milliseconds.
    pub(crate) fn leased(&self, stored: &Stored, at: &Span, grace: u64) -> Sure {
        if self.surely_leased(stored, at) {
            return Sure::Yes;
        }
        let line = &self.timeline.lines[stored.queue];
        let before = |millis: u64| millis.saturating_add(grace) < at.from.at;
        let mut deliveries = stored.deliveries.iter().enumerate();
        let over = deliveries.all(|(n, d)| d.span.from.n > at.to.n || before(self.lease(stored, n, at).1));
        let since = self.proof(stored, at).map_or(0, |proof| proof.from.n);
        let unknown = &line.unknown[line.unknown.partition_point(|(span, _)| span.to.n < since)..];
        let mut unknown = unknown.iter().filter(|(span, _)| span.from.n < at.to.n);
        if over && unknown.all(|(span, millis)| before(span.to.at.saturating_add(*millis))) {
            Sure::No
        } else {
            Sure::Perhaps
        }
    }

    /// The last call before `at` which shows that the message was in its queue.
    pub(crate) fn proof(&self, stored: &Stored, at: &Span) -> Option<Span> {
        let sent = stored.sent.filter(|(_, acked)| *acked).map(|(span, _)| span);
        let seen = stored.deliveries.iter().map(|d| d.span);
        sent.into_iter()
            .chain(seen)
            .filter(|span| span.before(at))
            .max_by_key(|span| span.from.n)
    }

    /// Whether the handle's delivery surely was not the latest any more. A crash may have forgotten a later one.
    fn stale(&self, stored: &Stored, touch: &Touch) -> bool {
        let own = stored.deliveries[touch.delivery].span;
        let fifo = self.timeline.lines[stored.queue].settings.fifo;
        stored.deliveries.iter().any(|d| {
            own.before(&d.span)
                && d.span.before(&touch.span)
                && (fifo || !self.crashed(d.span.from.n, touch.span.to.n))
        })
    }

    /// Whether this delete surely took the message away.
    pub(crate) fn surely_deletes(&self, stored: &Stored, touch: &Touch) -> bool {
        let line = &self.timeline.lines[stored.queue];
        let own = &stored.deliveries[touch.delivery];
        let mut others = stored
            .deliveries
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != touch.delivery);
        let latest = others.all(|(_, d)| d.span.before(&own.span) || touch.span.before(&d.span));
        let within = self.lease(stored, touch.delivery, &touch.span).0
            > touch.span.to.at.saturating_add(self.rules.slack);
        let stays = line.dead_letters.is_none() && line.moves.is_empty();
        let overlaps = |span: &Span| span.from.n < touch.span.to.n && span.to.n > own.span.from.n;
        touch.done
            && touch.change.is_none()
            && latest
            && (within || stays && !line.unknown.iter().any(|(span, _)| overlaps(span)))
    }

    /// Since when the message may be gone for good: the first call that may have taken it away and after which it
    /// was not seen any more.
    pub(crate) fn perhaps_gone_from(&self, stored: &Stored) -> usize {
        let deletes = stored
            .touches
            .iter()
            .filter(|t| t.change.is_none() && !self.stale(stored, t));
        let purges = self.timeline.lines[stored.queue]
            .purges
            .iter()
            .map(|(span, _)| *span);
        let came = self.came(stored).map_or(0, |span| span.from.n);
        let causes = deletes
            .map(|t| t.span)
            .chain(purges)
            .filter(|span| span.to.n > came);
        let alive = |span: &Span| stored.deliveries.iter().any(|d| span.before(&d.span));
        causes
            .filter(|span| !alive(span))
            .map(|span| span.from.n)
            .min()
            .unwrap_or(usize::MAX)
    }

    /// When the message came into its queue.
    pub(crate) fn came(&self, stored: &Stored) -> Option<Span> {
        let first = stored
            .deliveries
            .iter()
            .map(|d| d.span)
            .min_by_key(|span| span.from.n);
        match (stored.sent, stored.parent) {
            (Some((span, _)), _) => Some(span),
            (None, Some(parent)) => {
                // Somewhere between its last sign in the other queue and its first one here.
                let from = self.came(&self.timeline.stored[parent])?.from;
                Some(Span { from, to: first?.to })
            }
            (None, None) => first,
        }
    }

    /// The earliest moment at which it may expire.
    pub(crate) fn expires(&self, stored: &Stored) -> u64 {
        let line = &self.timeline.lines[stored.queue];
        let came = self.came(stored);
        match line.settings.retention {
            0 => u64::MAX,
            retention => came.map_or(u64::MAX, |span| span.from.at.saturating_add(retention)),
        }
    }

    /// The most receives that the message may have counted by `at`.
    fn receives(&self, stored: &Stored, at: &Span) -> u32 {
        let line = &self.timeline.lines[stored.queue];
        let known = stored.deliveries.iter().filter(|d| d.span.from.n < at.to.n);
        let count = known
            .clone()
            .map(|d| d.count)
            .max()
            .unwrap_or(0)
            .max(known.count() as u32);
        let came = self.came(stored).map_or(0, |span| span.from.n);
        let unknown = &line.unknown[line.unknown.partition_point(|(span, _)| span.to.n < came)..];
        count + unknown.iter().filter(|(span, _)| span.from.n < at.to.n).count() as u32
    }

    /// Whether the message may have left for another queue by `at`.
    pub(crate) fn perhaps_moved(&self, stored: &Stored, at: &Span) -> bool {
        let line = &self.timeline.lines[stored.queue];
        let dead = line.dead_letters.is_some() && self.receives(stored, at) >= line.settings.max_receives;
        (dead || line.moves.iter().any(|(from, _)| from.n < at.to.n)) && !self.surely_leased(stored, at)
    }

    /// Whether the message is in its queue at `at`.
    pub(crate) fn present(&self, stored: &Stored, at: &Span) -> Sure {
        if self.surely_gone(stored, at) {
            return Sure::No;
        }
        let Some(proof) = self.proof(stored, at) else {
            return Sure::Perhaps;
        };
        let took = |span: &Span| span.from.n < at.to.n && span.to.n > proof.from.n;
        let deletes = stored
            .touches
            .iter()
            .filter(|t| t.change.is_none() && !self.stale(stored, t));
        let purges = self.timeline.lines[stored.queue]
            .purges
            .iter()
            .map(|(span, _)| *span);
        if deletes.map(|t| t.span).chain(purges).any(|span| took(&span))
            || self.expires(stored) <= at.to.at.saturating_add(self.rules.slack)
            || self.perhaps_moved(stored, at)
        {
            return Sure::Perhaps;
        }
        Sure::Yes
    }

    fn surely_gone(&self, stored: &Stored, at: &Span) -> bool {
        let line = &self.timeline.lines[stored.queue];
        let came = self.came(stored);
        let purged = |(span, done): &(Span, bool)| {
            *done && came.is_some_and(|came| came.before(span)) && span.before(at)
        };
        let child = stored.child.map(|child| &self.timeline.stored[child]);
        let moved = child.is_some_and(|child| {
            let mut seen = child.deliveries.iter();
            seen.any(|d| d.span.before(at)) || child.child.is_some_and(|_| self.surely_gone(child, at))
        });
        self.surely_ended(stored, at) || moved || line.purges.iter().any(purged)
    }

    /// Whether the message was deleted or has expired, wherever it was.
    pub(crate) fn surely_ended(&self, stored: &Stored, at: &Span) -> bool {
        let line = &self.timeline.lines[stored.queue];
        let mut deletes = stored.touches.iter();
        let deleted = deletes.any(|t| t.span.before(at) && self.surely_deletes(stored, t));
        let expired = line.settings.retention > 0
            && stored.sent.is_some_and(|(span, _)| {
                let end = span.to.at.saturating_add(line.settings.retention);
                end.saturating_add(self.rules.grace) < at.from.at
            });
        deleted || expired
    }

    /// Whether its first delay is surely over, or surely not.
    pub(crate) fn delayed(&self, stored: &Stored, at: &Span, grace: u64) -> Sure {
        match stored.sent {
            _ if stored.deliveries.iter().any(|d| d.span.before(at)) => Sure::No,
            Some((span, _)) if span.to.at.saturating_add(stored.delay).saturating_add(grace) < at.from.at => {
                Sure::No
            }
            Some(_) if stored.delay == 0 => Sure::No,
            Some((span, _))
                if span.from.at.saturating_add(stored.delay) > at.to.at.saturating_add(self.rules.slack) =>
            {
                Sure::Yes
            }
            Some(_) => Sure::Perhaps,
            None => Sure::No,
        }
    }
}

/// A single moment as a span.
pub(crate) const fn moment(at: u64, n: usize) -> Span {
    let moment = Moment { at, n };
    Span {
        from: moment,
        to: moment,
    }
}

/// All deliveries of a message in order, through the queues that it lay in until a task made it new.
pub(crate) fn deliveries<'a>(chain: &[&'a Stored]) -> Vec<(usize, usize, &'a Delivery)> {
    let each = |(link, stored): (usize, &&'a Stored)| {
        let stored: &'a Stored = stored;
        let numbered = stored.deliveries.iter().enumerate();
        numbered
            .map(move |(number, delivery)| (link, number, delivery))
            .collect::<Vec<_>>()
    };
    let mut all: Vec<_> = chain.iter().enumerate().flat_map(each).collect();
    all.sort_by_key(|(_, _, delivery)| delivery.span.from.n);
    all
}
