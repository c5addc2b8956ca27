//! Each message's own story: duplicates, deliveries after a delete, counts, delays, expiry, moves.

use crate::facts::{Delivery, Stored};
use crate::report::{Class, Report};
use crate::state::{View, deliveries};

/// Judges the stories of all messages.
pub(crate) fn judge(view: &View<'_>, report: &mut Report) {
    for (index, stored) in view.timeline.stored.iter().enumerate() {
        after_removal(view, index, report);
        early_or_late(view, stored, report);
        if stored.parent.is_none() {
            let mut chain = vec![stored];
            while let Some(child) = chain[chain.len() - 1].child {
                chain.push(&view.timeline.stored[child]);
            }
            duplicates(view, &chain, report);
            for part in chain.chunk_by(|_, next| !next.by_task) {
                counts(view, part, report);
            }
        }
    }
}

/// No delivery begins within another's lease.
fn duplicates(view: &View<'_>, chain: &[&Stored], report: &mut Report) {
    let all = deliveries(chain);
    let within = |one: &(usize, usize, &Delivery), other: &Delivery| {
        let end = view.lease(chain[one.0], one.1, &other.span).0;
        other.span.to.at.saturating_add(view.rules.slack) < end
    };
    for (n, one) in all.iter().enumerate() {
        for other in &all[n + 1..] {
            let unordered = !one.2.span.before(&other.2.span);
            if within(one, other.2) && (!unordered || within(other, one.2)) {
                let body = &chain[0].body;
                let what = format!(
                    "{body} was delivered (receive {}) within the lease of its delivery before (receive {})",
                    other.2.count, one.2.count
                );
                report.add(Class::DuplicatedInLease, other.2.span.to.n, what);
            }
        }
    }
}

/// No delivery begins after a delete's or a purge's reply, nor in a queue that the message left.
fn after_removal(view: &View<'_>, index: usize, report: &mut Report) {
    let stored = &view.timeline.stored[index];
    let line = &view.timeline.lines[stored.queue];
    let deletes = stored.touches.iter().filter(|t| view.surely_deletes(stored, t));
    let first_delete = deletes.map(|t| t.span).min_by_key(|span| span.to.n);
    let mut later = vec![stored];
    while let Some(child) = later[later.len() - 1].child {
        later.push(&view.timeline.stored[child]);
    }
    if let Some(deleted) = first_delete
        && let Some((_, _, d)) = deliveries(&later)
            .iter()
            .find(|(_, _, d)| deleted.before(&d.span))
    {
        let what = format!("{} was delivered after its delete was acknowledged", stored.body);
        report.add(Class::DeliveredAfterDelete, d.span.to.n, what);
    }
    for (purge, _) in line.purges.iter().filter(|(_, done)| *done) {
        let after = stored.deliveries.iter().find(|d| purge.before(&d.span));
        if let Some(d) = after.filter(|_| view.proof(stored, purge).is_some()) {
            let what = format!(
                "{} was delivered after its queue's purge was acknowledged",
                stored.body
            );
            report.add(Class::DeliveredAfterDelete, d.span.to.n, what);
        }
    }
    let moved = stored
        .child
        .and_then(|child| view.timeline.stored[child].deliveries.first());
    if let Some(moved) = moved
        && let Some(d) = stored.deliveries.iter().find(|d| moved.span.before(&d.span))
    {
        let what = format!("{} was delivered by a queue that it had left", stored.body);
        report.add(Class::TornMove, d.span.to.n, what);
    }
}

/// Nothing comes before its delay is over, nor long after it expired.
fn early_or_late(view: &View<'_>, stored: &Stored, report: &mut Report) {
    let Some((sent, _)) = stored.sent else { return };
    let retention = view.timeline.lines[stored.queue].settings.retention;
    for d in &stored.deliveries {
        if d.span.to.at.saturating_add(view.rules.slack) < sent.from.at.saturating_add(stored.delay) {
            let what = format!(
                "{} was delivered before its delay of {} ms was over",
                stored.body, stored.delay
            );
            report.add(Class::Early, d.span.to.n, what);
        }
        let end = sent
            .to
            .at
            .saturating_add(retention)
            .saturating_add(view.rules.grace);
        if retention > 0 && end < d.span.from.at {
            let what = format!("{} was delivered long after it expired", stored.body);
            report.add(Class::Late, d.span.to.n, what);
        }
    }
}

/// The receive count is the number of deliveries, but for those that a crash may have forgotten.
fn counts(view: &View<'_>, chain: &[&Stored], report: &mut Report) {
    let all = deliveries(chain);
    let began = view.came(chain[0]).map_or(0, |span| span.from.n);
    for (link, _, d) in &all {
        let fifo = view.timeline.lines[chain[*link].queue].settings.fifo;
        let forgotten = |from: usize| !fifo && view.crashed(from, d.span.to.n);
        let before = |other: &&(usize, usize, &Delivery)| {
            other.2.span.before(&d.span) && !forgotten(other.2.span.from.n)
        };
        let least = 1 + all.iter().filter(before).count() as u32;
        let known = all
            .iter()
            .filter(|other| other.2.span.from.n < d.span.to.n)
            .count();
        let unknown = chain.iter().map(|stored| {
            let unknown = &view.timeline.lines[stored.queue].unknown;
            let since = unknown.partition_point(|(span, _)| span.to.n < began);
            unknown[since..]
                .iter()
                .filter(|(span, _)| span.from.n < d.span.to.n)
                .count()
        });
        let most = (known + unknown.sum::<usize>()) as u32;
        if !(least..=most).contains(&d.count) {
            let what = format!(
                "{} says receive {}, and {least} to {most} are possible",
                chain[0].body, d.count
            );
            report.add(Class::ReceiveCount, d.span.to.n, what);
        }
    }
}
