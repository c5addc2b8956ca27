//! The records of move tasks, and the tasks in a snapshot.

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Timestamp, Uuid};

use super::command::{MoveFailure, MoveStatus};
use super::{Task, Tasks};
use crate::keys::{QueueId, QueueKey};
use crate::settings::{get_queue, put_queue};

/// What a record changes about a move task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the table in `record.rs` and the commands explain the fields"
)]
pub enum TaskChange {
    Start {
        source: QueueId,
        id: Uuid,
        destination: Option<(QueueId, QueueKey)>,
        rate: Option<u32>,
        /// Wall clock.
        started: Timestamp,
        /// Only messages with lower numbers are moved.
        below: u64,
        total: u64,
    },
    End {
        source: QueueId,
        id: Uuid,
        status: MoveStatus,
    },
    Move {
        source: QueueId,
        id: Uuid,
        moves: Vec<Move>,
        payloads: Vec<u8>,
    },
}

/// One message of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its number in the source.
    pub seq: u64,
    /// Where it goes.
    pub to: QueueId,
    /// The number that it gets there.
    pub number: u64,
    /// Bytes of its new payload.
    pub len: u32,
}

const WHAT: &str = "record of a move task";

impl TaskChange {
    pub(crate) const fn kind(&self) -> u8 {
        match self {
            TaskChange::Start { .. } => 16,
            TaskChange::End { .. } => 17,
            TaskChange::Move { .. } => 18,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            TaskChange::Start {
                source,
                id,
                destination,
                rate,
                started,
                below,
                total,
            } => {
                out.put_u32(source.0);
                out.extend_from_slice(&id.0);
                put_destination(out, destination.as_ref());
                out.put_u32(rate.unwrap_or(0));
                out.put_time(*started);
                out.put_u64(*below);
                out.put_u64(*total);
            }
            TaskChange::End { source, id, status } => {
                out.put_u32(source.0);
                out.extend_from_slice(&id.0);
                out.put_u8(number(*status));
            }
            TaskChange::Move {
                source,
                id,
                moves,
                payloads,
            } => {
                out.put_u32(source.0);
                out.extend_from_slice(&id.0);
                out.put_u32(moves.len() as u32);
                for one in moves {
                    out.put_u64(one.seq);
                    out.put_u32(one.to.0);
                    out.put_u64(one.number);
                    out.put_u32(one.len);
                }
                out.extend_from_slice(payloads);
            }
        }
    }

    pub(crate) fn decode(kind: u8, get: &mut Get<'_>) -> Result<TaskChange, Malformed> {
        let source = QueueId(get.u32(WHAT)?);
        let id = Uuid(get.bytes16(WHAT)?);
        Ok(match kind {
            16 => TaskChange::Start {
                source,
                id,
                destination: get_destination(get)?,
                rate: some_rate(get.u32(WHAT)?),
                started: get.time(WHAT)?,
                below: get.u64(WHAT)?,
                total: get.u64(WHAT)?,
            },
            17 => TaskChange::End {
                source,
                id,
                status: get_status(get)?,
            },
            18 => get_moves(source, id, get)?,
            _ => return Err(Malformed { what: WHAT }),
        })
    }
}

fn get_moves(source: QueueId, id: Uuid, get: &mut Get<'_>) -> Result<TaskChange, Malformed> {
    let mut moves = Vec::new();
    for _ in 0..get.u32(WHAT)? {
        moves.push(Move {
            seq: get.u64(WHAT)?,
            to: QueueId(get.u32(WHAT)?),
            number: get.u64(WHAT)?,
            len: get.u32(WHAT)?,
        });
    }
    let payloads = get.take(get.remaining(), WHAT)?.to_vec();
    if moves.iter().map(|one| one.len as usize).sum::<usize>() != payloads.len() {
        let what = "lengths of moved messages";
        return Err(Malformed { what });
    }
    Ok(TaskChange::Move {
        source,
        id,
        moves,
        payloads,
    })
}

/// No rate is written as 0, which no task has.
fn some_rate(rate: u32) -> Option<u32> {
    (rate != 0).then_some(rate)
}

fn put_destination(out: &mut Vec<u8>, destination: Option<&(QueueId, QueueKey)>) {
    out.put_option(destination, |out, (id, key)| {
        out.put_u32(id.0);
        put_queue(out, key);
    });
}

fn get_destination(get: &mut Get<'_>) -> Result<Option<(QueueId, QueueKey)>, Malformed> {
    get.option(WHAT, |get| Ok((QueueId(get.u32(WHAT)?), get_queue(get)?)))
}

/// Frozen numbers.
const fn number(status: MoveStatus) -> u8 {
    match status {
        MoveStatus::Running => 0,
        MoveStatus::Completed => 1,
        MoveStatus::Cancelled => 2,
        MoveStatus::Failed(MoveFailure::DestinationMissing) => 3,
        MoveStatus::Failed(MoveFailure::OriginUnknown) => 4,
        MoveStatus::Failed(MoveFailure::TimeLimit) => 5,
        MoveStatus::Failed(MoveFailure::Unreadable) => 6,
    }
}

fn get_status(get: &mut Get<'_>) -> Result<MoveStatus, Malformed> {
    Ok(match get.u8(WHAT)? {
        0 => MoveStatus::Running,
        1 => MoveStatus::Completed,
        2 => MoveStatus::Cancelled,
        3 => MoveStatus::Failed(MoveFailure::DestinationMissing),
        4 => MoveStatus::Failed(MoveFailure::OriginUnknown),
        5 => MoveStatus::Failed(MoveFailure::TimeLimit),
        6 => MoveStatus::Failed(MoveFailure::Unreadable),
        _ => {
            return Err(Malformed {
                what: "status of a move task",
            });
        }
    })
}

impl Tasks {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.by_source.len() as u32);
        for (source, tasks) in &self.by_source {
            out.put_u32(source.0);
            out.put_u32(tasks.len() as u32);
            tasks.iter().for_each(|task| put_task(out, task));
        }
    }

    pub(crate) fn decode(get: &mut Get<'_>) -> Result<Tasks, Malformed> {
        let mut tasks = Tasks::default();
        for _ in 0..get.u32(WHAT)? {
            let source = QueueId(get.u32(WHAT)?);
            for _ in 0..get.u32(WHAT)? {
                tasks.add(source, get_task(get)?);
            }
        }
        Ok(tasks)
    }
}

fn put_task(out: &mut Vec<u8>, task: &Task) {
    out.extend_from_slice(&task.id.0);
    put_destination(out, task.destination.as_ref());
    out.put_u32(task.rate.unwrap_or(0));
    out.put_time(task.started);
    out.put_time(task.at);
    out.put_u64(task.below);
    out.put_u64(task.total);
    out.put_u64(task.moved);
    out.put_u8(number(task.status));
}

fn get_task(get: &mut Get<'_>) -> Result<Task, Malformed> {
    Ok(Task {
        id: Uuid(get.bytes16(WHAT)?),
        destination: get_destination(get)?,
        rate: some_rate(get.u32(WHAT)?),
        started: get.time(WHAT)?,
        at: get.time(WHAT)?,
        below: get.u64(WHAT)?,
        total: get.u64(WHAT)?,
        moved: get.u64(WHAT)?,
        status: get_status(get)?,
    })
}
