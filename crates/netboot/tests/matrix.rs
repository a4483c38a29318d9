//! Every kind of firmware that an emulator has, on a cable of our own and beside a router's DHCP server (dnsmasq), up to
//! the first line of the agent in the real node image; arm64 up to an EFI program where its image was not made (`make
//! arm64`, which takes too long for every run).
//! Needs root, iproute2, dnsmasq, busybox, what `make setup` puts below `.state/tools`, and the image that `make image` makes;
//! `CAIRN_CELLS=seabios` runs those whose name contains that.
//!
//! Not here: OVMF by PXE on a cable of our own, which is how the lab's compute nodes start; and a PXE ROM that is not
//! iPXE, of which none may be passed on. In its place a packet asks as such a ROM does and has to be told the loader; the
//! loader is then fetched and started by iPXE (`ipxe.lkrn`), and drives the card through that one's PXE interface as it
//! would through a ROM's.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the server
mod common;
#[path = "common/machine.rs"]
mod machine;

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{HOME, House, LONGEST, SERVER};
use machine::{Firmware, MAC, qemu, state};

/// What the agent says first on the serial console.
const AGENT: &str = "cairn: this machine belongs to no cluster yet";
/// What the arm64 EFI program says first, and what it is called.
const PROGRAM: &str = "iPXE initialising devices";
const IPXE_ARM64: &str = "ipxe-arm64.efi";
const IMAGE_ARM64: &str = "cairn-arm64.efi";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Cable,
    Home,
}

/// The longest first: two run at once.
const CELLS: [(Firmware, Network); 13] = [
    (Firmware::Undionly, Network::Cable),
    (Firmware::Undionly, Network::Home),
    (Firmware::IpxeEfi, Network::Cable),
    (Firmware::IpxeEfi, Network::Home),
    (Firmware::OvmfHttp, Network::Cable),
    (Firmware::OvmfHttp, Network::Home),
    (Firmware::OvmfPxe, Network::Home),
    (Firmware::SeaBios, Network::Cable),
    (Firmware::SeaBios, Network::Home),
    (Firmware::AavmfPxe, Network::Cable),
    (Firmware::AavmfPxe, Network::Home),
    (Firmware::AavmfHttp, Network::Cable),
    (Firmware::AavmfHttp, Network::Home),
];

/// What the server has to tell it.
fn told(firmware: Firmware) -> String {
    let arm64 = arm64();
    match firmware {
        Firmware::SeaBios | Firmware::Undionly | Firmware::IpxeEfi => {
            ":4280/cairn.efi/boot.ipxe\"".to_owned()
        }
        Firmware::OvmfPxe => "\"boot\":\"cairn.efi\"".to_owned(),
        Firmware::OvmfHttp => ":4280/cairn.efi\"".to_owned(),
        Firmware::AavmfPxe => format!("\"boot\":\"{arm64}\""),
        Firmware::AavmfHttp => format!(":4280/{arm64}\""),
    }
}

/// What an arm64 machine gets.
fn arm64() -> &'static str {
    if arm64_image().exists() { IMAGE_ARM64 } else { IPXE_ARM64 }
}

fn arm64_image() -> PathBuf {
    state().join("image/arm64/cairn.efi")
}

/// What is handed out: the real image, and the real loader.
fn served(folder: &Path) -> PathBuf {
    let (served, ipxe) = (folder.join("served"), state().join("tools/debian13/usr/lib/ipxe"));
    fs::create_dir(&served).unwrap();
    let image = state().join("image/cairn.efi");
    assert!(image.exists(), "there is no node image: run `make image`");
    symlink(image, served.join("cairn.efi")).unwrap();
    for name in ["undionly.kpxe", IPXE_ARM64] {
        symlink(ipxe.join(name), served.join(name)).unwrap();
    }
    if arm64_image().exists() {
        symlink(arm64_image(), served.join(IMAGE_ARM64)).unwrap();
    }
    served
}

fn run(firmware: Firmware, network: Network) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let house = House::new(&format!("{firmware:?}{network:?}").to_lowercase());
    let served = served(folder.path());
    let more = ["--arm64", arm64()];
    let router = (network == Network::Home).then(|| house.router());
    let (server, address) = match network {
        Network::Home => (house.netbootd(&served, &more), HOME),
        Network::Cable => (house.cable.netbootd(&served, &more), SERVER),
    };
    if network == Network::Cable {
        server.until("running").unwrap();
    }
    if firmware == Firmware::Undionly {
        house.discover_as("52:54:00:00:77:02", 0);
        server.until("\"boot\":\"undionly.kpxe\"").unwrap();
    }
    let began = Instant::now();
    let machine = house.virtual_machine(&qemu(firmware, address, folder.path()));
    if firmware == Firmware::Undionly {
        let fetched = server.within(LONGEST, "\"fetch_started\"").unwrap();
        assert!(fetched.contains("undionly.kpxe") && fetched.contains(MAC), "{fetched}");
    }
    server.within(LONGEST, &told(firmware)).unwrap();
    server.within(LONGEST, "\"fetch_done\"").unwrap();
    let wanted = if firmware.is_arm64() && arm64() == IPXE_ARM64 { PROGRAM } else { AGENT };
    let serial = folder.path().join("serial");
    let said = || String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
    while !said().contains(wanted) {
        assert!(began.elapsed() < LONGEST, "{wanted:?} did not come; the console's end: {:?}", end(&said()));
        std::thread::sleep(Duration::from_millis(250));
    }
    drop((machine, router));
    began.elapsed()
}

fn end(text: &str) -> String {
    let skipped = text.chars().count().saturating_sub(1500);
    text.chars().skip(skipped).collect()
}

#[test]
#[ignore = "needs the node image, and minutes: `make scenarios` runs it"]
fn every_kind_of_firmware_reaches_its_next_stage_on_a_cable_of_our_own_and_beside_a_router() {
    let filter = std::env::var("CAIRN_CELLS").unwrap_or_default().to_lowercase();
    let name = |(firmware, network): (Firmware, Network)| format!("{firmware:?} {network:?}").to_lowercase();
    let chosen: VecDeque<_> = CELLS.into_iter().filter(|cell| name(*cell).contains(&filter)).collect();
    let (cells, failed) = (Mutex::new(chosen), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(cell) = cells.lock().unwrap().pop_front() else { break };
            match catch_unwind(AssertUnwindSafe(|| run(cell.0, cell.1))) {
                Ok(took) => println!("ok {} ({} s)", name(cell), took.as_secs()),
                Err(_) => {
                    println!("FAILED {}", name(cell));
                    failed.lock().unwrap().push(name(cell));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?}");
}
