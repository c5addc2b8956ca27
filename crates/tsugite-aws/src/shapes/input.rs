//! From a form to the members of a JSON request.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Kind, Member, Operation, VALUE};
use crate::error::{AwsError, shorten};
use crate::json::{Fields, Json};
use crate::query::Form;

/// Parameters that belong to the protocol or to a signature, whatever the operation.
const OF_THE_PROTOCOL: &[&str] = &[
    "Action",
    "Version",
    "AWSAccessKeyId",
    "Expires",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureVersion",
    "Timestamp",
];

/// One parameter on its way down the shapes.
#[derive(Clone, Copy)]
struct Param<'f> {
    /// The whole name, for errors.
    name: &'f str,
    /// What of the name is not read yet; `None` at its end.
    rest: Option<&'f str>,
    value: &'f str,
}

/// The request that `form` spells, as an endpoint of the JSON protocol takes it.
///
/// Beside the flattened form of each list and map (`Attribute.1.Name`), what clients are known to send is read too:
/// the member's JSON name (`Tags.1.Key`), `.member.` and `.entry.` before the index, `key` and `value` in a map, and
/// a single element without an index (`Attribute.Name`, `AttributeName=All`). A parameter that the operation does not
/// have is refused, as is one that comes twice.
pub fn fields<'f>(operation: &Operation, form: &'f Form<'_>) -> Result<Fields<'f>, AwsError> {
    let params = form
        .iter()
        .filter(|(name, _)| !OF_THE_PROTOCOL.contains(name) && !name.starts_with("X-Amz-"))
        .map(|(name, value)| Param {
            name,
            rest: Some(name),
            value,
        })
        .collect();
    structure(operation.input, params, operation.name)
}

fn structure<'f>(
    members: &'static [Member],
    params: Vec<Param<'f>>,
    operation: &str,
) -> Result<Fields<'f>, AwsError> {
    let mut groups: Vec<Vec<Param<'f>>> = members.iter().map(|_| Vec::new()).collect();
    for param in params {
        let Some((head, rest)) = param.split() else {
            return Err(malformed(param, "must name a member after it"));
        };
        let mut known = members.iter().zip(&mut groups);
        match known.find(|(member, _)| member.wire == head || member.name == head) {
            Some((_, group)) => group.push(Param { rest, ..param }),
            None => return Err(malformed(param, &format!("is not known to {operation}"))),
        }
    }
    let mut fields = Vec::new();
    for (member, group) in members.iter().zip(groups).filter(|(_, group)| !group.is_empty()) {
        let value = value(&member.kind, group, operation)?;
        fields.push((Cow::Borrowed(member.name), value));
    }
    Ok(Fields::from_members(fields))
}

/// The value that `params`, of which there is one at least, spell together.
fn value<'f>(kind: &'static Kind, params: Vec<Param<'f>>, operation: &str) -> Result<Json<'f>, AwsError> {
    Ok(match kind {
        Kind::Text => Json::Text(Cow::Borrowed(plain(&params)?.value)),
        Kind::Int => {
            let param = plain(&params)?;
            // Rust reads a plus sign too.
            let value = param.value.parse().ok().filter(|_| !param.value.starts_with('+'));
            Json::Int(value.ok_or_else(|| not_a(param, "an integer"))?)
        }
        Kind::Bool => {
            let param = plain(&params)?;
            Json::Bool(param.value.parse().map_err(|_| not_a(param, "true or false"))?)
        }
        Kind::Struct(members) => Json::Object(structure(members, params, operation)?),
        Kind::List(element) => {
            let mut values = Vec::new();
            for params in elements(kind, params)? {
                values.push(value(element, params, operation)?);
            }
            Json::List(values)
        }
        Kind::Map { key, value: of } => {
            let mut entries: Vec<(Cow<'f, str>, Json<'f>)> = Vec::new();
            for params in elements(kind, params)? {
                let (name, value) = entry(key, of, params, operation)?;
                entries.push((Cow::Borrowed(name), value));
            }
            unique(&entries)?;
            Json::Object(Fields::from_members(entries))
        }
    })
}

/// The parameters of each element, in the order of the indices. An index is only ever sorted, never used as a length.
fn elements<'f>(kind: &Kind, params: Vec<Param<'f>>) -> Result<Vec<Vec<Param<'f>>>, AwsError> {
    // How SDKs spell a list without elements.
    if let [
        Param {
            rest: None,
            value: "",
            ..
        },
    ] = params[..]
    {
        return Ok(Vec::new());
    }
    let mut elements: BTreeMap<u32, Vec<Param<'f>>> = BTreeMap::new();
    for mut param in params {
        if let Some(("member" | "entry", rest @ Some(_))) = param.split() {
            param.rest = rest;
        }
        let (index, rest) = match param.split() {
            Some((head, rest)) if head.bytes().all(|b| b.is_ascii_digit()) => {
                let index = head
                    .parse()
                    .map_err(|_| malformed(param, "has an index that is too large"))?;
                (index, rest)
            }
            // The only element needs no index.
            Some((head, _)) if is_member(kind, head) => (0, param.rest),
            None => (0, None),
            Some(_) => return Err(malformed(param, "has no valid index")),
        };
        elements.entry(index).or_default().push(Param { rest, ..param });
    }
    Ok(elements.into_values().collect())
}

/// Whether `name` is that of a member of this list's structures, or of this map's entries.
fn is_member(kind: &Kind, name: &str) -> bool {
    match kind {
        Kind::List(Kind::Struct(members)) => members.iter().any(|m| m.wire == name || m.name == name),
        Kind::Map { key, .. } => is_part(name, key) || is_part(name, VALUE),
        _ => false,
    }
}

/// A key and its value.
fn entry<'f>(
    key: &str,
    of: &'static Kind,
    params: Vec<Param<'f>>,
    operation: &str,
) -> Result<(&'f str, Json<'f>), AwsError> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let first = params[0];
    for param in params {
        match param.split() {
            Some((head, rest)) if is_part(head, key) => keys.push(Param { rest, ..param }),
            Some((head, rest)) if is_part(head, VALUE) => values.push(Param { rest, ..param }),
            _ => return Err(malformed(param, &format!("must end in {key} or {VALUE}"))),
        }
    }
    let element = || {
        first
            .name
            .rsplit_once('.')
            .map_or(first.name, |(element, _)| element)
    };
    let missing = |part: &str| AwsError::missing(&format!("{}.{part}", shorten(element())));
    if keys.is_empty() {
        return Err(missing(key));
    }
    if values.is_empty() {
        return Err(missing(VALUE));
    }
    Ok((plain(&keys)?.value, value(of, values, operation)?))
}

/// Whether `head` names this part of a map's entry: `Name`, `Key` or `Value`, or `key` and `value` as in other services.
fn is_part(head: &str, part: &str) -> bool {
    head == part || (part == VALUE && head == "value") || (part != VALUE && head == "key")
}

fn unique(entries: &[(Cow<'_, str>, Json<'_>)]) -> Result<(), AwsError> {
    let mut names: Vec<&str> = entries.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(AwsError::bad_request(
            "MalformedInput",
            format!("The name {} is given more than once.", shorten(pair[0])),
        )),
        None => Ok(()),
    }
}

/// The only parameter, which is a plain value.
fn plain<'p, 'f>(params: &'p [Param<'f>]) -> Result<&'p Param<'f>, AwsError> {
    match params {
        [param] if param.rest.is_none() => Ok(param),
        [first, ..] if first.rest.is_some() => Err(malformed(*first, "is a plain value and has no members")),
        [_, second, ..] => Err(malformed(*second, "is given more than once")),
        _ => Err(AwsError::bad_request(
            "MalformedInput",
            "A parameter has no value.",
        )),
    }
}

impl<'f> Param<'f> {
    /// The next segment of the name and what follows it.
    fn split(&self) -> Option<(&'f str, Option<&'f str>)> {
        let rest = self.rest?;
        Some(match rest.split_once('.') {
            Some((head, rest)) => (head, Some(rest)),
            None => (rest, None),
        })
    }
}

fn malformed(param: Param<'_>, what: &str) -> AwsError {
    AwsError::bad_request(
        "MalformedInput",
        format!("The parameter {} {what}.", shorten(param.name)),
    )
}

fn not_a(param: &Param<'_>, wanted: &str) -> AwsError {
    AwsError::sender(
        "InvalidParameterValueException",
        "InvalidParameterValue",
        400,
        format!(
            "Value {} for parameter {} is invalid. Reason: Must be {wanted}.",
            shorten(param.value),
            shorten(param.name)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::sqs;

    fn check(action: &str, form: &str, expected: &str) {
        let operation = sqs::operation(action).unwrap();
        let form = Form::parse(form.as_bytes()).unwrap();
        let read = fields(operation, &form).unwrap();
        assert_eq!(read, Fields::parse(expected.as_bytes()).unwrap(), "{form:?}");
    }

    fn check_refused(action: &str, form: &str, code: &str, naming: &str) {
        let operation = sqs::operation(action).unwrap();
        let parsed = Form::parse(form.as_bytes()).unwrap();
        let error = fields(operation, &parsed).unwrap_err();
        assert_eq!(error.query_code, code, "{form}: {error}");
        assert!(error.message.contains(naming), "{form}: {error}");
    }

    #[test]
    fn lists_and_maps_in_every_spelling() {
        for form in [
            "AttributeName.1=All&AttributeName.2=QueueArn",
            "AttributeName.20=QueueArn&AttributeName.3=All",
            "AttributeName.member.1=All&AttributeName.member.2=QueueArn",
            "AttributeNames.1=All&AttributeNames.2=QueueArn",
        ] {
            check(
                "GetQueueAttributes",
                form,
                r#"{"AttributeNames":["All","QueueArn"]}"#,
            );
        }
        check(
            "GetQueueAttributes",
            "AttributeName=All",
            r#"{"AttributeNames":["All"]}"#,
        );
        check(
            "GetQueueAttributes",
            "AttributeNames=",
            r#"{"AttributeNames":[]}"#,
        );
        for form in [
            "Attribute.1.Name=Policy&Attribute.1.Value=a.b",
            "Attribute.Name=Policy&Attribute.Value=a.b",
            "Attribute.entry.1.key=Policy&Attribute.entry.1.value=a.b",
            "Attributes.1.Name=Policy&Attributes.1.Value=a.b",
        ] {
            check("SetQueueAttributes", form, r#"{"Attributes":{"Policy":"a.b"}}"#);
        }
        check(
            "CreateQueue",
            "QueueName=q&Tag.1.Key=k&Tag.1.Value=",
            r#"{"QueueName":"q","tags":{"k":""}}"#,
        );
        check("TagQueue", "Tags.1.Key=k&Tags.1.Value=v", r#"{"Tags":{"k":"v"}}"#);
    }

    #[test]
    fn a_batch() {
        check(
            "SendMessageBatch",
            "Action=SendMessageBatch&Version=2012-11-05&QueueUrl=u&X-Amz-Date=1&\
             SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=x&\
             SendMessageBatchRequestEntry.1.DelaySeconds=5&\
             SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n&\
             SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=Binary&\
             SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.BinaryValue=AAE%3D",
            r#"{"QueueUrl":"u","Entries":[{"Id":"a","MessageBody":"x","DelaySeconds":5,
               "MessageAttributes":{"n":{"BinaryValue":"AAE=","DataType":"Binary"}}}]}"#,
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let malformed = "MalformedInput";
        check_refused(
            "ListQueues",
            "Nonsense=1",
            malformed,
            "Nonsense is not known to ListQueues",
        );
        check_refused("ListQueues", "MaxResults.1=1", malformed, "MaxResults.1");
        check_refused(
            "ListQueues",
            "MaxResults=1&MaxResults=2",
            malformed,
            "MaxResults is given more than once",
        );
        check_refused("ListQueues", "MaxResults=ten", "InvalidParameterValue", "ten");
        check_refused(
            "UntagQueue",
            "TagKey.x=1",
            malformed,
            "TagKey.x has no valid index",
        );
        check_refused("UntagQueue", "TagKey.99999999999=1", malformed, "too large");
        check_refused("UntagQueue", "TagKey.1.y=1", malformed, "TagKey.1.y");
        check_refused("TagQueue", "Tag.1.Key=k", "MissingParameter", "Tag.1.Value");
        check_refused("TagQueue", "Tag.1.Value=v", "MissingParameter", "Tag.1.Key");
        check_refused("TagQueue", "Tag.1.Colour=v", malformed, "Tag.1.Colour");
        check_refused("TagQueue", "Tag.1=v", malformed, "Tag.1");
        let twice = "Tag.1.Key=k&Tag.1.Value=v&Tag.2.Key=k&Tag.2.Value=w";
        check_refused("TagQueue", twice, malformed, "k is given more than once");
        check_refused(
            "DeleteMessageBatch",
            "DeleteMessageBatchRequestEntry.1=x",
            malformed,
            "member",
        );
    }
}
