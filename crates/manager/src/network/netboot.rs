//! Network boot, for as long as the network allows it.

use super::way::{self, Way};
use super::{BootView, scan};
use crate::core::{Core, unix_now};
use crate::image::{self, ARCHITECTURES, MEMORY_TEST, PXE_LOADER, UKI};
use crate::journal::Journal;
use crate::next_boot;
use crate::options::{Netboot, Wish};
use cairn_host::interface::{self, Interface};
use cairn_host::port::{self, Holder, Protocol};
use cairn_layout::Arch;
use cairn_netboot::{
    Because, Bios, BootAnswer, Config, Event, Files, HTTP_PORT, Images, MachineRequest, OneShot, OwnCable,
    Port, Server, StartError, State, Trouble,
};
use cairn_workflow::log::chain;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How soon an image that was built again is signed.
const SIGN_AGAIN: Duration = Duration::from_secs(20);
/// How soon it is tried again on a network that did not suit.
const AGAIN: Duration = Duration::from_secs(30);
/// The same when the network has changed, and it is known to what.
const SOON: Duration = Duration::from_secs(2);

/// The node image for every kind of machine that can start it. A BIOS gets it too, though it can't become a node: the
/// machine is seen then, and told what to do. There are no files for a Raspberry Pi's own boot loader.
fn images(arm64: bool) -> Images {
    let script = format!("{UKI}/boot.ipxe");
    Images {
        bios: Some(Bios { loader: PXE_LOADER.to_owned(), script }),
        arm64: arm64.then(|| image::served(Arch::Arm64, UKI)),
        ..Images::x64(UKI)
    }
}

/// What is served of the images, beside `others`.
fn shelf(others: Files, path: impl Fn(Arch, &str) -> PathBuf) -> Files {
    let of = |arch| image::files(arch).map(|name| (arch, name));
    let all = ARCHITECTURES
        .into_iter()
        .flat_map(of)
        .chain([PXE_LOADER, MEMORY_TEST].map(|name| (Arch::X86_64, name)));
    let files =
        all.fold(others, |files, (arch, name)| files.with(image::served(arch, name), path(arch, name)));
    files.with_uki(UKI, path(Arch::X86_64, UKI))
}

/// A machine whose disk holds a node starts from it; everyone else gets the node image.
fn answer(journal: &Journal, mac: &str, arm64: bool) -> BootAnswer {
    let installed = journal.macs.get(mac).is_some_and(|node| {
        // an installation that was cut off begins again from the network
        journal.approval_of(node).is_none_or(|(_, approval)| approval.installed)
    });
    if installed { BootAnswer::LocalDisk } else { BootAnswer::Discover(images(arm64)) }
}

pub async fn keep(core: Arc<Core>, wanted: Netboot) {
    let interface = wanted.interface.clone();
    loop {
        let way = match wanted.wish {
            Wish::OwnCable => Some(Way::OwnCable),
            Wish::HomeNetwork => Some(Way::HomeNetwork),
            Wish::Fitting => None,
        };
        core.network().netboot = BootView::Starting { interface: interface.clone(), way };
        let here = find(&interface).await;
        let ours = [core.book.file().cluster().manager_address(), wanted.cable_address];
        let way = match way {
            Some(way) => way,
            None => {
                way::choose(wanted.wish, server_answers(&core, here.as_ref()).await, here.as_ref(), &ours)
            }
        };
        core.network().netboot = BootView::Starting { interface: interface.clone(), way: Some(way) };
        let (reason, again) = match config(&core, &wanted, way, here.as_ref(), &ours).await {
            Some((config, address)) => serve(&core, config, address, &wanted, way).await,
            None => (
                "it has no address in this network: let the router give it one, or give it one by hand"
                    .to_owned(),
                AGAIN,
            ),
        };
        tracing::warn!(interface, reason, "network boot does not run");
        core.network().netboot = BootView::Refused { interface: interface.clone(), way, reason };
        sleep(again).await;
    }
}

async fn find(name: &str) -> Option<Interface> {
    let all = spawn_blocking(interface::list).await.ok()?.ok()?;
    all.into_iter().find(|it| it.name == name)
}

/// Whether another DHCP server answers there, or did while this manager ran.
async fn server_answers(core: &Core, interface: Option<&Interface>) -> bool {
    let Some(interface) = interface else { return false };
    if let Ok(Some(server)) = scan::dhcp(core, interface).await {
        core.network().heard(&interface.name, server, unix_now());
    }
    core.network().rivals.iter().any(|rival| rival.interface == interface.name)
}

/// What to serve, and from which address. `None`: there is none yet.
async fn config(
    core: &Core,
    wanted: &Netboot,
    way: Way,
    here: Option<&Interface>,
    ours: &[Ipv4Addr],
) -> Option<(Config, Ipv4Addr)> {
    let images = [core.image(Arch::X86_64).await.ok(), core.image(Arch::Arm64).await.ok()];
    let files = shelf(core.artifacts.files(), |arch, name| {
        let image = images.iter().flatten().find(|image| image.arch == arch);
        image.map_or_else(|| core.image_dir.join(image::served(arch, name)), |image| image.path(name))
    });
    match way {
        Way::OwnCable => {
            let lease_file = Some(core.book.work().leases());
            let cable = OwnCable { lease_file, ..OwnCable::slash24(wanted.cable_address) };
            Some((Config::own_cable(&wanted.interface, cable, files), wanted.cable_address))
        }
        Way::HomeNetwork => {
            let place = way::place(here?, ours)?;
            Some((Config::home_network(&wanted.interface, place, files), place.address))
        }
    }
}

/// Serves until that ends; why it did, and when to try again.
async fn serve(
    core: &Arc<Core>,
    config: Config,
    address: Ipv4Addr,
    wanted: &Netboot,
    way: Way,
) -> (String, Duration) {
    let interface = &wanted.interface;
    let weak: Weak<Core> = Arc::downgrade(core);
    let policy = move |machine: &MachineRequest| match weak.upgrade() {
        Some(core) => {
            let arm64 = image::is_there(&core.image_dir, Arch::Arm64);
            core.book.journal(|journal| answer(journal, &machine.mac.to_string(), arm64))
        }
        None => BootAnswer::Nothing,
    };
    next_boot::remember(core).await;
    let policy = OneShot::around(policy, Arc::clone(&core.wishes));
    // Where the owner left it to us, another DHCP server is no reason to wait: it only shows the other way.
    let changed = if wanted.wish == Wish::Fitting { SOON } else { AGAIN };
    let server = match Server::start(config, Arc::new(policy), Arc::clone(&core.story)).await {
        Ok(server) => server,
        Err(StartError::OtherServer { server, interface }) => {
            core.network().heard(&interface, server, unix_now());
            return (chain(&StartError::OtherServer { server, interface }), changed);
        }
        Err(error) => return (in_words(error).await, AGAIN),
    };
    {
        let mut network = core.network();
        if way == Way::OwnCable {
            // It started, so the wire was found without another server.
            network.alone(interface);
        }
        let base = format!("http://{address}:{HTTP_PORT}");
        network.netboot = BootView::Running { interface: interface.clone(), way, base };
    }
    let (mut state, troubles, events) = (server.state(), server.troubles(), server.events());
    let stopped = tokio::select! {
        stopped = state.wait_for(|state| matches!(state, State::Stopped { .. })) => stopped,
        never = show(core, troubles) => match never {},
        never = sign_again(core) => match never {},
        never = grant(core, events) => match never {},
    };
    core.network().boot_troubles.clear();
    match stopped.as_deref() {
        Ok(State::Stopped { because }) => match because {
            Because::ForeignServer { server, interface } => {
                core.network().heard(interface, *server, unix_now());
                (chain(because), changed)
            }
            Because::AddressGone { .. } => (chain(because), SOON),
            Because::Asked | Because::Failed { .. } => (chain(because), AGAIN),
        },
        Ok(State::Running) | Err(_) => ("it ended".to_owned(), AGAIN),
    }
}

/// The image may be built again while it is served.
async fn sign_again(core: &Core) -> Infallible {
    loop {
        sleep(SIGN_AGAIN).await;
        // what is wrong with it is said where it is used
        for arch in ARCHITECTURES {
            let _ = core.image(arch).await;
        }
    }
}

/// Sees to it that what a machine was to start once is over when it has started it.
async fn grant(core: &Core, mut events: broadcast::Receiver<Event>) -> Infallible {
    loop {
        match events.recv().await {
            Ok(event) => {
                core.wishes.see(&event);
                event.machine.inspect(|card| next_boot::granted(core, *card));
            }
            // Time ends a wish, too.
            Err(RecvError::Lagged(_)) => {}
            // Its end is told elsewhere.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Shows what the server can't do as it should.
async fn show(core: &Core, mut troubles: watch::Receiver<Vec<Trouble>>) -> Infallible {
    loop {
        core.network().boot_troubles = troubles.borrow_and_update().iter().map(Trouble::to_string).collect();
        if troubles.changed().await.is_err() {
            // Its end is told elsewhere.
            std::future::pending::<()>().await;
        }
    }
}

/// Why it did not start; of a port that is taken, by whom, and what frees it.
async fn in_words(error: StartError) -> String {
    let words = chain(&error);
    let StartError::Listen { what: Port { udp, number, .. }, .. } = error else { return words };
    let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
    let found = spawn_blocking(move || port::holders(&[(protocol, number)])).await.unwrap_or_default();
    let held: Vec<String> = found.iter().flatten().filter_map(held).collect();
    match held.is_empty() {
        true => words,
        false => format!("{words}; {}", held.join("; ")),
    }
}

fn held(holder: &Holder) -> Option<String> {
    let Holder { process, pid, ours, command, address } = holder;
    let command = command.as_ref().filter(|_| !ours)?;
    Some(match (process, pid) {
        (Some(process), Some(pid)) => {
            format!("{process} (process {pid}) holds it on {address}, and `{command}` frees it")
        }
        _ => format!("who holds it on {address} can't be seen from here; `{command}` names it"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::key;
    use crate::journal::{Approval, Way};
    use cairn_model::cluster::Name;

    #[test]
    fn who_holds_a_port_is_named_with_the_command_that_frees_it() {
        let holder = |process: Option<&str>, ours, command: &str| Holder {
            address: Ipv4Addr::UNSPECIFIED.into(),
            process: process.map(str::to_owned),
            pid: process.map(|_| 812),
            ours,
            command: Some(command.to_owned()),
        };
        let words = held(&holder(Some("dnsmasq"), false, "virsh net-destroy default")).unwrap();
        assert_eq!(
            words,
            "dnsmasq (process 812) holds it on 0.0.0.0, and `virsh net-destroy default` frees it"
        );
        assert!(held(&holder(None, false, "sudo ss -lunp")).unwrap().contains("`sudo ss -lunp` names it"));
        assert_eq!(held(&holder(Some("cairn"), true, "x")), None);
    }

    #[test]
    fn the_image_and_what_leads_to_it_are_served_under_the_names_that_are_handed_out() {
        let path = |arch, name: &str| PathBuf::from("/srv/image").join(image::served(arch, name));
        let (images, shelf) = (images(true), shelf(Files::new(), path));
        let bios = images.bios.unwrap();
        for name in [
            images.x64.unwrap(),
            images.arm64.unwrap(),
            bios.loader,
            bios.script,
            format!("{UKI}/linux"),
            MEMORY_TEST.to_owned(),
            format!("{UKI}/initrd"),
        ] {
            assert!(shelf.serves(&name), "{name}");
        }
    }

    #[test]
    fn only_an_installed_machine_is_sent_to_its_disk() {
        let node: Name = "compute-1".parse().unwrap();
        let mut journal = Journal::default();
        let discover = BootAnswer::Discover(images(false));
        assert_eq!(answer(&journal, "52:54:00:00:00:01", false), discover);
        journal.macs.insert("52:54:00:00:00:01".into(), node.clone());
        assert_eq!(answer(&journal, "52:54:00:00:00:01", false), BootAnswer::LocalDisk);
        let way = Way::Disk { id: "a".into(), wipe: false };
        journal.approve(key(1), Approval::new(node, way, None));
        assert_eq!(answer(&journal, "52:54:00:00:00:01", false), discover);
        journal.approvals.get_mut(&key(1)).unwrap().installed = true;
        assert_eq!(answer(&journal, "52:54:00:00:00:01", false), BootAnswer::LocalDisk);
    }
}
