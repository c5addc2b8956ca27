//! The tries of a call: sending it, and sending it again to another endpoint while that helps and is affordable.
//!
//! [`answer`] is the ordinary way: one try. What goes on after one that failed is rare and needs much state, so it is kept
//! apart in [`again`].

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tsugite_grpc::Code;
use tsugite_traffic::retry::{MAX_TRIES, wait_before};
use tsugite_traffic::{Budget, Chosen, Hint, Outcome, State, TryEnd, Wanted};

use crate::call::Exchange;
use crate::codec::client::Broken;
use crate::course::Course;
use crate::limit::TimedOut;
use crate::outgoing::Outgoing;
use crate::problem::Problem;
use crate::relay::Hold;
use crate::request;
use crate::upstream::{self, Answer, Failure};
use crate::{grpc, headers};

const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
/// Bytes that are read of an answer which nobody will see, so that its connection can be used again.
const DRAINED_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// How a try ended.
type Tried = Result<Result<Answer, Failure>, TimedOut>;

/// Why there is no further try, where a client may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The budget is exhausted.
    Budget,
    /// It was tried often enough, or the service is known to be down.
    Enough,
    /// The body is too long to be sent again.
    Body,
}

impl Stop {
    /// For `Proxy-Status`.
    pub(crate) const fn details(self) -> &'static str {
        match self {
            Stop::Budget => "retry_budget_exhausted",
            Stop::Enough => "retries_exhausted",
            Stop::Body => "body_too_large_to_retry",
        }
    }

    /// Whether those before us had better not try again either.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Stop::Budget | Stop::Enough)
    }

    /// Says so in the head of an answer that is handed on.
    fn mark(self, status: StatusCode, headers: &mut HeaderMap) {
        let value = format!(
            "tsugite; received-status={}; details=\"{}\"",
            status.as_u16(),
            self.details()
        );
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(headers::PROXY_STATUS, value);
        }
        if self.is_final() {
            headers.insert(headers::TSUGITE_RETRY, HeaderValue::from_static("?0"));
        }
    }
}

/// Sends the request and answers with the head of the answer that is to be handed on.
pub(crate) async fn answer(
    exchange: &Exchange,
    out: &mut Outgoing,
    course: &Course,
) -> Result<Answer, Problem> {
    let tried = once(exchange, out, course).await?;
    match tried {
        Ok(Ok(answer)) if !is_failure(exchange, &answer) => {
            out.commit();
            Ok(answer)
        }
        failed => Box::pin(again(exchange, out, course, failed)).await,
    }
}

async fn once(exchange: &Exchange, out: &mut Outgoing, course: &Course) -> Result<Tried, Problem> {
    let h2 = exchange.endpoint().protocol.is_http2(exchange.grpc);
    if let Some(parts) = out.parts() {
        course.aim(parts, h2, exchange)?;
    }
    let per_try = exchange
        .service()
        .retry
        .per_try_timeout
        .filter(|_| out.nature.idempotent);
    let sending = pin!(upstream::send(exchange, out, h2, course.connect_timeout));
    Ok(exchange.within(sending, per_try).await)
}

/// Whether an answer may be worth another try: the quick look that every answer gets.
fn is_failure(exchange: &Exchange, answer: &Answer) -> bool {
    let status = answer.response.status();
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || (exchange.grpc && answer.response.body().is_end_stream())
}

/// What follows a try that failed, until one does not or there will be no other.
async fn again(
    exchange: &Exchange,
    out: &mut Outgoing,
    course: &Course,
    mut tried: Tried,
) -> Result<Answer, Problem> {
    let mut excluded = [usize::MAX; MAX_TRIES as usize];
    let mut under_way: Option<UnderWay> = None;
    for retry in 1.. {
        drop(under_way.take());
        let wait = match plan(exchange, out, &tried, retry) {
            Ok(wait) => wait,
            Err(stop) => {
                out.commit();
                return finish(exchange, tried, stop);
            }
        };
        exchange.counters().retries.add(1);
        excluded[(retry as usize - 1) % excluded.len()] = exchange.endpoint_index();
        give_up(exchange, tried);
        let sleep = pin!(tokio::time::sleep(wait));
        if let Err(over) = exchange.within(sleep, None).await {
            return finish(exchange, Err(over), None);
        }
        let next = next(exchange, &excluded);
        let Some(next) = next else {
            return Err(request::no_endpoint(exchange));
        };
        exchange.try_again(next);
        under_way = Some(UnderWay::begin(exchange));
        if let Some(parts) = out.parts().filter(|_| exchange.grpc) {
            parts.headers.insert(PREVIOUS_ATTEMPTS, HeaderValue::from(retry));
        }
        tried = once(exchange, out, course).await?;
        if let Ok(Ok(answer)) = &tried
            && !is_failure(exchange, answer)
        {
            out.commit();
            break;
        }
    }
    finish(exchange, tried, None)
}

/// A retry, for as long as it is on its way.
struct UnderWay(Rc<RefCell<Budget>>);

impl UnderWay {
    fn begin(exchange: &Exchange) -> UnderWay {
        let budget = exchange.budget().clone();
        budget.borrow_mut().sent();
        UnderWay(budget)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.borrow_mut().ended();
    }
}

/// The wait before the next try, already paid for; or why there is none.
fn plan(exchange: &Exchange, out: &Outgoing, tried: &Tried, retry: u32) -> Result<Duration, Option<Stop>> {
    let settings = &exchange.service().retry;
    let (end, hint) = match tried {
        Ok(Ok(answer)) => ends(exchange, answer),
        Ok(Err(Failure::Connect(_) | Failure::Broken(Broken::RefusedStream))) => (TryEnd::NotSent, None),
        Ok(Err(Failure::Broken(_))) => (TryEnd::Broken, None),
        Err(TimedOut::Try) => (TryEnd::TimedOut, None),
        Err(TimedOut::Call) => return Err(None),
    };
    let hinted = matches!(hint, Some(Hint::After(_)));
    if settings.tries <= 1 || !out.nature.allows_retry(end, hinted) || exchange.upload_has_failed() {
        return Err(None);
    }
    if !out.is_at_hand() {
        return Err(out.is_too_long().then_some(Stop::Body));
    }
    if retry >= settings.tries.min(MAX_TRIES) || exchange.service().breaker.state() == State::Open {
        return Err(Some(Stop::Enough));
    }
    let core = &exchange.core;
    let wait = wait_before(retry, hint, exchange.time_left(), &mut core.rng.borrow_mut());
    let wait = wait.ok_or(None)?;
    let active = exchange.counters().active.get();
    if exchange.budget().borrow_mut().withdraw(core.now(), active) {
        Ok(wait)
    } else {
        exchange.counters().unaffordable.add(1);
        Err(Some(Stop::Budget))
    }
}

/// How a try ended that was answered, and what the answer says about another.
fn ends(exchange: &Exchange, answer: &Answer) -> (TryEnd, Option<Hint>) {
    let headers = answer.response.headers();
    let status = answer.response.status();
    let refused = headers.get(headers::TSUGITE_RETRY).is_some_and(|v| v == "?0");
    if exchange.grpc && status == StatusCode::OK {
        let code = grpc::status_of(headers).unwrap_or(Code::Unknown);
        let hint = grpc::pushback(headers);
        let hint = if refused { Some(Hint::Never) } else { hint };
        return (TryEnd::Grpc(code.number()), hint);
    }
    let after = upstream::retry_after(headers).map(Hint::After);
    let hint = if refused { Some(Hint::Never) } else { after };
    (TryEnd::Http(status.as_u16()), hint)
}

/// Closes the books on a try that will be followed by another.
fn give_up(exchange: &Exchange, tried: Tried) {
    match tried {
        Ok(Ok(answer)) => {
            let (outcome, _) = request::judge(exchange, &answer.response);
            exchange.try_failed(outcome, upstream::retry_after(answer.response.headers()));
            drain(exchange, answer);
        }
        Ok(Err(failure)) => {
            let (_, outcome, _) = failure.describe(exchange.endpoint());
            if outcome == Outcome::ConnectFailure {
                exchange.counters().connect_errors.add(1);
            }
            exchange.try_failed(outcome, None);
        }
        Err(_) => exchange.try_failed(Outcome::Timeout, None),
    }
}

/// Reads what is left of an answer that nobody will see, beside the next try.
fn drain(exchange: &Exchange, answer: Answer) {
    let Answer { response, hold } = answer;
    let Hold::H1(h1) = hold else { return };
    let (pool, clients) = (exchange.pool().clone(), exchange.core.clients.clone());
    let mut body = response.into_body();
    if body.is_end_stream() {
        pool.put_idle(h1, clients.coarse_now());
        return;
    }
    tokio::task::spawn_local(async move {
        let read_all = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
                if bytes > DRAINED_BYTES {
                    return false;
                }
            }
            body.is_end_stream()
        };
        if let Ok(true) = tokio::time::timeout(DRAIN_TIME, read_all).await {
            pool.put_idle(h1, clients.coarse_now());
        }
    });
}

/// Another endpoint, one that has not failed this call if there is one.
fn next(exchange: &Exchange, excluded: &[usize]) -> Option<Chosen> {
    let core = &exchange.core;
    let wanted = Wanted {
        exclude: excluded,
        hash: exchange.hash,
        limit: exchange.limit.total(),
    };
    let mut balancer = core.balancer.borrow_mut();
    let rng = &mut core.rng.borrow_mut();
    balancer.take(exchange.service(), &wanted, core.index, core.now(), rng)
}

/// What the client gets of the last try.
fn finish(exchange: &Exchange, tried: Tried, stop: Option<Stop>) -> Result<Answer, Problem> {
    let problem = match tried {
        Ok(Ok(mut answer)) => {
            if let Some(stop) = stop {
                let status = answer.response.status();
                stop.mark(status, answer.response.headers_mut());
            }
            return Ok(answer);
        }
        Ok(Err(failure)) => request::failed(exchange, &failure),
        Err(TimedOut::Call) => request::timed_out(exchange),
        Err(TimedOut::Try) => request::try_timed_out(exchange),
    };
    Err(Problem { stop, ..problem })
}
