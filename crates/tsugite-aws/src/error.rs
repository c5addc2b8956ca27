//! The one error of the AWS port and its two renderings.
//!
//! SDKs read an error's code from one of three places: `__type` in a JSON body (everything up to `#` is cut),
//! the header `x-amzn-query-error` (which wins where the service once spoke Query), or `<Code>` in XML.

use std::borrow::Cow;
use std::fmt;

use tsugite_base::{Invalid, Uuid};

use crate::document::Encoding;
use crate::xml;

/// The shape of an error for a request that names no operation.
const NO_OPERATION: &str = "UnknownOperationException";

/// How one service spells its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// `Content-Type` of requests and answers.
    pub content_type: &'static str,
    /// Prefix of `__type`, for example `com.amazonaws.sqs`.
    pub namespace: &'static str,
    /// Member that holds the error text: `message`, or `Message` in Cloud Map.
    pub message_member: &'static str,
    /// Whether errors carry the header `x-amzn-query-error`.
    pub query_compatible: bool,
}

impl Dialect {
    /// SQS over awsJson1_0.
    pub const SQS: Dialect = Dialect {
        content_type: "application/x-amz-json-1.0",
        namespace: "com.amazonaws.sqs",
        message_member: "message",
        query_compatible: true,
    };
    /// Cloud Map (`servicediscovery`) over awsJson1_1.
    pub const CLOUD_MAP: Dialect = Dialect {
        content_type: "application/x-amz-json-1.1",
        namespace: "com.amazonaws.servicediscovery",
        message_member: "Message",
        query_compatible: false,
    };
    /// Requests whose service is not known.
    pub const UNKNOWN: Dialect = Dialect {
        content_type: "application/x-amz-json-1.0",
        namespace: "com.amazon.coral.service",
        message_member: "message",
        query_compatible: false,
    };
}

/// A refused or failed request, as AWS would say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// Name of the error shape in JSON, for example `QueueDoesNotExist`.
    pub shape: Cow<'static, str>,
    /// Code in Query answers and in the header `x-amzn-query-error`.
    pub query_code: Cow<'static, str>,
    /// HTTP status.
    pub status: u16,
    /// Whether the caller is at fault (`Sender`) or we are (`Receiver`).
    pub sender_fault: bool,
    /// One or two sentences that name the offending thing.
    pub message: String,
    /// Further members that the error's shape has, in JSON.
    pub members: Vec<(&'static str, String)>,
}

impl AwsError {
    /// The caller's fault; `shape` is the JSON name, `query_code` the one of the Query protocol.
    pub fn sender(
        shape: impl Into<Cow<'static, str>>,
        query_code: impl Into<Cow<'static, str>>,
        status: u16,
        message: impl Into<String>,
    ) -> AwsError {
        AwsError {
            shape: shape.into(),
            query_code: query_code.into(),
            status,
            sender_fault: true,
            message: message.into(),
            members: Vec::new(),
        }
    }

    /// The same error with a further member in its JSON body.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<String>) -> AwsError {
        self.members.push((member, value.into()));
        self
    }

    /// As [`AwsError::with`], if there is a value.
    #[must_use]
    pub fn with_some(self, member: &'static str, value: Option<String>) -> AwsError {
        match value {
            Some(value) => self.with(member, value),
            None => self,
        }
    }

    /// The caller's fault, status 400, with one name in both protocols.
    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> AwsError {
        let code = code.into();
        AwsError::sender(code.clone(), code, 400, message)
    }

    /// Our fault: the store cannot serve now; SDKs retry it.
    pub fn unavailable(message: impl Into<String>) -> AwsError {
        AwsError {
            shape: "ServiceUnavailable".into(),
            query_code: "ServiceUnavailable".into(),
            status: 503,
            sender_fault: false,
            message: message.into(),
            members: Vec::new(),
        }
    }

    /// A body that is not the JSON that the operation expects.
    pub fn serialization(message: impl Into<String>) -> AwsError {
        AwsError::bad_request("SerializationException", message)
    }

    /// A required parameter that is absent or empty.
    pub fn missing(parameter: &str) -> AwsError {
        AwsError::sender(
            "MissingRequiredParameterException",
            "MissingParameter",
            400,
            format!("The request must contain the parameter {parameter}."),
        )
    }

    /// An action of the JSON protocols that this port does not know.
    pub fn unknown_operation(action: &str) -> AwsError {
        AwsError::sender(
            NO_OPERATION,
            "InvalidAction",
            404,
            format!("The operation {} is not known here.", shorten(action)),
        )
    }

    /// A request to a queue or a topic that names no action.
    pub fn no_operation(message: impl Into<String>) -> AwsError {
        AwsError::sender(NO_OPERATION, "InvalidAction", 404, message)
    }

    /// An action of the Query protocol that this port does not know.
    pub fn invalid_action(service: &str, action: &str) -> AwsError {
        AwsError::bad_request(
            "InvalidAction",
            format!("The action {} is not valid for {service}.", shorten(action)),
        )
    }

    /// A version of an API that the service does not have.
    pub fn no_such_version(service: &str, version: &str) -> AwsError {
        AwsError::bad_request(
            "NoSuchVersion",
            format!("The version {} is not one of {service}.", shorten(version)),
        )
    }

    /// An action of the JSON protocols that the service has at AWS and that Tsugite does not support yet.
    pub fn unsupported(service: &str, action: &str) -> AwsError {
        AwsError::sender(
            "UnknownOperationException",
            "InvalidAction",
            404,
            format!("The {service} operation {action} is not supported yet."),
        )
    }

    /// An action of the Query protocol that the service has at AWS and that Tsugite does not support yet.
    pub fn unsupported_action(service: &str, action: &str) -> AwsError {
        AwsError::bad_request(
            "InvalidAction",
            format!("The {service} action {action} is not supported yet."),
        )
    }

    /// The body of a protocol that is not Query.
    pub fn to_document(&self, dialect: Dialect, encoding: Encoding) -> Vec<u8> {
        encoding.document(|out| {
            out.text("__type", &format!("{}#{}", dialect.namespace, self.shape));
            out.text(dialect.message_member, &self.message);
            for (member, value) in &self.members {
                out.text(member, value);
            }
        })
    }

    /// Value of the header `x-amzn-query-error`: `<QueryCode>;Sender` or `;Receiver`.
    pub fn query_error_header(&self) -> String {
        format!("{};{}", self.query_code, self.fault())
    }

    /// The Query protocol's body, in the XML namespace of the service.
    pub fn to_xml(&self, namespace: &str, request_id: Uuid) -> Vec<u8> {
        if self.shape == NO_OPERATION {
            // No service is found yet that could answer in its own form; AWS answers with this element alone.
            let mut out = String::from("<UnknownOperationException>");
            xml::element(&mut out, "Message", &self.message);
            xml::close(&mut out, NO_OPERATION);
            return out.into_bytes();
        }
        let mut out = String::with_capacity(256 + self.message.len());
        out.push_str("<?xml version=\"1.0\"?><ErrorResponse xmlns=\"");
        xml::escape_into(&mut out, namespace);
        out.push_str("\"><Error>");
        xml::element(&mut out, "Type", self.fault());
        xml::element(&mut out, "Code", &self.query_code);
        xml::element(&mut out, "Message", &self.message);
        out.push_str("<Detail/></Error>");
        xml::element(&mut out, "RequestId", &request_id.to_string());
        out.push_str("</ErrorResponse>");
        out.into_bytes()
    }

    fn fault(&self) -> &'static str {
        if self.sender_fault { "Sender" } else { "Receiver" }
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.query_code, self.message)
    }
}

impl std::error::Error for AwsError {}

/// A value that breaks a rule; services with a code of their own map [`Invalid`] themselves.
impl From<Invalid> for AwsError {
    fn from(invalid: Invalid) -> AwsError {
        AwsError::sender(
            "InvalidParameterValueException",
            "InvalidParameterValue",
            400,
            invalid.to_string(),
        )
    }
}

/// A client's text as it may stand in an error: at most 100 characters.
pub fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(100) {
        Some((cut, _)) => Cow::Owned(format!("{}…", &text[..cut])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_queue() -> AwsError {
        AwsError::sender(
            "QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
            400,
            "The queue \"a<b\" does not exist.",
        )
    }

    #[test]
    fn both_renderings() {
        let error = missing_queue();
        assert_eq!(
            String::from_utf8(error.to_document(Dialect::SQS, Encoding::Json)).unwrap(),
            r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The queue \"a<b\" does not exist."}"#
        );
        assert_eq!(
            error.query_error_header(),
            "AWS.SimpleQueueService.NonExistentQueue;Sender"
        );
        let nothing = AwsError::no_operation("Which?").to_xml("http://x/", Uuid([0; 16]));
        let expected = "<UnknownOperationException><Message>Which?</Message></UnknownOperationException>";
        assert_eq!(String::from_utf8(nothing).unwrap(), expected);
        let xml = String::from_utf8(error.to_xml("http://x/", Uuid([0; 16]))).unwrap();
        assert!(
            xml.contains("<Code>AWS.SimpleQueueService.NonExistentQueue</Code>"),
            "{xml}"
        );
        assert!(xml.contains("&quot;a&lt;b&quot;"), "{xml}");
        assert!(
            xml.contains("<RequestId>00000000-0000-0000-0000-000000000000</RequestId>"),
            "{xml}"
        );
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(shorten(&"é".repeat(200)).chars().count(), 101);
    }
}
