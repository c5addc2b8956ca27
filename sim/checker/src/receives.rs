//! Each reply on its own: batches one to one, no more messages than asked, nothing overdue held back, attempts repeated.

use std::collections::HashMap;

use crate::event::{Call, Reply};
use crate::facts::{Op, Outcome, Span, Stored};
use crate::report::{Class, Report};
use crate::state::{Sure, View};

/// Judges all replies.
pub(crate) fn judge(view: &View<'_>, report: &mut Report) {
    for op in &view.timeline.ops {
        batches(op, report);
    }
    overdue(view, report);
    attempts(view, report);
}

/// Every entry has one result, and every result an entry.
fn batches(op: &Op<'_>, report: &mut Report) {
    let Outcome::Done(reply) = op.outcome else { return };
    let numbers = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
    let (mut asked, mut told): (Vec<String>, Vec<String>) = match (op.call, reply) {
        (Call::Send { entries, .. }, Reply::Sent(results)) => (
            entries.iter().map(|e| e.entry.clone()).collect(),
            results.iter().map(|r| r.entry.clone()).collect(),
        ),
        (Call::Delete { handles, .. }, Reply::Each(results)) => (
            numbers(handles.len()),
            results.iter().map(|(id, _)| id.clone()).collect(),
        ),
        (Call::Change { entries, .. }, Reply::Each(results)) => (
            numbers(entries.len()),
            results.iter().map(|(id, _)| id.clone()).collect(),
        ),
        // A repeat by attempt id returns what the first receive did, whatever it asks for.
        (
            Call::Receive {
                max, attempt: None, ..
            },
            Reply::Received(messages),
        ) if messages.len() > *max => {
            let what = format!("{} messages came, {max} were asked for", messages.len());
            return report.add(Class::Batch, op.span.to.n, what);
        }
        _ => return,
    };
    asked.sort_unstable();
    told.sort_unstable();
    if asked != told {
        let what = format!("entries {asked:?} got results {told:?}");
        report.add(Class::Batch, op.span.to.n, what);
    }
}

/// A receive that returns less than it may leaves nothing behind that is long due.
fn overdue(view: &View<'_>, report: &mut Report) {
    let timeline = view.timeline;
    let mut receives: Vec<_> = timeline.receives.iter().collect();
    receives.sort_by_key(|(op, _)| timeline.ops[*op].span.from.n);
    // Messages of each queue that may be there: entered once they came, left once they may be gone for good.
    let mut waiting: Vec<Vec<usize>> = timeline.lines.iter().map(|line| line.stored.clone()).collect();
    let began = |index: usize| {
        view.came(&timeline.stored[index])
            .map_or(usize::MAX, |span| span.from.n)
    };
    waiting
        .iter_mut()
        .for_each(|list| list.sort_by_key(|&index| std::cmp::Reverse(began(index))));
    let mut active: Vec<Vec<(usize, usize)>> = vec![Vec::new(); timeline.lines.len()];
    let mut told = std::collections::HashSet::new();
    for (op, got) in receives {
        let Op {
            call: Call::Receive {
                queue, max, attempt, ..
            },
            span,
            ..
        } = &timeline.ops[*op]
        else {
            continue;
        };
        let Some(line) = timeline.queue(queue) else {
            continue;
        };
        while let Some(index) = waiting[line].pop_if(|index| began(*index) < span.from.n) {
            active[line].push((index, view.perhaps_gone_from(&timeline.stored[index])));
        }
        active[line].retain(|(_, gone)| *gone > span.from.n);
        // A repeat by attempt id returns what the first receive did, and no more.
        if got.len() >= *max || attempt.is_some() {
            continue;
        }
        let fifo = timeline.lines[line].settings.fifo;
        let free = |index: usize| due(view, &timeline.stored[index], span);
        for &(index, _) in &active[line] {
            let stored = &timeline.stored[index];
            let here = got.iter().any(|(other, _)| *other == index);
            if here || !free(index) || view.present(stored, span) != Sure::Yes {
                continue;
            }
            // In a FIFO queue any other message of the group may stand before it.
            let blocked = || {
                let mut others = timeline.lines[line]
                    .stored
                    .iter()
                    .map(|&other| (other, &timeline.stored[other]));
                let mut unknown = timeline.lines[line].candidates.values().flatten();
                others.any(|(other, s)| {
                    other != index
                        && (s.group == stored.group || s.uncertain)
                        && !free(other)
                        && view.present(s, span) != Sure::No
                }) || unknown.any(|c| !c.claimed && c.group == stored.group)
            };
            if (!fifo || !stored.uncertain && !blocked()) && told.insert(index) {
                let what = format!(
                    "{} is long due, and a receive with room for it did not return it",
                    stored.body
                );
                report.add(Class::Late, span.to.n, what);
            }
        }
    }
}

/// Surely available for longer than the time of grace.
fn due(view: &View<'_>, stored: &Stored, at: &Span) -> bool {
    view.leased(stored, at, view.rules.grace) == Sure::No
        && view.delayed(stored, at, view.rules.grace) == Sure::No
        && view
            .proof(stored, at)
            .is_some_and(|proof| proof.to.at.saturating_add(view.rules.grace) < at.from.at)
}

/// A repeat of a receive gives the same messages under the same handles while nothing happened to them.
fn attempts(view: &View<'_>, report: &mut Report) {
    let timeline = view.timeline;
    let mut first: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    for (n, (op, got)) in timeline.receives.iter().enumerate() {
        let Op {
            call:
                Call::Receive {
                    queue,
                    attempt: Some(attempt),
                    ..
                },
            span,
            ..
        } = &timeline.ops[*op]
        else {
            continue;
        };
        let earlier = first.entry((queue.as_str(), attempt.as_str())).or_default();
        for &other in &*earlier {
            let (other_op, had) = &timeline.receives[other];
            let begun = timeline.ops[*other_op].span;
            let untouched = |(index, delivery): &(usize, usize)| {
                let stored = &timeline.stored[*index];
                let mut touches = stored.touches.iter().filter(|t| t.delivery == *delivery);
                touches.all(|t| span.before(&t.span))
                    && view.lease(stored, *delivery, span).0 > span.to.at.saturating_add(view.rules.slack)
                    && !timeline.lines[stored.queue]
                        .purges
                        .iter()
                        .any(|(purge, _)| purge.from.n < span.to.n)
            };
            let inside =
                span.to.at.saturating_add(view.rules.slack) < begun.from.at.saturating_add(view.rules.window);
            let valid = begun.before(span) && !had.is_empty() && inside && had.iter().all(untouched);
            if valid && had != got {
                let what = format!(
                    "the repeat of attempt {attempt} on {queue} did not return what the first one did"
                );
                report.add(Class::Attempt, span.to.n, what);
            }
        }
        earlier.push(n);
    }
}
