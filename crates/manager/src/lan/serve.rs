//! Takes TLS connections on one socket. Dropping it ends them all, also those that follow events for hours.
//!
//! A server of a crate would go on with what it has accepted, or know no bound; off has to mean off.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// A browser opens six, and an owner has a few browsers; whoever else is on the network takes no more memory.
const MOST_CONNECTIONS: usize = 64;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Between requests too: so a silent connection makes room.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
const AFTER_ERROR: Duration = Duration::from_millis(200);

pub async fn serve(listener: TcpListener, config: Arc<ServerConfig>, router: Router) {
    let acceptor = TlsAcceptor::from(config);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection to the page");
                sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        connections.spawn(async move {
            if let Err(error) = converse(tcp, acceptor, router).await {
                tracing::debug!(%error, "a connection to the page ended early");
            }
            drop(place);
        });
    }
}

async fn converse(tcp: TcpStream, acceptor: TlsAcceptor, router: Router) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let tls = timeout(HANDSHAKE_WITHIN, acceptor.accept(tcp)).await??;
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .serve_connection(TokioIo::new(tls), TowerToHyperService::new(router))
        .await
        .map_err(io::Error::other)
}
