//! What must hold when nothing is under way: counters, and nothing lost at the end.

use crate::event::{Call, Event, What};
use crate::facts::{Outcome, Span, Stored};
use crate::report::{Class, Report};
use crate::state::{Sure, View, moment};

/// Judges counters and the end.
pub(crate) fn judge(view: &View<'_>, events: &[Event], report: &mut Report) {
    for (n, event) in events.iter().enumerate() {
        let now = moment(event.at, n);
        match &event.what {
            What::Counters {
                queue,
                visible,
                in_flight,
                delayed,
            } => {
                if let Some(line) = view.timeline.queue(queue) {
                    counters(view, line, &now, [*visible, *in_flight, *delayed], report);
                }
            }
            What::Drained => {
                lost(view, &now, report);
                fan_out(view, &now, report);
            }
            _ => {}
        }
    }
}

/// The counters are those of some possible state.
fn counters(view: &View<'_>, line: usize, at: &Span, told: [usize; 3], report: &mut Report) {
    let timeline = view.timeline;
    let (mut least, mut most) = ([0; 3], [0; 3]);
    let elsewhere = (0..timeline.lines.len()).filter(|&other| {
        // What may have been moved here from there without having been seen.
        other != line && (timeline.lines[other].dead_letters == Some(line) || reaches(view, other, line))
    });
    let elsewhere: Vec<usize> = elsewhere.collect();
    for &index in elsewhere.iter().flat_map(|&other| &timeline.lines[other].stored) {
        let stored = &timeline.stored[index];
        // A purge of the queue where it was seen last does not reach what was moved before.
        let moved =
            stored.child.is_none() && view.perhaps_moved(stored, at) && !view.surely_ended(stored, at);
        most.iter_mut().for_each(|count| *count += usize::from(moved));
    }
    for &index in &timeline.lines[line].stored {
        let stored = &timeline.stored[index];
        let present = view.present(stored, at);
        let started = view.came(stored).is_some_and(|span| span.from.n < at.from.n);
        if present == Sure::No || !started {
            continue;
        }
        let states = states(view, stored, at);
        let possible = states.iter().filter(|possible| **possible).count();
        for (n, possible_state) in states.into_iter().enumerate() {
            most[n] += usize::from(possible_state);
            least[n] += usize::from(possible_state && possible == 1 && present == Sure::Yes);
        }
    }
    let all = elsewhere.into_iter().chain([line]);
    let unseen = all.flat_map(|line| timeline.lines[line].candidates.values().flatten());
    let unseen = unseen.filter(|c| !c.claimed && c.span.from.n < at.from.n).count();
    for (n, name) in ["visible", "in flight", "delayed"].into_iter().enumerate() {
        let most = most[n] + unseen;
        if !(least[n]..=most).contains(&told[n]) {
            let queue = &timeline.lines[line].settings.queue;
            let what = format!(
                "{queue} says {} {name}, and {} to {most} are possible",
                told[n], least[n]
            );
            report.add(Class::Counters, at.from.n, what);
        }
    }
}

/// Whether a task may have moved messages from `from` to `to`.
fn reaches(view: &View<'_>, from: usize, to: usize) -> bool {
    let moves = &view.timeline.lines[from].moves;
    moves
        .iter()
        .any(|(_, target)| target.is_none_or(|target| target == to))
}

/// Whether the message may be visible, in flight, delayed.
fn states(view: &View<'_>, stored: &Stored, at: &Span) -> [bool; 3] {
    let delayed = view.delayed(stored, at, view.rules.slack);
    let leased = view.leased(stored, at, view.rules.slack);
    match (delayed, leased) {
        (Sure::Yes, _) => [false, false, true],
        (Sure::Perhaps, _) => [true, leased != Sure::No, true],
        (Sure::No, Sure::Yes) => [false, true, false],
        (Sure::No, Sure::No) => [true, false, false],
        (Sure::No, Sure::Perhaps) => [true, true, false],
    }
}

/// Whether a purge or the time may have taken messages from this queue or from those that they move to.
fn emptied(view: &View<'_>, line: usize, since: &Span, at: &Span) -> bool {
    let mut lines = vec![line];
    while let Some(next) = view.timeline.lines[lines[lines.len() - 1]].dead_letters {
        if lines.contains(&next) {
            break;
        }
        lines.push(next);
    }
    let moves = lines
        .iter()
        .any(|&line| !view.timeline.lines[line].moves.is_empty());
    let all = view.timeline.lines.iter().enumerate();
    let mut reached = all
        .filter(|(n, _)| moves || lines.contains(n))
        .map(|(_, line)| line);
    reached.any(|line| {
        let retention = line.settings.retention;
        line.purges.iter().any(|(purge, _)| !purge.before(since))
            || retention > 0
                && since.from.at.saturating_add(retention) <= at.to.at.saturating_add(view.rules.slack)
    })
}

/// What was acknowledged or seen, and nobody may have taken away, was delivered and deleted.
fn lost(view: &View<'_>, at: &Span, report: &mut Report) {
    for stored in view
        .timeline
        .stored
        .iter()
        .filter(|stored| stored.child.is_none())
    {
        let gone = view.perhaps_gone_from(stored) < at.from.n;
        let came = view.came(stored);
        let there = view.proof(stored, at).is_some();
        if there && !gone && !came.is_none_or(|came| emptied(view, stored.queue, &came, at)) {
            let queue = &view.timeline.lines[stored.queue].settings.queue;
            report.add(Class::Lost, at.from.n, format!("{queue} lost {}", stored.body));
        }
    }
    for line in 0..view.timeline.lines.len() {
        for (body, candidates) in &view.timeline.lines[line].candidates {
            let missing = candidates
                .iter()
                .find(|c| c.acked && !c.claimed && c.span.before(at));
            if missing.is_some_and(|c| !emptied(view, line, &c.span, at)) {
                let queue = &view.timeline.lines[line].settings.queue;
                report.add(
                    Class::Lost,
                    at.from.n,
                    format!("{queue} lost {body}, which was published"),
                );
            }
        }
    }
}

/// A publish without a reply is in all of its queues or in none.
fn fan_out(view: &View<'_>, at: &Span, report: &mut Report) {
    for (n, op) in view.timeline.ops.iter().enumerate() {
        let Call::Publish { queues, body } = op.call else {
            continue;
        };
        if !matches!(op.outcome, Outcome::Unknown) || !op.span.before(at) {
            continue;
        }
        let lines: Vec<usize> = queues
            .iter()
            .filter_map(|name| view.timeline.queue(name))
            .collect();
        let came = lines.iter().map(|&line| {
            let candidates = view.timeline.lines[line].candidates.get(body);
            candidates.into_iter().flatten().any(|c| c.op == n && c.claimed)
        });
        let came: Vec<bool> = came.collect();
        let emptied = lines.iter().any(|&line| emptied(view, line, &op.span, at));
        if came.contains(&true) && came.contains(&false) && !emptied {
            let what = format!("{body} was published to {queues:?} and is in some of them only");
            report.add(Class::TornMove, at.from.n, what);
        }
    }
}
