//! A history put in order: which message each call was about, and between which two events it took effect.
//!
//! A call took effect somewhere between its asking and its reply, a call without a reply somewhere before the next
//! crash or never. Everything that is concluded holds wherever in its span each call took effect.

use std::collections::HashMap;

use crate::event::{Call, Entry, Event, Queue, Received, Reply, What};
use crate::facts::{Candidate, Delivery, Moment, NEVER, Op, Outcome, Span, Stored, Touch};
use crate::report::{Class, Report};

/// What happened to a queue.
#[derive(Debug, Default)]
pub(crate) struct Line<'a> {
    pub(crate) settings: Queue,
    pub(crate) dead_letters: Option<usize>,
    /// Purges, and whether each was acknowledged.
    pub(crate) purges: Vec<(Span, bool)>,
    /// When move tasks from here were started, and their targets.
    pub(crate) moves: Vec<(Moment, Option<usize>)>,
    /// Receives without a reply, and their leases, in order of their ends.
    pub(crate) unknown: Vec<(Span, u64)>,
    /// Those of them that may be repeats: attempt ids, with the same.
    pub(crate) unknown_attempts: Vec<(&'a str, Span, u64)>,
    pub(crate) stored: Vec<usize>,
    pub(crate) candidates: HashMap<String, Vec<Candidate>>,
    by_id: HashMap<String, usize>,
    /// A message and its delivery; more than one after a crash that forgot the first.
    by_handle: HashMap<String, Vec<(usize, usize)>>,
}

/// The history in order.
#[derive(Debug, Default)]
pub(crate) struct Timeline<'a> {
    pub(crate) ops: Vec<Op<'a>>,
    pub(crate) lines: Vec<Line<'a>>,
    pub(crate) stored: Vec<Stored>,
    pub(crate) crashes: Vec<Moment>,
    /// Of each receive with a reply: the op and the messages with their deliveries, in the order of the reply.
    pub(crate) receives: Vec<(usize, Vec<(usize, usize)>)>,
    names: HashMap<&'a str, usize>,
    by_body: HashMap<String, Vec<usize>>,
}

impl<'a> Timeline<'a> {
    pub(crate) fn new(events: &'a [Event], report: &mut Report) -> Timeline<'a> {
        let mut timeline = Timeline::default();
        timeline.read(events);
        timeline.take_moves();
        timeline.take_sends();
        timeline.take_receives(report);
        timeline.take_the_rest();
        for line in &mut timeline.lines {
            line.unknown.sort_by_key(|(span, _)| span.to.n);
        }
        timeline
    }

    pub(crate) fn queue(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    fn read(&mut self, events: &'a [Event]) {
        let (mut open, mut at) = (HashMap::new(), 0);
        for (n, event) in events.iter().enumerate() {
            at = event.at.max(at);
            let now = Moment { at, n };
            match &event.what {
                What::Queue(queue) => self.declare(queue),
                What::Ask { op, call } => {
                    open.insert(*op, self.ops.len());
                    let span = Span { from: now, to: NEVER };
                    let outcome = Outcome::Unknown;
                    self.ops.push(Op { span, call, outcome });
                }
                What::Done { op, reply } => {
                    if let Some(op) = open.remove(op) {
                        self.ops[op].span.to = now;
                        self.ops[op].outcome = Outcome::Done(reply);
                    }
                }
                What::Refused { op } => {
                    if let Some(op) = open.remove(op) {
                        self.ops[op].span.to = now;
                        self.ops[op].outcome = Outcome::Refused;
                    }
                }
                What::Crash => {
                    self.crashes.push(now);
                    open.drain().for_each(|(_, op)| self.ops[op].span.to = now);
                }
                What::Counters { .. } | What::Drained => {}
            }
        }
        for line in &mut self.lines {
            let target = line.settings.dead_letters.as_deref();
            line.dead_letters = target.and_then(|name| self.names.get(name).copied());
        }
    }

    fn declare(&mut self, queue: &'a Queue) {
        if !self.names.contains_key(&*queue.queue) {
            self.names.insert(&queue.queue, self.lines.len());
            let settings = queue.clone();
            self.lines.push(Line {
                settings,
                ..Line::default()
            });
        }
    }

    fn take_moves(&mut self) {
        for op in 0..self.ops.len() {
            let Op { span, call, outcome } = self.ops[op];
            if let Call::Move { source, target } = call
                && !matches!(outcome, Outcome::Refused)
                && let Some(source) = self.queue(source)
            {
                let target = target.as_ref().and_then(|name| self.queue(name));
                self.lines[source].moves.push((span.from, target));
            }
        }
    }

    /// What was sent: under its id if that is known, else as a text that may turn up.
    fn take_sends(&mut self) {
        for op in 0..self.ops.len() {
            let (call, span, outcome) = (self.ops[op].call, self.ops[op].span, self.ops[op].outcome);
            let acked = matches!(outcome, Outcome::Done(_));
            match call {
                _ if matches!(outcome, Outcome::Refused) => {}
                Call::Publish { queues, body } => {
                    for name in queues {
                        let Some(queue) = self.queue(name) else { continue };
                        let delay = self.lines[queue].settings.delay;
                        let candidate = Candidate {
                            span,
                            acked,
                            delay,
                            group: None,
                            dedup: None,
                            op,
                            claimed: false,
                        };
                        self.candidate(queue, body, candidate);
                    }
                }
                Call::Send { queue, entries } => {
                    let Some(queue) = self.queue(queue) else { continue };
                    entries.iter().for_each(|entry| self.take_entry(op, queue, entry));
                }
                _ => {}
            }
        }
    }

    /// One message of a send that was not refused as a whole.
    fn take_entry(&mut self, op: usize, queue: usize, entry: &Entry) {
        let Op { span, outcome, .. } = self.ops[op];
        let delay = entry.delay.unwrap_or(self.lines[queue].settings.delay);
        let group = entry.group.clone();
        let Outcome::Done(Reply::Sent(results)) = outcome else {
            let candidate = Candidate {
                span,
                acked: matches!(outcome, Outcome::Done(_)),
                delay,
                group,
                dedup: entry.dedup.clone(),
                op,
                claimed: false,
            };
            self.candidate(queue, &entry.body, candidate);
            return;
        };
        let result = results.iter().find(|r| r.entry == entry.entry);
        let Some((id, seq)) = result.and_then(|r| Some((r.id.clone()?, r.seq))) else {
            return;
        };
        // A repeat under a deduplication id tells of the first one again.
        if self.lines[queue].by_id.contains_key(&id) {
            return;
        }
        let stored = Stored {
            queue,
            id,
            body: entry.body.clone(),
            group,
            seq,
            sent: Some((span, true)),
            delay,
            ..Stored::default()
        };
        self.store_sent(stored, entry.dedup.as_deref());
    }

    /// Stores what was acknowledged. An earlier send under the same deduplication id, without a reply, may have been
    /// the one that was accepted: then text and group are not those of this one.
    fn store_sent(&mut self, mut stored: Stored, dedup: Option<&str>) {
        let candidates = self.lines[stored.queue].candidates.values().flatten();
        let mut rivals = candidates
            .filter(|c| dedup.is_some() && c.dedup.as_deref() == dedup)
            .peekable();
        if rivals.peek().is_some() {
            let first = rivals.map(|c| c.span.from).min_by_key(|from| from.n);
            if let (Some((span, _)), Some(first)) = (&mut stored.sent, first) {
                span.from = first;
            }
            stored.group = None;
            stored.uncertain = true;
            stored.settled = true;
        }
        self.store(stored);
    }

    fn candidate(&mut self, queue: usize, body: &str, candidate: Candidate) {
        let candidates = &mut self.lines[queue].candidates;
        candidates.entry(body.to_owned()).or_default().push(candidate);
    }

    fn store(&mut self, stored: Stored) -> usize {
        let index = self.stored.len();
        let line = &mut self.lines[stored.queue];
        line.stored.push(index);
        line.by_id.insert(stored.id.clone(), index);
        self.by_body.entry(stored.body.clone()).or_default().push(index);
        if let Some(parent) = stored.parent {
            self.stored[parent].child = Some(index);
        }
        self.stored.push(stored);
        index
    }

    /// What was received, in the order of the replies.
    fn take_receives(&mut self, report: &mut Report) {
        let mut order: Vec<usize> = (0..self.ops.len()).collect();
        order.sort_by_key(|&op| self.ops[op].span.to.n);
        for op in order {
            let Call::Receive {
                queue,
                visibility,
                attempt,
                ..
            } = self.ops[op].call
            else {
                continue;
            };
            let Some(queue) = self.queue(queue) else { continue };
            let span = self.ops[op].span;
            let messages = match self.ops[op].outcome {
                Outcome::Done(Reply::Received(messages)) => messages.as_slice(),
                Outcome::Done(_) => &[],
                Outcome::Refused => continue,
                Outcome::Unknown => {
                    self.lines[queue].unknown.push((span, *visibility));
                    let attempts = &mut self.lines[queue].unknown_attempts;
                    attempts.extend(attempt.as_deref().map(|attempt| (attempt, span, *visibility)));
                    continue;
                }
            };
            let mut got = Vec::with_capacity(messages.len());
            for message in messages {
                report.deliveries += 1;
                let Some(index) = self.resolve(queue, message, span) else {
                    let known = self.by_body.contains_key(&message.body);
                    let class = if known { Class::TornMove } else { Class::Phantom };
                    let (name, Received { body, id, .. }) = (&self.lines[queue].settings.queue, message);
                    let what = format!("{name} delivered {body} ({id}), which nobody sent there");
                    report.add(class, span.to.n, what);
                    continue;
                };
                let delivery =
                    self.deliver(queue, index, message, span, *visibility, attempt.as_ref(), report);
                got.push((index, delivery));
            }
            self.receives.push((op, got));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one delivery")]
    fn deliver(
        &mut self,
        queue: usize,
        index: usize,
        message: &Received,
        span: Span,
        visibility: u64,
        attempt: Option<&String>,
        report: &mut Report,
    ) -> usize {
        self.settle(index, message);
        let stored = &mut self.stored[index];
        stored.seq = stored.seq.or(message.seq);
        if stored.body != message.body || stored.group != message.group && message.group.is_some() {
            let what = format!(
                "{} was sent as {} and delivered as {}",
                message.id, stored.body, message.body
            );
            report.add(Class::Phantom, span.to.n, what);
        }
        // A crash may forget a lease and its handle with it; the next delivery may then have the same one. Not so on FIFO
        // queues, where an attempt is repeated after it.
        let crashes = &self.crashes;
        let same = |d: &Delivery| {
            let forgotten = crashes.iter().any(|c| d.span.to.n < c.n && c.n < span.from.n);
            d.handle == message.handle && (!forgotten || attempt.is_some())
        };
        if let Some(at) = stored.deliveries.iter().position(same) {
            let first = &mut stored.deliveries[at];
            if attempt.is_none() || first.attempt.as_ref() != attempt {
                let what = format!("{} was given twice under one handle", message.body);
                report.add(Class::DuplicatedInLease, span.to.n, what);
            }
            first.renewals.push((span, visibility));
            return at;
        }
        stored.deliveries.push(Delivery {
            span,
            visibility,
            handle: message.handle.clone(),
            count: message.count,
            attempt: attempt.cloned(),
            renewals: Vec::new(),
        });
        let at = stored.deliveries.len() - 1;
        self.lines[queue]
            .by_handle
            .entry(message.handle.clone())
            .or_default()
            .push((index, at));
        at
    }

    /// A delivery shows which of several sends under one deduplication id was accepted.
    fn settle(&mut self, index: usize, message: &Received) {
        let stored = &mut self.stored[index];
        if !std::mem::take(&mut stored.uncertain) {
            return;
        }
        stored.group.clone_from(&message.group);
        let candidates = self.lines[stored.queue].candidates.get_mut(&message.body);
        let candidate = candidates.and_then(|list| list.iter_mut().find(|c| !c.claimed));
        if let Some(candidate) = candidate.filter(|_| stored.body != message.body) {
            candidate.claimed = true;
            stored.sent = Some((candidate.span, true));
            stored.body.clone_from(&message.body);
        }
    }

    /// The message that a delivery is of.
    fn resolve(&mut self, queue: usize, message: &Received, span: Span) -> Option<usize> {
        if let Some(&index) = self.lines[queue].by_id.get(&message.id) {
            return Some(index);
        }
        let source = message.source.as_deref().and_then(|name| self.queue(name));
        if let Some(source) =
            source.filter(|&source| self.lines[source].dead_letters == Some(queue) && source != queue)
        {
            let bare = Received {
                source: None,
                seq: None,
                ..message.clone()
            };
            if let Some(parent) = self.resolve(source, &bare, span) {
                return Some(self.child(queue, parent, message, false));
            }
        }
        let candidates = self.lines[queue].candidates.get_mut(&message.body);
        let candidate = candidates.and_then(|list| {
            let mut list = list.iter_mut();
            list.find(|c| !c.claimed && c.span.from.n < span.to.n)
        });
        if let Some(candidate) = candidate {
            candidate.claimed = true;
            let Candidate {
                span,
                acked,
                delay,
                group,
                ..
            } = candidate.clone();
            return Some(self.store(Stored {
                queue,
                id: message.id.clone(),
                body: message.body.clone(),
                group,
                seq: message.seq,
                sent: Some((span, acked)),
                delay,
                ..Stored::default()
            }));
        }
        let parent = self.mover(queue, &message.body, span)?;
        Some(self.child(queue, parent, message, true))
    }

    fn child(&mut self, queue: usize, parent: usize, message: &Received, by_task: bool) -> usize {
        let group = self.stored[parent].group.clone();
        self.store(Stored {
            queue,
            id: message.id.clone(),
            body: message.body.clone(),
            group,
            seq: message.seq,
            parent: Some(parent),
            by_task,
            ..Stored::default()
        })
    }

    /// A message with this text that a task may have moved to `queue`.
    fn mover(&self, queue: usize, body: &str, span: Span) -> Option<usize> {
        let known = self.by_body.get(body)?;
        known.iter().copied().find(|&index| {
            let stored = &self.stored[index];
            let here = [Some(stored.queue), self.lines[stored.queue].dead_letters];
            let mut moves = here
                .into_iter()
                .flatten()
                .flat_map(|line| &self.lines[line].moves);
            stored.child.is_none()
                && moves.any(|(from, target)| {
                    from.n < span.to.n && target.unwrap_or(self.stored[self.root(index)].queue) == queue
                })
        })
    }

    /// The message that `index` first was.
    pub(crate) fn root(&self, mut index: usize) -> usize {
        while let Some(parent) = self.stored[index].parent {
            index = parent;
        }
        index
    }

    /// Deletes, changes, purges.
    fn take_the_rest(&mut self) {
        for op in 0..self.ops.len() {
            let Op { span, call, outcome } = self.ops[op];
            let done = matches!(outcome, Outcome::Done(_));
            match call {
                _ if matches!(outcome, Outcome::Refused) => {}
                Call::Purge { queue } => {
                    if let Some(queue) = self.queue(queue) {
                        self.lines[queue].purges.push((span, done));
                    }
                }
                Call::Delete { queue, handles } => {
                    for (entry, handle) in handles.iter().enumerate() {
                        self.touch(queue, handle, entry, span, outcome, None);
                    }
                }
                Call::Change { queue, entries } => {
                    for (entry, (handle, millis)) in entries.iter().enumerate() {
                        self.touch(queue, handle, entry, span, outcome, Some(*millis));
                    }
                }
                _ => {}
            }
        }
    }

    fn touch(
        &mut self,
        queue: &str,
        handle: &str,
        entry: usize,
        span: Span,
        outcome: Outcome<'_>,
        change: Option<u64>,
    ) {
        let Some(queue) = self.queue(queue) else { return };
        let Some(known) = self.lines[queue].by_handle.get(handle) else {
            return;
        };
        // The client had it from the last delivery before this call.
        let before = |&&(index, at): &&(usize, usize)| self.stored[index].deliveries[at].span.before(&span);
        let Some(&(index, delivery)) = known.iter().rev().find(before).or(known.first()) else {
            return;
        };
        let done = match outcome {
            Outcome::Done(Reply::Each(results)) => {
                let entry = entry.to_string();
                let result = results.iter().find(|(id, _)| *id == entry);
                // An entry that was refused did nothing.
                match result {
                    Some((_, false)) | None => return,
                    Some((_, true)) => true,
                }
            }
            outcome => matches!(outcome, Outcome::Done(_)),
        };
        self.stored[index].touches.push(Touch {
            span,
            delivery,
            change,
            done,
        });
    }
}
