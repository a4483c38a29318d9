//! The dialling side: the manager, or another node, talks to one agent.

use crate::fingerprint::{self, Fingerprint};
use crate::frame::{self, FrameError};
use crate::message::{Request, Response};
use crate::tls::{self, Expect, Identity, IdentityError};
use cairn_model::log::{LogEntry, LogQuery};
use cairn_workflow::Event;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A machine under load (or one that is emulated) may need seconds for a handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Opening a LUKS volume and starting to write disks take longer than a word.
const UNLOCK_TIMEOUT: Duration = Duration::from_secs(120);
/// An agent whose log is followed says every few seconds that it is still there.
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0} does not answer on its port")]
    Connect(SocketAddr, #[source] std::io::Error),
    #[error("{0} is not who it has to be, or does not accept us")]
    Handshake(SocketAddr, #[source] std::io::Error),
    #[error("the other side did not answer in time")]
    Timeout,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the other side closed the connection")]
    Closed,
    #[error("{0}")]
    Refused(String),
    #[error("the answer does not fit the question; are both sides of the same version?")]
    Unexpected,
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// An open conversation with one agent.
pub struct Client {
    stream: TlsStream<TcpStream>,
}

impl Client {
    /// # Errors
    /// When nobody answers, or somebody else than expected.
    pub async fn connect(
        address: SocketAddr,
        identity: &Identity,
        expect: &Expect,
    ) -> Result<Self, ClientError> {
        let name = match expect {
            // A pinned key has no name; TLS wants one all the same.
            Expect::Key(_) => "machine.cairn",
            Expect::Named { name, .. } => name,
        };
        let name = ServerName::try_from(name.to_owned()).map_err(|_| IdentityError::Name(name.to_owned()))?;
        let connector = TlsConnector::from(Arc::new(tls::client_config(identity, expect)?));
        let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
            .await
            .map_err(|_| ClientError::Timeout)?
            .map_err(|e| ClientError::Connect(address, e))?;
        // Answers are small and waited for.
        let _ = tcp.set_nodelay(true);
        let stream = timeout(CONNECT_TIMEOUT, connector.connect(name, tcp))
            .await
            .map_err(|_| ClientError::Timeout)?
            .map_err(|e| ClientError::Handshake(address, e))?;
        Ok(Self { stream })
    }

    /// The key that the other side proved to hold. A name is proven by the connection itself; whether the
    /// key is still the one that belongs to the name is for the caller to compare.
    ///
    /// # Errors
    /// When the other side's certificate can't be parsed, which no handshake lets through.
    pub fn peer(&self) -> Result<Fingerprint, ClientError> {
        let chain = self.stream.get_ref().1.peer_certificates();
        let leaf = chain.and_then(|chain| chain.first()).ok_or(ClientError::Unexpected)?;
        Ok(fingerprint::of_certificate(leaf).map_err(IdentityError::from)?)
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// A refusal is an error too, in the agent's own words.
    pub async fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        let limit = if matches!(request, Request::Unlock { .. }) { UNLOCK_TIMEOUT } else { ANSWER_TIMEOUT };
        timeout(limit, async {
            frame::write(&mut self.stream, request).await?;
            match frame::read(&mut self.stream).await? {
                None => Err(ClientError::Closed),
                Some(Response::Refused { reason }) => Err(ClientError::Refused(reason)),
                Some(response) => Ok(response),
            }
        })
        .await
        .map_err(|_| ClientError::Timeout)?
    }

    /// Follows the running job from after an event; `None` when it has ended.
    ///
    /// # Errors
    /// When the connection breaks; call again with the last number.
    pub async fn start_following(&mut self, after: u64) -> Result<(), ClientError> {
        Ok(frame::write(&mut self.stream, &Request::Follow { after }).await?)
    }

    /// The next event of a followed job; `None` when it has ended.
    ///
    /// # Errors
    /// When the connection breaks, or nothing (not even progress) comes for too long.
    pub async fn next_event(&mut self) -> Result<Option<Event>, ClientError> {
        match timeout(UNLOCK_TIMEOUT, frame::read(&mut self.stream))
            .await
            .map_err(|_| ClientError::Timeout)??
        {
            None => Err(ClientError::Closed),
            Some(Response::Event(event)) => Ok(Some(event)),
            Some(Response::Done) => Ok(None),
            Some(Response::Refused { reason }) => Err(ClientError::Refused(reason)),
            Some(_) => Err(ClientError::Unexpected),
        }
    }

    /// Reads the journal; call [`Self::next_entries`] until it says that there are no more.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn start_log(&mut self, query: &LogQuery) -> Result<(), ClientError> {
        Ok(frame::write(&mut self.stream, &Request::Log(query.clone())).await?)
    }

    /// The next entries, none now and then as a sign of life; `None` after the last.
    ///
    /// # Errors
    /// When the connection breaks, the node refuses, or no sign of life comes for too long.
    pub async fn next_entries(&mut self) -> Result<Option<Vec<LogEntry>>, ClientError> {
        match timeout(SILENCE, frame::read(&mut self.stream)).await.map_err(|_| ClientError::Timeout)?? {
            None => Err(ClientError::Closed),
            Some(Response::Log { entries }) => Ok(Some(entries)),
            Some(Response::Done) => Ok(None),
            Some(Response::Refused { reason }) => Err(ClientError::Refused(reason)),
            Some(_) => Err(ClientError::Unexpected),
        }
    }
}
