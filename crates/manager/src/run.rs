//! Puts everything together and runs until it is told to stop.

use crate::core::Core;
use crate::door::Door;
use crate::front;
use crate::network::{self, NetworkView};
use crate::options::{Listen, ManagerError, Netboot, Options, Wish};
use crate::site::Site;
use crate::workdir::WorkDir;
use crate::{artifacts, etcd, seek};
use cairn_vault::file::disk;
use cairn_wire::announce::Listener;
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
    let Options {
        cluster_file,
        passphrase,
        work_dir,
        listen,
        image_dir,
        netboot,
        interfaces,
        image_url,
        lan,
    } = options;
    let (listener, site) = bind(listen).await?;
    let given = cluster_file.as_deref().map(disk::load).transpose()?;
    let network = NetworkView { image_url, interfaces: interfaces.clone(), ..NetworkView::default() };
    let door = Arc::new(Door::new(WorkDir::open(&work_dir)?, given, image_dir, network)?);
    match passphrase {
        Some(passphrase) => drop(door.open(None, passphrase, site).await?),
        None => tracing::info!("no cluster file is open yet; the page asks for it"),
    }
    tracing::info!(page = %format!("{}/", site.url()), "the manager runs");
    let own_cable = netboot.as_ref().filter(|netboot| netboot.wish == Wish::OwnCable);
    let on_cable = own_cable.map(|netboot| netboot.interface.clone());
    tokio::select! {
        ended = axum::serve(listener, front::router(Arc::clone(&door), site, Arc::clone(&lan))) => ended.map_err(ManagerError::Serve),
        () = Arc::clone(&lan).keep(Arc::clone(&door), on_cable) => Ok(()),
        ended = work(&door, netboot, interfaces) => ended,
    }
}

/// All that goes on once the cluster file is open.
async fn work(door: &Door, netboot: Option<Netboot>, interfaces: Vec<String>) -> Result<(), ManagerError> {
    let core = door.opened().await;
    let mut parts = JoinSet::new();
    start(&core, &mut parts, netboot, interfaces);
    match parts.join_next().await {
        Some(ended) => ended.map_err(ManagerError::from),
        None => Ok(()),
    }
}

async fn bind(listen: Listen) -> Result<(TcpListener, Site), ManagerError> {
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
    Ok((listener, Site::plain(bound)?))
}

/// None of these ends by itself.
fn start(core: &Arc<Core>, parts: &mut JoinSet<()>, netboot: Option<Netboot>, interfaces: Vec<String>) {
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
    parts.spawn(artifacts::keep_server(Arc::clone(core)));
    if !interfaces.is_empty() {
        parts.spawn(network::keep_address(Arc::clone(core), interfaces));
    }
    if let Some(netboot) = netboot {
        parts.spawn(network::keep_netboot(Arc::clone(core), netboot));
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
