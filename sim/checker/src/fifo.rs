//! FIFO queues: order of groups, one holder of a group, deduplication.

use std::collections::HashMap;

use crate::event::{Call, Reply};
use crate::facts::{Op, Outcome, Span};
use crate::report::{Class, Report};
use crate::state::{Sure, View};

/// Judges all FIFO queues.
pub(crate) fn judge(view: &View<'_>, report: &mut Report) {
    sequence(view, report);
    groups(view, report);
    deduplication(view, report);
}

/// Sequence numbers follow the order of sends that did not overlap, and of entries in a batch.
fn sequence(view: &View<'_>, report: &mut Report) {
    let timeline = view.timeline;
    for line in timeline.lines.iter().filter(|line| line.settings.fifo) {
        let mut sent: Vec<_> = line.stored.iter().map(|&index| &timeline.stored[index]).collect();
        sent.retain(|s| s.seq.is_some() && s.sent.is_some_and(|(_, acked)| acked) && !s.settled);
        let span = |s: &crate::facts::Stored| s.sent.map(|(span, _)| span);
        let mut ends = sent.clone();
        ends.sort_by_key(|s| span(s).map(|span| span.to.n));
        sent.sort_by_key(|s| span(s).map(|span| span.from.n));
        let (mut ended, mut highest) = (ends.iter().peekable(), None);
        let mut previous: Option<&crate::facts::Stored> = None;
        for stored in sent {
            let Some(own) = span(stored) else { continue };
            while let Some(other) = ended.next_if(|other| span(other).is_some_and(|span| span.before(&own))) {
                highest = highest.max(other.seq);
            }
            let entry = previous.filter(|p| span(p) == Some(own)).and_then(|p| p.seq);
            if stored.seq <= highest.max(entry) {
                let what = format!(
                    "{} has a lower sequence number than a message sent before it",
                    stored.body
                );
                report.add(Class::OutOfOrder, own.to.n, what);
            }
            previous = Some(stored);
        }
    }
}

/// The blocking rule: who gets a message gets every earlier message of its group that is still there, before it.
fn groups(view: &View<'_>, report: &mut Report) {
    let timeline = view.timeline;
    let mut members: HashMap<(usize, &str), Vec<usize>> = HashMap::new();
    for (index, stored) in timeline.stored.iter().enumerate() {
        if let Some(group) = stored
            .group
            .as_deref()
            .filter(|_| timeline.lines[stored.queue].settings.fifo)
        {
            members.entry((stored.queue, group)).or_default().push(index);
        }
    }
    let gone: Vec<usize> = timeline
        .stored
        .iter()
        .map(|stored| view.perhaps_gone_from(stored))
        .collect();
    for (op, got) in &timeline.receives {
        let span = timeline.ops[*op].span;
        let mut last: HashMap<(usize, &str), u64> = HashMap::new();
        for (index, _) in got {
            let stored = &timeline.stored[*index];
            let (Some(group), Some(seq)) = (stored.group.as_deref(), stored.seq) else {
                continue;
            };
            if !timeline.lines[stored.queue].settings.fifo {
                continue;
            }
            let before = last.insert((stored.queue, group), seq);
            if before.is_some_and(|before| before > seq) {
                let what = format!(
                    "{} came after a later message of group {group} in one reply",
                    stored.body
                );
                report.add(Class::OutOfOrder, span.to.n, what);
            }
        }
        for (key, seq) in last {
            for &index in members.get(&key).into_iter().flatten() {
                let earlier = &timeline.stored[index];
                if earlier.seq.is_none_or(|s| s >= seq) || gone[index] < span.from.n {
                    continue;
                }
                if got.iter().any(|(other, _)| *other == index) || view.present(earlier, &span) != Sure::Yes {
                    continue;
                }
                let (class, how) = match view.surely_leased(earlier, &span) {
                    true => (Class::TwoHolders, "was in flight"),
                    false => (Class::OutOfOrder, "was waiting"),
                };
                let what = format!(
                    "group {} was served while its earlier message {} {how}",
                    key.1, earlier.body
                );
                report.add(class, span.to.n, what);
            }
        }
    }
}

/// A send under a deduplication id.
struct Attempt {
    span: Span,
    id: Option<String>,
    body: String,
}

/// At most one message for each deduplication id and window; none dropped outside of the window.
fn deduplication(view: &View<'_>, report: &mut Report) {
    let mut keys: HashMap<(usize, Option<&str>, &str), Vec<Attempt>> = HashMap::new();
    for Op { span, call, outcome } in &view.timeline.ops {
        let Call::Send { queue, entries } = call else {
            continue;
        };
        let Some(line) = view
            .timeline
            .queue(queue)
            .filter(|_| !matches!(outcome, Outcome::Refused))
        else {
            continue;
        };
        let settings = &view.timeline.lines[line].settings;
        for entry in entries.iter().filter(|_| settings.fifo) {
            let Some(dedup) = entry.dedup.as_deref() else {
                continue;
            };
            let id = match outcome {
                Outcome::Done(Reply::Sent(results)) => {
                    let result = results.iter().find(|r| r.entry == entry.entry);
                    let Some(id) = result.and_then(|r| r.id.clone()) else {
                        continue;
                    };
                    Some(id)
                }
                _ => None,
            };
            let group = entry.group.as_deref().filter(|_| settings.dedup_by_group);
            let body = entry.body.clone();
            keys.entry((line, group, dedup)).or_default().push(Attempt {
                span: *span,
                id,
                body,
            });
        }
    }
    for ((line, _, dedup), mut attempts) in keys {
        claim(view, line, &mut attempts);
        judge_key(view, line, dedup, &attempts, report);
    }
}

/// An attempt without a reply stored what was delivered with its text.
fn claim(view: &View<'_>, line: usize, attempts: &mut [Attempt]) {
    for attempt in attempts.iter_mut().filter(|attempt| attempt.id.is_none()) {
        let stored = view.timeline.lines[line].stored.iter();
        let stored = stored.map(|&index| &view.timeline.stored[index]);
        let mut own =
            stored.filter(|s| s.body == attempt.body && s.sent.is_some_and(|(span, _)| span == attempt.span));
        attempt.id = own.next().map(|s| s.id.clone());
    }
}

fn judge_key(view: &View<'_>, line: usize, dedup: &str, attempts: &[Attempt], report: &mut Report) {
    let window = view.rules.window;
    let mut firsts: Vec<&Attempt> = Vec::new();
    for attempt in attempts {
        let Some(id) = &attempt.id else { continue };
        match firsts.iter().find(|first| first.id.as_ref() == Some(id)) {
            Some(first) => {
                let end = first
                    .span
                    .to
                    .at
                    .saturating_add(window)
                    .saturating_add(view.rules.slack);
                if end < attempt.span.from.at {
                    let what = format!(
                        "{} was dropped as a repeat under {dedup} after its window",
                        attempt.body
                    );
                    report.add(Class::Deduplication, attempt.span.to.n, what);
                }
            }
            None => firsts.push(attempt),
        }
    }
    for pair in firsts.windows(2) {
        let (one, other) = (pair[0], pair[1]);
        // A send without a reply may have been the one that was accepted first.
        let unknown = attempts
            .iter()
            .filter(|a| a.id.is_none() && a.span.from.n < one.span.to.n);
        let accepted = unknown.map(|a| a.span.from.at).fold(one.span.from.at, u64::min);
        let purges = &view.timeline.lines[line].purges;
        let purged = purges
            .iter()
            .any(|(p, _)| p.from.n < other.span.to.n && p.to.n > one.span.from.n);
        let inside = other.span.to.at.saturating_add(view.rules.slack) < accepted.saturating_add(window);
        if inside && !purged {
            let what = format!("{} and {} were both stored under {dedup}", one.body, other.body);
            report.add(Class::Deduplication, other.span.to.n, what);
        }
    }
}
