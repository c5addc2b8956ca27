//! Who may do what to which queue: accounts are apart, and in strict mode the policies of queues decide.
//!
//! SQS looks whether the queue exists before it looks whether the caller may use it, so a refusal says that it does.
//! Callers of the queue's own account may do everything that its policy does not deny: there are no identity policies
//! here that would have to allow it.

use std::str::FromStr as _;

use tsugite_aws::context::{Caller, Facts};
use tsugite_aws::policy::{Question, Verdict};
use tsugite_aws::{AwsError, Context};
use tsugite_base::Arn;
use tsugite_broker::{QueueKey, QueueNotFound};
use tsugite_engine::Messaging;

use super::errors::IntoAws as _;
use super::{Call, url};
use crate::aws::{auth, policies};

/// Actions that AWS never grants to other accounts, whatever the policy says.
const OWNERS_ONLY: &[&str] = &[
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueues",
    "ListQueueTags",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];
/// Actions by which an owner mends a queue whose policy cannot be read.
const MENDING: &[&str] = &["GetQueueAttributes", "SetQueueAttributes", "DeleteQueue"];

/// Refuses what the caller may not do. What is wrong with the request otherwise is for the operation to say.
pub(super) async fn check<M: Messaging>(action: &str, call: &Call<'_, M>) -> Result<(), AwsError> {
    if call.context.caller == Caller::Anyone {
        return Ok(());
    }
    Box::pin(check_caller(action, call)).await
}

async fn check_caller<M: Messaging>(action: &str, call: &Call<'_, M>) -> Result<(), AwsError> {
    for queue in targets(action, call)? {
        match &call.context.facts {
            None if call.context.acts_for(&queue.scope.account) => {}
            None => {
                let exists = call.store.queue(queue.clone()).await;
                exists.map_err(|error| error.into_aws())?;
                return Err(denied(action, call.context, &queue));
            }
            Some(facts) => strictly(action, call, queue, facts).await?,
        }
    }
    Ok(())
}

/// The queues that a request is about: those it names, if they can be read.
fn targets<M: Messaging>(action: &str, call: &Call<'_, M>) -> Result<Vec<QueueKey>, AwsError> {
    let of_arn = |member: &str| {
        let arn = call.fields.text(member).ok().flatten()?;
        let arn = Arn::from_str(arn).ok()?;
        Some(QueueKey::new(arn.scope(), arn.resource))
    };
    let queue = match action {
        "CreateQueue" | "ListQueues" => match call.context.caller {
            Caller::Anonymous => return Err(auth::missing()),
            _ => None,
        },
        "GetQueueUrl" => {
            let name = call.fields.text("QueueName").ok().flatten();
            let owner = call.fields.text("QueueOwnerAWSAccountId").ok().flatten();
            name.map(|name| {
                let mut queue = QueueKey::new(call.context.scope.clone(), name);
                if let Some(owner) = owner {
                    owner.clone_into(&mut queue.scope.account);
                }
                queue
            })
        }
        "StartMessageMoveTask" | "ListMessageMoveTasks" => {
            return Ok(["SourceArn", "DestinationArn"]
                .into_iter()
                .filter_map(of_arn)
                .collect());
        }
        "CancelMessageMoveTask" => {
            let handle = call.fields.text("TaskHandle").ok().flatten();
            handle.and_then(|handle| Some(super::tasks::parse(handle).ok()?.1))
        }
        _ => {
            let named = call.fields.text("QueueUrl").ok().flatten();
            named.map(|named| url::queue_of(named, &call.context.scope))
        }
    };
    Ok(queue.into_iter().collect())
}

/// What the policy of the queue says about the request, and what its silence means.
async fn strictly<M: Messaging>(
    action: &str,
    call: &Call<'_, M>,
    queue: QueueKey,
    facts: &Facts,
) -> Result<(), AwsError> {
    let own = call.context.acts_for(&queue.scope.account);
    let arn = queue.arn().to_string();
    let text = match policy_of(call.store, &queue).await {
        Ok(text) => text,
        // The operation will not find it either, and says so after it has looked at the rest.
        Err(_) if own => return Ok(()),
        Err(error) => return Err(error),
    };
    let allowed = match text {
        None => own,
        Some(text) => match call.policies.of_queue(&arn, &text) {
            None => own && MENDING.contains(&action),
            Some(policy) => {
                let verdict = policy.evaluate(&Question {
                    asker: policies::asker(call.context),
                    action: action.strip_suffix("Batch").unwrap_or(action),
                    resource: &arn,
                    keys: &policies::keys(call.context, facts, &queue.scope.account, call.world),
                });
                match verdict {
                    Verdict::Denied => false,
                    Verdict::Silent => own,
                    Verdict::Allowed => own || !OWNERS_ONLY.contains(&action),
                }
            }
        },
    };
    match action {
        _ if allowed => Ok(()),
        // As AWS: who may not ask for the address does not learn whether there is one.
        "GetQueueUrl" => Err(QueueNotFound { queue }.into_aws()),
        _ => Err(denied(action, call.context, &queue)),
    }
}

/// The text of the queue's policy, if it has one.
pub(in crate::aws) async fn policy_of<M: Messaging>(
    store: &M,
    queue: &QueueKey,
) -> Result<Option<String>, AwsError> {
    let attributes = store
        .queue_attributes(queue.clone(), vec!["Policy".to_owned()])
        .await;
    let attributes = attributes.map_err(|error| error.into_aws())?;
    Ok(attributes
        .into_iter()
        .find_map(|(name, value)| (name == "Policy" && !value.is_empty()).then_some(value)))
}

fn denied(action: &str, context: &Context, queue: &QueueKey) -> AwsError {
    let who = match &context.caller {
        Caller::Known(principal) => principal.arn.as_str(),
        Caller::Anyone | Caller::Anonymous => "anonymous",
    };
    AwsError::sender(
        "AccessDeniedException",
        "AccessDenied",
        403,
        format!(
            "User: {who} is not authorized to perform: sqs:{} on resource: {}",
            action.to_lowercase(),
            queue.arn()
        ),
    )
}
