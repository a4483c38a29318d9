//! The listening side: an agent answers its manager.

use crate::fingerprint;
use crate::frame;
use crate::message::{Peer, Request, Response};
use crate::tls::{self, Callers, Identity, IdentityError};
use cairn_vault::leaf::MANAGER_NAME;
use cairn_workflow::EventLog;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Enough for a manager with its page open twice; bounds the memory of a 512 MB machine.
const MAX_CONNECTIONS: usize = 8;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection on which nothing is asked for so long is closed to make room.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What an agent does with requests.
pub trait Handler: Send + Sync + 'static {
    fn answer(self: Arc<Self>, peer: Peer, request: Request) -> impl Future<Output = Response> + Send;

    /// The log of the job that runs, or ran last.
    fn job(&self) -> Option<EventLog>;
}

/// Serves until the task is dropped.
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
    let named = matches!(callers, Callers::ManagerOf { .. });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (acceptor, handler) = (acceptor.clone(), Arc::clone(&handler));
        tokio::spawn(async move {
            if let Err(error) = converse(tcp, acceptor, named, &handler).await {
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
    named: bool,
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
    if named && !tls::carries_name(&peer.certificate, MANAGER_NAME) {
        let reason = "this certificate is not the manager's".to_owned();
        frame::write(&mut stream, &Response::Refused { reason }).await?;
        return Ok(());
    }
    while let Some(request) = timeout(IDLE_TIMEOUT, frame::read::<Request>(&mut stream)).await?? {
        if let Request::Follow { after } = request {
            follow(&mut stream, handler.job(), after).await?;
        } else {
            let response = Arc::clone(handler).answer(peer.clone(), request).await;
            frame::write(&mut stream, &response).await?;
        }
    }
    Ok(())
}

async fn follow<S: tokio::io::AsyncWrite + Unpin>(
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
