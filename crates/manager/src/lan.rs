//! The page on the owner's phone: the same page and API by HTTPS on this machine's own network addresses.
//!
//! Off unless the owner says otherwise, at the start (`--lan`) or on the page, and the latter is forgotten with
//! the process: tomorrow this machine may be in another network. [`address`] decides which addresses are
//! served, [`certificate`] keeps the one certificate, [`serve`] takes connections. [`Lan::keep`] looks every few
//! seconds whether the addresses are still the same, since routers give others.

mod address;
mod certificate;
mod serve;
#[cfg(test)]
mod tests;

use crate::door::Door;
use crate::front;
use crate::site::Site;
use cairn_host::interface;
use cairn_workflow::log::chain;
use certificate::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How soon another address of this machine is served.
const EVERY: Duration = Duration::from_secs(5);
/// Opening a few sockets takes less.
const SWITCHED_WITHIN: Duration = Duration::from_secs(5);

/// Where the page is on the network now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LanStatus {
    pub on: bool,
    /// The page's addresses, that of the network with a router first.
    pub pages: Vec<String>,
    /// SHA-256 of the certificate, in pairs as browsers show it.
    pub fingerprint: Option<String>,
    /// What is in the way.
    pub problems: Vec<String>,
}

/// The switch, and what came of it.
pub struct Lan {
    address: Option<IpAddr>,
    port: u16,
    wanted: watch::Sender<bool>,
    status: watch::Sender<LanStatus>,
}

/// One address that is served. Whoever drops it ends the connections too.
struct Open {
    site: Site,
    _serving: JoinSet<()>,
}

impl Lan {
    pub const DEFAULT_PORT: u16 = 4243;

    /// Without an address those of this machine's home networks are served.
    pub fn new(on: bool, address: Option<IpAddr>, port: u16) -> Arc<Self> {
        let (wanted, status) = (watch::Sender::new(on), watch::Sender::default());
        Arc::new(Self { address, port, wanted, status })
    }

    pub fn status(&self) -> LanStatus {
        self.status.borrow().clone()
    }

    /// Tells of every change.
    pub fn follow(&self) -> watch::Receiver<LanStatus> {
        self.status.subscribe()
    }

    /// Returns once it is so, or the problem is known.
    pub async fn switch(&self, on: bool) -> LanStatus {
        let mut status = self.status.subscribe();
        self.wanted.send_replace(on);
        let so = timeout(SWITCHED_WITHIN, status.wait_for(|status| status.on == on)).await;
        if so.is_err() {
            tracing::warn!(on, "the page on the network was not switched in time");
        }
        self.status()
    }

    /// Serves what is wanted, for as long as it is polled.
    pub async fn keep(self: Arc<Self>, door: Arc<Door>, cable: Option<String>) {
        let mut wanted = self.wanted.subscribe();
        let mut open = BTreeMap::new();
        let mut identity = None;
        loop {
            let on = *wanted.borrow_and_update();
            let status = if on {
                let addresses = self.addresses(&door, cable.as_deref()).await;
                self.serve(&door, &addresses, &mut open, &mut identity).await
            } else {
                open.clear();
                LanStatus::default()
            };
            self.show(status);
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = sleep(EVERY), if on => {}
            }
        }
    }

    /// Those that are to be served.
    async fn addresses(&self, door: &Door, cable: Option<&str>) -> Vec<IpAddr> {
        if let Some(address) = self.address {
            return vec![address];
        }
        let interfaces = tokio::task::spawn_blocking(interface::list).await;
        let interfaces = interfaces.ok().and_then(Result::ok).unwrap_or_default();
        let cluster = door.core().map(|core| core.book.file().cluster().manager_address());
        address::choose(&interfaces, cable, cluster)
    }

    async fn serve(
        self: &Arc<Self>,
        door: &Arc<Door>,
        addresses: &[IpAddr],
        open: &mut BTreeMap<IpAddr, Open>,
        identity: &mut Option<Identity>,
    ) -> LanStatus {
        open.retain(|address, _| addresses.contains(address));
        let mut status = LanStatus { on: true, ..LanStatus::default() };
        if addresses.is_empty() {
            let words =
                "this machine has no address of a home network now; it is served as soon as there is one";
            status.problems.push(words.to_owned());
        }
        // Without an address there is nothing that a new certificate could name.
        if identity.is_none() && !addresses.is_empty() {
            match Identity::load_or_make(&door.certificate(), addresses, SystemTime::now()) {
                Ok(made) => *identity = Some(made),
                Err(error) => status.problems.push(chain(&error)),
            }
        }
        let Some(identity) = identity else { return status };
        status.fingerprint = Some(identity.fingerprint.clone());
        for address in addresses {
            let known = open.get(address).map(|open| open.site);
            let site = match known {
                Some(site) => Ok(site),
                None => self.open(*address, door, identity).await.map(|opened| {
                    let site = opened.site;
                    open.insert(*address, opened);
                    site
                }),
            };
            match site {
                Ok(site) => status.pages.push(site.url()),
                Err(error) => {
                    let at = SocketAddr::new(*address, self.port);
                    status.problems.push(format!("{at} can't be listened on: {error}"));
                }
            }
        }
        status
    }

    async fn open(
        self: &Arc<Self>,
        address: IpAddr,
        door: &Arc<Door>,
        identity: &Identity,
    ) -> std::io::Result<Open> {
        let listener = TcpListener::bind((address, self.port)).await?;
        let site = Site::Network(listener.local_addr()?);
        let router = front::router(Arc::clone(door), site, Arc::clone(self));
        let mut serving = JoinSet::new();
        serving.spawn(serve::serve(listener, Arc::clone(&identity.config), router));
        Ok(Open { site, _serving: serving })
    }

    fn show(&self, status: LanStatus) {
        self.status.send_if_modified(|shown| {
            let changed = *shown != status;
            if changed {
                tell(&status, shown);
                *shown = status;
            }
            changed
        });
    }
}

fn tell(status: &LanStatus, before: &LanStatus) {
    let LanStatus { on, pages, fingerprint, problems } = status;
    if *on && *pages != before.pages && !pages.is_empty() {
        let fingerprint = fingerprint.as_deref().unwrap_or_default();
        tracing::info!(pages = pages.join(" "), fingerprint, "the page is on the network");
    }
    for problem in problems.iter().filter(|problem| !before.problems.contains(problem)) {
        tracing::warn!("the page on the network: {problem}");
    }
    if !*on && before.on {
        tracing::info!("the page is no longer on the network");
    }
}
