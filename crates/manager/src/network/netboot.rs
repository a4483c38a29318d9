//! Network boot on a cable of our own, for as long as the wire allows it.

use super::CableView;
use crate::core::{Core, unix_now};
use crate::image::{FILES, UKI};
use crate::journal::Journal;
use crate::options::Cable;
use cairn_netboot::{
    Because, BootAnswer, Config, Files, HTTP_PORT, Images, MachineRequest, OwnCable, Server, StartError,
    State,
};
use cairn_workflow::log::chain;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// How soon it is tried again on a wire that did not suit.
const AGAIN: Duration = Duration::from_secs(30);

/// A machine whose disk holds a node starts from it; everyone else gets the node image.
fn answer(journal: &Journal, mac: &str) -> BootAnswer {
    let installed = journal.macs.get(mac).is_some_and(|node| {
        // an installation that was cut off begins again from the network
        journal.approval_of(node).is_none_or(|(_, approval)| approval.installed)
    });
    if installed { BootAnswer::LocalDisk } else { BootAnswer::Discover(Images::x64(UKI)) }
}

fn config(cable: &Cable, image: &Path, artifacts: Files) -> Config {
    let files = FILES.iter().fold(artifacts, |files, name| files.with(*name, image.join(name)));
    Config::own_cable(&cable.interface, OwnCable::slash24(cable.address), files)
}

pub async fn keep(core: Arc<Core>, cable: Cable) {
    let interface = cable.interface.clone();
    loop {
        core.network().cable = CableView::Starting { interface: interface.clone() };
        let weak: Weak<Core> = Arc::downgrade(&core);
        let policy = move |machine: &MachineRequest| match weak.upgrade() {
            Some(core) => core.book.journal(|journal| answer(journal, &machine.mac.to_string())),
            None => BootAnswer::Nothing,
        };
        let config = config(&cable, &core.image_dir, core.artifacts.files());
        let reason = match Server::start(config, Arc::new(policy), Arc::clone(&core.story)).await {
            Err(error) => {
                if let StartError::OtherServer { server, interface } = &error {
                    core.network().heard(interface, *server, unix_now());
                }
                chain(&error)
            }
            Ok(server) => {
                let base = format!("http://{}:{HTTP_PORT}", cable.address);
                {
                    let mut network = core.network();
                    // It started, so the wire was found without another server.
                    network.alone(&interface);
                    network.cable = CableView::Running { interface: interface.clone(), base };
                }
                let mut state = server.state();
                let stopped = state.wait_for(|state| matches!(state, State::Stopped { .. })).await;
                match stopped.as_deref() {
                    Ok(State::Stopped { because }) => {
                        if let Because::ForeignServer { server, interface } = because {
                            core.network().heard(interface, *server, unix_now());
                        }
                        chain(because)
                    }
                    Ok(State::Running) | Err(_) => "it ended".to_owned(),
                }
            }
        };
        tracing::warn!(interface, reason, "network boot does not run");
        core.network().cable = CableView::Refused { interface: interface.clone(), reason };
        sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::key;
    use crate::journal::{Approval, Way};
    use cairn_model::cluster::Name;

    #[test]
    fn only_an_installed_machine_is_sent_to_its_disk() {
        let node: Name = "compute-1".parse().unwrap();
        let mut journal = Journal::default();
        let discover = BootAnswer::Discover(Images::x64(UKI));
        assert_eq!(answer(&journal, "52:54:00:00:00:01"), discover);
        journal.macs.insert("52:54:00:00:00:01".into(), node.clone());
        assert_eq!(answer(&journal, "52:54:00:00:00:01"), BootAnswer::LocalDisk);
        let way = Way::Disk { id: "a".into(), wipe: false };
        journal.approve(key(1), Approval::new(node, way, None));
        assert_eq!(answer(&journal, "52:54:00:00:00:01"), discover);
        journal.approvals.get_mut(&key(1)).unwrap().installed = true;
        assert_eq!(answer(&journal, "52:54:00:00:00:01"), BootAnswer::LocalDisk);
    }
}
