//! Message move tasks: the messages of a dead-letter queue go back to where they came from, or elsewhere.
//!
//! A task is carried out in steps. A look ([`Broker::move_batch`]) says which messages come next and where their bytes
//! lie; the shell reads the bytes, and one record takes the messages out of the source and stores them anew, each with
//! a new id, a new send time and no receives ([`Broker::move_step`]). What changed between look and step is left out of
//! the step, so a message is never moved twice nor taken from a receiver. What can be moved is what could be received:
//! of a FIFO queue's group the messages before the first that is in flight, in their order. A task moves only what lay in the source when
//! it was started, so it ends even if its messages come back as dead letters while it runs.

mod change;
mod command;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tsugite_base::invalid::in_range;
use tsugite_base::{Decision, Invalid, Now, Place, Timestamp, Uuid, Wait, limits};

pub use self::change::{Move, TaskChange};
pub use self::command::*;
use crate::broker::Broker;
use crate::command::DeadLetterSources;
use crate::error::{
    CancelMoveTaskError, ListMoveTasksError, MoveQueueNotFound, MoveTaskBusy, MoveTaskNotFound,
    StartMoveTaskError,
};
use crate::keys::{QueueId, QueueKey};
use crate::moved;
use crate::queue::Queue;
use crate::record::{Change, Record};
use crate::stored::Stored;

/// The tasks of all queues that had some: of each queue the latest ones, in the order in which they were started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    by_source: BTreeMap<QueueId, Vec<Task>>,
    /// A task was started since the shell asked last. Not part of the state.
    news: bool,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Task {
    id: Uuid,
    destination: Option<(QueueId, QueueKey)>,
    rate: Option<u32>,
    /// Wall clock.
    started: Timestamp,
    /// The machine's time of the start.
    at: Timestamp,
    /// Only messages with lower numbers are moved.
    below: u64,
    total: u64,
    moved: u64,
    status: MoveStatus,
}

impl Task {
    fn runs(&self) -> bool {
        self.status == MoveStatus::Running
    }
}

impl Tasks {
    fn add(&mut self, source: QueueId, task: Task) {
        self.news |= task.runs();
        let tasks = self.by_source.entry(source).or_default();
        if tasks.len() == limits::MOVE_TASKS_LISTED {
            tasks.remove(0);
        }
        tasks.push(task);
    }

    /// The tasks of a queue that is gone go with it.
    pub(crate) fn forget(&mut self, source: QueueId) {
        self.by_source.remove(&source);
    }

    fn of(&self, source: QueueId) -> &[Task] {
        self.by_source.get(&source).map(Vec::as_slice).unwrap_or_default()
    }

    fn find(&self, source: QueueId, id: Uuid) -> Option<&Task> {
        self.of(source).iter().find(|task| task.id == id)
    }

    fn find_mut(&mut self, source: QueueId, id: Uuid) -> Option<&mut Task> {
        self.by_source
            .get_mut(&source)?
            .iter_mut()
            .find(|task| task.id == id)
    }

    fn running(&self) -> impl Iterator<Item = (QueueId, &Task)> {
        let all = self.by_source.iter();
        all.flat_map(|(source, tasks)| tasks.iter().map(move |task| (*source, task)))
            .filter(|(_, task)| task.runs())
    }
}

impl Broker {
    /// Starts a task.
    pub fn start_move_task(
        &self,
        command: StartMoveTask,
        now: Now,
    ) -> Result<Decision<Record, ()>, StartMoveTaskError> {
        let (source, queue) = self.move_queue("SourceArn", &command.source)?;
        let destination = match command.destination {
            None => None,
            Some(key) => Some((self.move_queue("DestinationArn", &key)?.0, key)),
        };
        self.check_source(&command.source)?;
        if let Some((_, key)) = &destination {
            check_destination(&command.source, key)?;
        }
        let range = 1..=limits::MOVE_TASK_RATE.into();
        let rate = command
            .rate
            .map(|rate| in_range("MaxNumberOfMessagesPerSecond", rate, range));
        let rate = rate.transpose()?.map(|rate| rate as u32);
        self.check_running(source, &command.source)?;
        let change = TaskChange::Start {
            source,
            id: command.id,
            destination,
            rate,
            started: now.wall,
            below: queue.next_seq,
            total: queue.visible() as u64,
        };
        Ok(self.decided(Change::MoveTask(change), (), now))
    }

    /// Stops a task; the reply is how many messages it had moved.
    pub fn cancel_move_task(
        &self,
        command: &CancelMoveTask,
        now: Now,
    ) -> Result<Decision<Record, u64>, CancelMoveTaskError> {
        let (source, _) = self.move_queue("TaskHandle", &command.source)?;
        let id = command.id;
        let unknown = || MoveTaskNotFound {
            task: id,
            source: command.source.clone(),
        };
        let task = self.tasks.find(source, id).ok_or_else(unknown)?;
        if !task.runs() {
            let rule = "only a task that is running can be cancelled";
            return Err(Invalid::new("TaskHandle", id, rule).into());
        }
        let status = MoveStatus::Cancelled;
        let change = TaskChange::End { source, id, status };
        Ok(self.decided(Change::MoveTask(change), task.moved, now))
    }

    /// The latest tasks of a queue, newest first.
    pub fn move_tasks(&self, query: &ListMoveTasks) -> Result<Vec<MoveTask>, ListMoveTasksError> {
        let (source, _) = self.move_queue("SourceArn", &query.source)?;
        let range = 1..=limits::MOVE_TASKS_LISTED as i64;
        let max = in_range("MaxResults", query.max.unwrap_or(1), range)?;
        let tasks = self.tasks.of(source).iter().rev().take(max as usize);
        let shown = |task: &Task| MoveTask {
            id: task.id,
            source: query.source.clone(),
            destination: task.destination.as_ref().map(|(_, key)| key.clone()),
            rate: task.rate,
            started: task.started,
            status: task.status,
            moved: task.moved,
            total: task.total,
        };
        Ok(tasks.map(shown).collect())
    }

    /// Whether a task was started, or found running after a restart, since this was asked last.
    pub fn take_move_news(&mut self) -> bool {
        std::mem::take(&mut self.tasks.news)
    }

    /// All tasks that are running.
    pub fn running_moves(&self, now: Now) -> Vec<RunningMove> {
        let running = self.tasks.running().map(|(source, task)| RunningMove {
            source,
            id: task.id,
            rate: task.rate,
            moved: task.moved,
            age: self.time(now).since(task.at),
        });
        running.collect()
    }

    /// Looks at what a task could move next: at most `limit` messages, and no more than fit into one record.
    pub fn move_batch(&self, source: QueueId, id: Uuid, limit: usize) -> MoveBatch {
        let mut batch = MoveBatch::default();
        let Some((queue, task)) = self.running_move(source, id) else {
            return batch;
        };
        let (limit, mut bytes) = (limit.min(limits::MOVES_PER_STEP), 0);
        for (before, (seq, stored)) in queue.ready().enumerate() {
            if batch.candidates.len() == limit {
                break;
            }
            if seq >= task.below {
                continue;
            }
            let Ok(to) = self.home(queue, task, &stored) else {
                break;
            };
            bytes += stored.payload().len as usize;
            if bytes > limits::MOVE_STEP_BYTES && !batch.candidates.is_empty() {
                break;
            }
            batch.looked = before + 1;
            batch.candidates.push(MoveCandidate {
                seq,
                payload: stored.payload(),
                delivery: stored.delivery(),
                to,
            });
        }
        batch
    }

    /// Moves those of the messages that are still as the look saw them. If there are none, ends the task when it has
    /// nothing more to move or cannot go on.
    pub fn move_step(&self, step: &MoveStep<'_>, now: Now) -> Decision<Record, MoveProgress> {
        let Some((queue, task)) = self.running_move(step.source, step.task) else {
            return self.progress(None, 0, false, now);
        };
        let end = |status| TaskChange::End {
            source: step.source,
            id: task.id,
            status,
        };
        if self.time(now) >= task.at + Duration::from_secs(limits::MOVE_TASK_SECONDS) {
            let change = end(MoveStatus::Failed(MoveFailure::TimeLimit));
            return self.progress(Some(change), 0, false, now);
        }
        let still = self.still_there(queue, task, step);
        let (mut moves, mut payloads, mut unreadable) = (Vec::<Move>::new(), Vec::new(), false);
        for message in step.messages.iter().filter(|m| still.contains(&m.candidate.seq)) {
            let start = payloads.len();
            let written = message.payload.is_some_and(|payload| {
                moved::moved(&mut payloads, message.id, now.wall, payload, message.delivery).is_ok()
            });
            if !written {
                unreadable = true;
                break;
            }
            let to = message.candidate.to;
            let before = moves.iter().filter(|one| one.to == to).count();
            moves.push(Move {
                seq: message.candidate.seq,
                to,
                number: self.next_number(to) + before as u64,
                len: (payloads.len() - start) as u32,
            });
        }
        let moved = moves.len();
        if moved > 0 {
            let change = TaskChange::Move {
                source: step.source,
                id: task.id,
                moves,
                payloads,
            };
            return self.progress(Some(change), moved, true, now);
        }
        let verdict = match unreadable {
            true => Some(MoveStatus::Failed(MoveFailure::Unreadable)),
            false => self.verdict(queue, task),
        };
        self.progress(verdict.map(end), 0, verdict.is_none(), now)
    }

    /// The messages of a step that can still be received and are as the look saw them. They are looked for where they
    /// stood and some way behind it, since others may have come before them meanwhile; one that went further back is
    /// left to a later step. Those of one group are found in their order, so that a FIFO queue's order is kept.
    fn still_there(&self, queue: &Queue, task: &Task, step: &MoveStep<'_>) -> BTreeSet<u64> {
        let wanted = step.messages.iter().map(|m| (m.candidate.seq, m.candidate));
        let wanted: BTreeMap<u64, MoveCandidate> = wanted.collect();
        let mut still = BTreeSet::new();
        for (seq, stored) in queue.ready().take(step.looked + limits::MOVE_STEP_SLACK) {
            if still.len() == wanted.len() {
                break;
            }
            let same = wanted.get(&seq).is_some_and(|seen| {
                seen.payload == stored.payload()
                    && seq < task.below
                    && self.home(queue, task, &stored) == Ok(seen.to)
            });
            if same {
                still.insert(seq);
            }
        }
        still
    }

    /// How a task that moved nothing ends, if it does.
    fn verdict(&self, queue: &Queue, task: &Task) -> Option<MoveStatus> {
        if let Some((id, _)) = &task.destination
            && !self.queues.contains_key(id)
        {
            return Some(MoveStatus::Failed(MoveFailure::DestinationMissing));
        }
        let next = queue.ready().find(|(seq, _)| *seq < task.below);
        match next {
            None => Some(MoveStatus::Completed),
            Some((_, stored)) => self.home(queue, task, &stored).err().map(MoveStatus::Failed),
        }
    }

    /// Where a message of a task's source goes.
    fn home(&self, queue: &Queue, task: &Task, stored: &Stored) -> Result<QueueId, MoveFailure> {
        if let Some((id, _)) = &task.destination {
            let there = self.queues.contains_key(id);
            return there.then_some(*id).ok_or(MoveFailure::DestinationMissing);
        }
        let origin = queue.source(stored).ok_or(MoveFailure::OriginUnknown)?;
        let origin = QueueKey::from_arn("origin", &origin);
        let origin = origin.map_err(|_| MoveFailure::OriginUnknown)?;
        self.queue_id(&origin).ok_or(MoveFailure::DestinationMissing)
    }

    fn running_move(&self, source: QueueId, id: Uuid) -> Option<(&Queue, &Task)> {
        let task = self.tasks.find(source, id).filter(|task| task.runs())?;
        Some((self.queues.get(&source)?, task))
    }

    /// A step's decision. Nobody waits for it: who receives a moved message waits for the record.
    fn progress(
        &self,
        change: Option<TaskChange>,
        moved: usize,
        running: bool,
        now: Now,
    ) -> Decision<Record, MoveProgress> {
        let at = self.time(now);
        let record = change.map(|change| Record {
            at,
            change: Change::MoveTask(change),
        });
        Decision {
            records: record.into_iter().collect(),
            reply: MoveProgress { moved, running },
            wait: Wait::UpTo(0),
        }
    }

    fn move_queue(
        &self,
        parameter: &'static str,
        key: &QueueKey,
    ) -> Result<(QueueId, &Queue), MoveQueueNotFound> {
        self.find(key).map_err(|missing| MoveQueueNotFound {
            parameter,
            queue: missing.queue,
        })
    }

    /// A source must be some queue's dead-letter queue.
    fn check_source(&self, key: &QueueKey) -> Result<(), Invalid> {
        let query = DeadLetterSources {
            queue: key.clone(),
            after: None,
            limit: 1,
        };
        match self.dead_letter_sources(&query) {
            Ok(sources) if !sources.names.is_empty() => Ok(()),
            _ => Err(Invalid::new(
                "SourceArn",
                key.arn(),
                "must be a dead-letter queue, and no queue's RedrivePolicy names it",
            )),
        }
    }

    /// One task of a source runs at a time, and a hundred of an account.
    fn check_running(&self, source: QueueId, key: &QueueKey) -> Result<(), MoveTaskBusy> {
        let account = &key.scope.account;
        let is_own = |id: &QueueId| {
            let source = self.queues.get(id);
            source.is_some_and(|source| source.key.scope.account == *account)
        };
        let rule = if self.tasks.of(source).iter().any(Task::runs) {
            "a task is running already; only one task of a source can run at a time".to_owned()
        } else if self.tasks.running().filter(|(id, _)| is_own(id)).count() >= limits::MOVE_TASKS {
            let most = limits::MOVE_TASKS;
            format!("{most} tasks of account {account} are running already, and more cannot")
        } else {
            return Ok(());
        };
        let invalid = Invalid::new("SourceArn", key.arn(), rule);
        Err(MoveTaskBusy { invalid })
    }

    /// What a record of a task changes; `end` is the log position after it.
    pub(crate) fn apply_task(&mut self, change: TaskChange, end: u64, at: Timestamp) {
        match change {
            TaskChange::Start {
                source,
                id,
                destination,
                rate,
                started,
                below,
                total,
            } => {
                let task = Task {
                    id,
                    destination,
                    rate,
                    started,
                    at,
                    below,
                    total,
                    moved: 0,
                    status: MoveStatus::Running,
                };
                if self.queues.contains_key(&source) {
                    self.tasks.add(source, task);
                }
            }
            TaskChange::End { source, id, status } => {
                if let Some(task) = self.tasks.find_mut(source, id) {
                    task.status = status;
                }
            }
            TaskChange::Move {
                source,
                id,
                moves,
                payloads,
            } => {
                let moved = self.apply_task_moves(source, &moves, end - payloads.len() as u64, at);
                if let Some(task) = self.tasks.find_mut(source, id) {
                    task.moved += moved;
                }
            }
        }
    }

    /// Takes messages out of the source and stores them anew; `lsn` is where the first payload lies.
    fn apply_task_moves(&mut self, source: QueueId, moves: &[Move], mut lsn: u64, at: Timestamp) -> u64 {
        let (mut moved, mut filled) = (0, BTreeSet::new());
        for one in moves {
            let payload = Place { lsn, len: one.len };
            lsn = payload.end();
            if !self.queues.contains_key(&one.to) {
                continue;
            }
            let Some(queue) = self.queues.get_mut(&source) else {
                continue;
            };
            let slot = queue.table.get(one.seq).and_then(|stored| stored.group());
            let group = slot.and_then(|slot| queue.groups.get(slot));
            let group = group.map(|group| group.name.clone());
            if queue.remove(one.seq).is_none() {
                continue;
            }
            if let Some(queue) = self.queues.get_mut(&one.to) {
                // Deduplication is for sends: a moved message is never dropped as a repeat.
                queue.number_from(one.number);
                queue.store(payload, 0, at, at, group.as_deref());
                queue.tally.sent.add(1, at);
                filled.insert(one.to);
                moved += 1;
            }
        }
        self.touched(source, false);
        filled.into_iter().for_each(|id| self.touched(id, true));
        moved
    }
}

fn check_destination(source: &QueueKey, destination: &QueueKey) -> Result<(), Invalid> {
    let rule = if destination == source {
        "must be another queue than that of SourceArn"
    } else if destination.is_fifo() != source.is_fifo() {
        "must be a queue of the type of the source: FIFO or standard"
    } else if destination.scope != source.scope {
        "must be of the account and region of the source"
    } else {
        return Ok(());
    };
    Err(Invalid::new("DestinationArn", destination.arn(), rule))
}
