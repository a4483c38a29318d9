//! Puts everything together and runs until it is told to stop.

use crate::api;
use crate::core::Core;
use crate::network::{self, NetworkView};
use crate::options::{Cable, Listen, ManagerError, Options};
use crate::workdir::WorkDir;
use crate::{etcd, open, seek};
use cairn_wire::announce::Listener;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::interval;

/// How often it is looked whether what is shown has changed.
const SHOW: Duration = Duration::from_millis(500);

/// Runs the manager; ends only with an error. Dropping the future stops it at any moment without harm.
///
/// # Errors
/// What is in the way of starting, in words; or the loss of the listening socket.
pub async fn run(options: Options) -> Result<(), ManagerError> {
    let Options { cluster_file, passphrase, work_dir, listen, image_dir, cable, interfaces, image_url } =
        options;
    let (listener, bound) = bind(listen).await?;
    let work = WorkDir::open(&work_dir)?;
    let token = work.token()?;
    let book = tokio::task::spawn_blocking(move || open::book(&cluster_file, passphrase, work)).await??;
    let file = book.file();
    book.store(file.cluster().generation).await?;
    let trust = open::trust(&file)?;
    tracing::info!(cluster = %file.cluster().name, generation = file.cluster().generation, page = %format!("http://{bound}/"), "the manager runs");

    let network = NetworkView { image_url, interfaces: interfaces.clone(), ..NetworkView::default() };
    let core = Core::new(book, trust, token, image_dir, network);
    let mut parts = JoinSet::new();
    start(&core, &mut parts, cable, interfaces);
    let serve = axum::serve(listener, api::router(Arc::clone(&core), bound));
    tokio::select! {
        ended = serve => ended.map_err(ManagerError::Serve),
        Some(ended) = parts.join_next() => ended.map_err(ManagerError::from),
    }
}

async fn bind(listen: Listen) -> Result<(TcpListener, SocketAddr), ManagerError> {
    let listener = match listen {
        Listen::Address(address) => {
            TcpListener::bind(address).await.map_err(|error| ManagerError::Listen(address, error))?
        }
        Listen::Inherited(socket) => {
            socket.set_nonblocking(true).map_err(ManagerError::Inherited)?;
            TcpListener::from_std(socket).map_err(ManagerError::Inherited)?
        }
    };
    let bound = listener.local_addr().map_err(ManagerError::Inherited)?;
    Ok((listener, bound))
}

/// None of these ends by itself.
fn start(core: &Arc<Core>, parts: &mut JoinSet<()>, cable: Option<Cable>, interfaces: Vec<String>) {
    parts.spawn(hear(Arc::clone(core)));
    parts.spawn(seek::seek(Arc::clone(core)));
    parts.spawn(show(Arc::clone(core)));
    parts.spawn(network::bystand(Arc::clone(core)));
    parts.spawn({
        let core = Arc::clone(core);
        async move {
            if let Err(error) = etcd::watch(core).await {
                tracing::error!(error = cairn_workflow::log::chain(&error), "etcd can't be watched");
                std::future::pending::<()>().await;
            }
        }
    });
    if !interfaces.is_empty() {
        parts.spawn(network::keep_address(Arc::clone(core), interfaces));
    }
    if let Some(cable) = cable {
        parts.spawn(network::keep_cable(Arc::clone(core), cable));
    }
}

async fn hear(core: Arc<Core>) {
    let mut listener = Listener::start();
    while let Some(announcement) = listener.next().await {
        core.hear(announcement);
    }
}

pub async fn show(core: Arc<Core>) {
    let mut tick = interval(SHOW);
    loop {
        tick.tick().await;
        core.show();
    }
}
