//! The listening side: an agent answers its manager, and tells other nodes what time it is.

use crate::fingerprint;
use crate::frame;
use crate::message::{Peer, Request, Response};
use crate::tls::{self, Callers, Identity, IdentityError};
use cairn_model::log::{LogEntry, LogQuery};
use cairn_vault::leaf::MANAGER_NAME;
use cairn_workflow::EventLog;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Enough for a manager with its page open twice; bounds the memory of a 512 MB machine.
const MAX_CONNECTIONS: usize = 8;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection on which nothing is asked for so long is closed to make room.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Whoever follows a log in which nothing happens hears so often that the node is still there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// A reader who takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// What an agent does with requests.
pub trait Handler: Send + Sync + 'static {
    fn answer(self: Arc<Self>, peer: Peer, request: Request) -> impl Future<Output = Response> + Send;

    /// The log of the job that runs, or ran last.
    fn job(&self) -> Option<EventLog>;

    /// Starts reading the journal, or says why not. Reading ends when the receiver is dropped.
    fn log(
        self: Arc<Self>,
        peer: Peer,
        query: LogQuery,
    ) -> impl Future<Output = Result<LogReceiver, String>> + Send;
}

/// Entries in small bundles, or why there are no more.
pub type LogReceiver = mpsc::Receiver<Result<Vec<LogEntry>, String>>;

/// Serves until the task is dropped, and its conversations with it.
///
/// # Errors
/// When the identity or the CA can't be used.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    identity: &Identity,
    callers: &Callers,
    handler: Arc<H>,
) -> Result<(), IdentityError> {
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(identity, callers)?));
    let callers = Arc::new(callers.clone());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut conversations = JoinSet::new();
    loop {
        while conversations.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (acceptor, callers, handler) = (acceptor.clone(), Arc::clone(&callers), Arc::clone(&handler));
        conversations.spawn(async move {
            if let Err(error) = converse(tcp, acceptor, &callers, &handler).await {
                tracing::debug!(error = cairn_workflow::log::chain(error.as_ref()), "a connection ended");
            }
            drop(place);
        });
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn converse<H: Handler>(
    tcp: TcpStream,
    acceptor: TlsAcceptor,
    callers: &Callers,
    handler: &Arc<H>,
) -> Result<(), BoxError> {
    let _ = tcp.set_nodelay(true);
    let mut stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await??;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| leaf.to_vec())
        .ok_or("the caller has no certificate")?;
    let peer = Peer { fingerprint: fingerprint::of_certificate(&certificate)?, certificate };
    if !matches!(callers, Callers::Anyone) && !tls::carries_name(&peer.certificate, MANAGER_NAME) {
        return answer_node(&mut stream, peer, callers, handler).await;
    }
    while let Some(request) = timeout(IDLE_TIMEOUT, frame::read::<Request>(&mut stream)).await?? {
        match request {
            Request::Follow { after } => follow(&mut stream, handler.job(), after).await?,
            Request::Log(query) => {
                let entries = Arc::clone(handler).log(peer.clone(), query).await;
                send_log(&mut stream, entries).await?;
            }
            request => {
                let response = Arc::clone(handler).answer(peer.clone(), request).await;
                frame::write(&mut stream, &response).await?;
            }
        }
    }
    Ok(())
}

/// Another node asks once and hangs up, so that many of them never take the manager's place.
async fn answer_node<S: AsyncRead + AsyncWrite + Unpin, H: Handler>(
    stream: &mut S,
    peer: Peer,
    callers: &Callers,
    handler: &Arc<H>,
) -> Result<(), BoxError> {
    let request = match callers {
        Callers::MembersOf { .. } => timeout(HANDSHAKE_TIMEOUT, frame::read::<Request>(stream)).await??,
        Callers::Anyone | Callers::ManagerOf { .. } => None,
    };
    let response = match request {
        Some(Request::Time) => Arc::clone(handler).answer(peer, Request::Time).await,
        _ => Response::Refused { reason: "this certificate is not the manager's".to_owned() },
    };
    Ok(frame::write(stream, &response).await?)
}

async fn follow<S: AsyncWrite + Unpin>(
    stream: &mut S,
    job: Option<EventLog>,
    mut after: u64,
) -> Result<(), BoxError> {
    let Some(log) = job else {
        let reason = "no job runs here".to_owned();
        frame::write(stream, &Response::Refused { reason }).await?;
        return Ok(());
    };
    loop {
        for event in log.wait_after(after).await {
            after = event.number;
            let end = event.what.is_end();
            frame::write(stream, &Response::Event(event)).await?;
            if end {
                frame::write(stream, &Response::Done).await?;
                return Ok(());
            }
        }
    }
}

/// Ends with the log, or when the reader goes away or says anything else.
async fn send_log<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    entries: Result<LogReceiver, String>,
) -> Result<(), BoxError> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(reason) => return Ok(frame::write(&mut writer, &Response::Refused { reason }).await?),
    };
    let mut interruption = [0; 1];
    loop {
        let next = tokio::select! {
            next = timeout(SIGN_OF_LIFE, entries.recv()) => next,
            _ = reader.read(&mut interruption) => return Err("the reader of a log went away".into()),
        };
        let response = match next {
            Ok(Some(Ok(entries))) => Response::Log { entries },
            Err(_) => Response::Log { entries: Vec::new() },
            Ok(Some(Err(reason))) => Response::Refused { reason },
            Ok(None) => Response::Done,
        };
        timeout(WRITE_TIMEOUT, frame::write(&mut writer, &response)).await??;
        if !matches!(response, Response::Log { .. }) {
            return Ok(());
        }
    }
}
