//! One POST to one endpoint: name to checked address, connection, TLS, request, and what the answer means.
//!
//! Connections are kept for later deliveries to the same endpoint, a bounded number for a bounded time. A name is
//! resolved once for a connection and the connection goes to an address that was looked at, so that a name that
//! changes its mind between check and use gains nothing. Redirects are not followed: they would lead around the check.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tsugite_base::limits;

use super::guard;
use super::tls::{self, Trust};
use super::url::EndpointUrl;

/// Bytes of an answer's body that are read, to use the connection again; nobody looks at them.
const BODY_READ: u64 = 64 * 1024;
/// How long that may take.
const BODY_TIME: Duration = Duration::from_secs(1);
/// How long a connection that nobody uses is kept; shorter than most servers keep theirs.
const IDLE: Duration = Duration::from_secs(15);
/// How long the addresses of a name are used.
const RESOLVED: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

const USER_AGENT: &str = "Amazon Simple Notification Service Agent";

/// What the operator decides about posting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Time of one try, from the name to the head of the answer.
    pub timeout: Duration,
    /// Addresses that [`guard`] refuses are posted to all the same.
    pub any_address: bool,
    /// Whom to trust.
    pub trust: Trust,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            timeout: Duration::from_secs(limits::DELIVERY_TRY_SECONDS),
            any_address: false,
            trust: Trust::default(),
        }
    }
}

/// What all endpoints share.
pub(super) struct Client {
    settings: ClientSettings,
    /// Made for the first `https` endpoint: reading all authorities takes a while.
    tls: OnceCell<TlsConnector>,
}

/// One message as it is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// `x-amz-sns-message-type`.
    pub kind: &'static str,
    /// `x-amz-sns-message-id`.
    pub message_id: String,
    /// `x-amz-sns-topic-arn`.
    pub topic_arn: String,
    /// `x-amz-sns-subscription-arn`; not in requests to confirm.
    pub subscription_arn: Option<String>,
    /// The bare message.
    pub raw: bool,
    /// `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostError {
    /// Another try is of no use.
    pub permanent: bool,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// For people.
    pub reason: String,
}

impl PostError {
    fn retry(reason: impl Into<String>) -> PostError {
        PostError {
            permanent: false,
            status: None,
            reason: reason.into(),
        }
    }

    /// A failure that stays one.
    pub fn permanent(reason: impl Into<String>) -> PostError {
        PostError {
            permanent: true,
            ..PostError::retry(reason)
        }
    }

    /// What a status other than success means.
    fn of_status(status: StatusCode) -> PostError {
        let again =
            status.is_informational() || status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let followed = if status.is_redirection() {
            "; redirects are not followed"
        } else {
            ""
        };
        PostError {
            permanent: !again,
            status: Some(status.as_u16()),
            reason: format!("status {status}{followed}"),
        }
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for PostError {}

impl Client {
    /// A client.
    pub(super) fn new(settings: ClientSettings) -> Client {
        Client {
            settings,
            tls: OnceCell::new(),
        }
    }

    /// Time of one try.
    pub(super) fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    async fn tls(&self) -> Result<&TlsConnector, PostError> {
        let make = || async {
            let trust = self.settings.trust.clone();
            let made = tokio::task::spawn_blocking(move || tls::client_config(&trust)).await;
            match made {
                Ok(Ok(config)) => Ok(TlsConnector::from(config)),
                Ok(Err(why)) => Err(PostError::retry(format!("TLS is not to be had: {why}"))),
                Err(_) => Err(PostError::retry("the server is stopping")),
            }
        };
        self.tls.get_or_try_init(make).await
    }

    /// The address, unless it is one that is never posted to.
    fn checked(&self, address: IpAddr) -> Result<IpAddr, PostError> {
        match guard::refusal(address) {
            Some(what) if !self.settings.any_address => Err(PostError::permanent(format!(
                "{address} is {what}; such addresses are not posted to unless aws.sns.any_address says so"
            ))),
            _ => Ok(address),
        }
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// A client of one endpoint, with its connections.
pub(super) struct EndpointClient {
    client: Arc<Client>,
    url: EndpointUrl,
    idle: Mutex<Vec<(Sender, Instant)>>,
    /// Connections that are kept at most.
    keep: usize,
    resolved: tokio::sync::Mutex<Option<(Instant, Vec<IpAddr>)>>,
}

impl EndpointClient {
    /// A client of the endpoint with this URL.
    pub(super) fn new(client: Arc<Client>, url: EndpointUrl, keep: usize) -> EndpointClient {
        EndpointClient {
            client,
            url,
            idle: Mutex::default(),
            keep,
            resolved: tokio::sync::Mutex::default(),
        }
    }

    /// Posts once. The status of a success, or what is wrong.
    pub(super) async fn post(&self, post: &Post) -> Result<u16, PostError> {
        let limit = self.client.settings.timeout;
        let late = || PostError::retry(format!("no answer within {} ms", limit.as_millis()));
        let (response, sender) = timeout(limit, self.attempt(post))
            .await
            .map_err(|_| late())
            .flatten()?;
        let status = response.status();
        self.keep(response.into_body(), sender).await;
        match status.is_success() {
            true => Ok(status.as_u16()),
            false => Err(PostError::of_status(status)),
        }
    }

    /// Closes connections that nobody used for a while.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.idle().retain(|(_, since)| now - *since < IDLE);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Sender, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt(&self, post: &Post) -> Result<(http::Response<Incoming>, Sender), PostError> {
        let failed = |error: hyper::Error| PostError::retry(format!("no HTTP answer: {}", root(&error)));
        while let Some(mut sender) = self.take() {
            match sender.try_send_request(self.request(post)?).await {
                Ok(response) => return Ok((response, sender)),
                // The peer closed it meanwhile: nothing was sent, or nothing came back. Another one will do.
                Err(mut error) => {
                    let unsent = error.take_message().is_some();
                    let error = error.into_error();
                    if !unsent && !error.is_incomplete_message() && !error.is_canceled() {
                        return Err(failed(error));
                    }
                }
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(self.request(post)?).await.map_err(failed)?;
        Ok((response, sender))
    }

    /// The connection that was used last, if it is still good.
    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle();
        let now = Instant::now();
        while let Some((sender, since)) = idle.pop() {
            if now - since < IDLE && sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Reads what is left of an answer and keeps the connection, if that is quick.
    async fn keep(&self, mut body: Incoming, mut sender: Sender) {
        if body.size_hint().lower() > BODY_READ {
            return;
        }
        let drained = async {
            let mut read = 0;
            while !body.is_end_stream() {
                let Some(Ok(frame)) = body.frame().await else {
                    break;
                };
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > BODY_READ {
                    return false;
                }
            }
            sender.ready().await.is_ok()
        };
        if timeout(BODY_TIME, drained).await != Ok(true) {
            return;
        }
        let mut idle = self.idle();
        if idle.len() < self.keep {
            idle.push((sender, Instant::now()));
        }
    }

    async fn connect(&self) -> Result<Sender, PostError> {
        let stream = self.dial().await?;
        // Small requests: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        if !self.url.tls {
            return handshake(stream).await;
        }
        let name = ServerName::try_from(self.url.host.clone()).map_err(|_| {
            PostError::permanent(format!(
                "{} is no name that a certificate can have",
                self.url.host
            ))
        })?;
        let connected = self.client.tls().await?.connect(name, stream).await;
        let failed = |error: std::io::Error| PostError::retry(format!("no TLS: {}", root(&error)));
        handshake(connected.map_err(failed)?).await
    }

    async fn dial(&self) -> Result<TcpStream, PostError> {
        let addresses = self.addresses().await?;
        // The first may hang where a later one answers.
        let each = self.client.settings.timeout / (addresses.len() as u32 + 1);
        let mut last = PostError::retry(format!("the name {} has no address", self.url.host));
        for address in addresses {
            let address = SocketAddr::new(address, self.url.port);
            last = match timeout(each, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => PostError::retry(format!("no connection to {address}: {error}")),
                Err(_) => PostError::retry(format!(
                    "no connection to {address} within {} ms",
                    each.as_millis()
                )),
            };
        }
        Err(last)
    }

    /// The addresses of the host, all of which may be posted to.
    async fn addresses(&self) -> Result<Vec<IpAddr>, PostError> {
        if let Some(address) = self.url.address() {
            return Ok(vec![self.client.checked(address)?]);
        }
        // One look-up at a time: each holds a thread for as long as it takes.
        let mut resolved = self.resolved.lock().await;
        if let Some((at, addresses)) = &*resolved
            && at.elapsed() < RESOLVED
        {
            return Ok(addresses.clone());
        }
        let (host, port) = (self.url.host.as_str(), self.url.port);
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found
            .map_err(|error| PostError::retry(format!("the name {host} cannot be resolved: {error}")))?;
        let checked = |address: SocketAddr| self.client.checked(address.ip());
        let mut addresses = found.map(checked).collect::<Result<Vec<_>, _>>()?;
        addresses.truncate(ADDRESSES);
        *resolved = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    fn request(&self, post: &Post) -> Result<Request<Full<Bytes>>, PostError> {
        let text = |what: &str, value: &str| {
            HeaderValue::from_str(value)
                .map_err(|_| PostError::permanent(format!("{what} `{value}` cannot be sent as a header")))
        };
        let request = Request::post(self.url.target.as_str()).body(Full::new(post.body.clone()));
        let mut request =
            request.map_err(|error| PostError::permanent(format!("the URL cannot be posted to: {error}")))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, text("the host", &self.url.authority)?);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip,deflate"));
        headers.insert(
            header::CONTENT_TYPE,
            text("the content type", &post.content_type)?,
        );
        if let Some(authorization) = &self.url.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        headers.insert(MESSAGE_TYPE, HeaderValue::from_static(post.kind));
        headers.insert(MESSAGE_ID, text("the message id", &post.message_id)?);
        headers.insert(TOPIC_ARN, text("the topic", &post.topic_arn)?);
        if let Some(arn) = &post.subscription_arn {
            headers.insert(SUBSCRIPTION_ARN, text("the subscription", arn)?);
        }
        if post.raw {
            headers.insert(RAW_DELIVERY, HeaderValue::from_static("true"));
        }
        Ok(request)
    }
}

pub(super) const MESSAGE_TYPE: HeaderName = HeaderName::from_static("x-amz-sns-message-type");
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-amz-sns-message-id");
const TOPIC_ARN: HeaderName = HeaderName::from_static("x-amz-sns-topic-arn");
const SUBSCRIPTION_ARN: HeaderName = HeaderName::from_static("x-amz-sns-subscription-arn");
const RAW_DELIVERY: HeaderName = HeaderName::from_static("x-amz-sns-rawdelivery");

async fn handshake<T>(stream: T) -> Result<Sender, PostError>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let connected = http1::Builder::new()
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) =
        connected.map_err(|error| PostError::retry(format!("no HTTP: {}", root(&error))))?;
    // Ends with the sender, or when the peer closes.
    tokio::spawn(connection);
    Ok(sender)
}

/// The innermost reason: those around it say less.
fn root(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
