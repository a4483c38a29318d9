//! Hears who asks DHCP on wires where the manager does not serve: a machine that did not start Cairn is
//! seen all the same.

use super::BootView;
use crate::core::Core;
use cairn_host::interface::{self, Kind};
use cairn_netboot::Bystander;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::interval;

/// Interfaces come and go with their cables.
const LOOK: Duration = Duration::from_secs(10);

/// Hardware, and what the owner named.
fn wanted(chosen: &[String]) -> BTreeSet<String> {
    let all = interface::list().unwrap_or_default().into_iter();
    let real = |it: &interface::Interface| {
        matches!(it.kind, Kind::Wired | Kind::Wireless) || chosen.contains(&it.name)
    };
    all.filter(|it| it.up && real(it)).map(|it| it.name).collect()
}

pub async fn keep(core: Arc<Core>) {
    let mut ears: JoinSet<String> = JoinSet::new();
    let mut open = BTreeSet::new();
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        while let Some(ended) = ears.try_join_next() {
            // One that ended in a panic is not opened again.
            if let Ok(name) = ended {
                open.remove(&name);
            }
        }
        let chosen = core.network().chosen();
        let Ok(wanted) = spawn_blocking(move || wanted(&chosen)).await else { continue };
        core.network().listened(&wanted);
        for name in wanted {
            if open.insert(name.clone()) {
                ears.spawn(listen(Arc::clone(&core), name));
            }
        }
    }
}

/// Until the interface is gone; gives its name back.
async fn listen(core: Arc<Core>, name: String) -> String {
    let bystander = match Bystander::open(&name) {
        Ok(bystander) => bystander,
        Err(error) => {
            let words = format!(
                "Machines that ask DHCP on {name} can't be heard: {error} (it needs root or CAP_NET_RAW)."
            );
            core.network().deaf.insert(name.clone(), words);
            return name;
        }
    };
    core.network().deaf.remove(&name);
    while let Ok(packet) = bystander.next().await {
        // Where the manager serves, its server tells the story.
        let served =
            matches!(&core.network().netboot, BootView::Running { interface, .. } if *interface == name);
        if !served {
            core.story.overheard(&packet);
        }
    }
    name
}
