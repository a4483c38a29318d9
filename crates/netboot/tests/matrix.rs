//! Every kind of firmware that an emulator has, on a cable of our own and beside a router's DHCP server (dnsmasq), up to
//! the first line of the agent in the real node image; arm64, for which there is no image yet, up to an EFI program.
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

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{HOME, House, LONGEST, SERVER};

const MAC: &str = "52:54:00:00:77:01";
/// What the agent says first on the serial console.
const AGENT: &str = "cairn: this machine belongs to no cluster yet";
/// What the arm64 EFI program says first.
const PROGRAM: &str = "iPXE initialising devices";
const ARM64: &str = "ipxe-arm64.efi";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firmware {
    /// SeaBIOS with QEMU's option ROM, which is iPXE.
    SeaBios,
    /// The loader for a PXE ROM.
    Undionly,
    OvmfPxe,
    OvmfHttp,
    /// Debian's `ipxe.efi`, started from a disk by OVMF.
    IpxeEfi,
    AavmfPxe,
    AavmfHttp,
}

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

impl Firmware {
    fn is_arm64(self) -> bool {
        matches!(self, Self::AavmfPxe | Self::AavmfHttp)
    }

    /// What the server has to tell it.
    fn told(self) -> &'static str {
        match self {
            Self::SeaBios | Self::Undionly | Self::IpxeEfi => ":4280/cairn.efi/boot.ipxe\"",
            Self::OvmfPxe => "\"boot\":\"cairn.efi\"",
            Self::OvmfHttp => ":4280/cairn.efi\"",
            Self::AavmfPxe => "\"boot\":\"ipxe-arm64.efi\"",
            Self::AavmfHttp => ":4280/ipxe-arm64.efi\"",
        }
    }
}

fn state() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.state")
}

/// The machine's words; a card, and what starts it.
fn qemu(firmware: Firmware, server: &str, folder: &Path) -> Vec<String> {
    let (tools, ipxe) = (state().join("tools/qemu"), state().join("tools/debian13/usr/lib/ipxe"));
    let (program, machine, code) = match firmware.is_arm64() {
        true => ("qemu-system-aarch64", "virt", "AAVMF"),
        false => ("qemu-system-x86_64", "q35", "OVMF"),
    };
    let program = tools.join(program);
    assert!(program.exists(), "there is no {}: run `make setup`", program.display());
    let mut groups = vec![
        program.display().to_string(),
        // With the most that the emulator knows: AAVMF finds its random numbers in the processor.
        format!(
            "-nodefaults -no-user-config -display none -machine {machine},accel=tcg -cpu max -m 512 -smp 1"
        ),
        "-netdev tap,id=n,ifname=tap0,script=no,downscript=no".into(),
        "-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r".into(),
        format!("-serial file:{}", folder.join("serial").display()),
    ];
    let card = |more: &str| format!("-device virtio-net-pci,netdev=n,mac={MAC}{more}");
    match firmware {
        Firmware::SeaBios => groups.push(card(",bootindex=1")),
        Firmware::Undionly => {
            let script = folder.join("script");
            fs::write(&script, format!("#!ipxe\ndhcp\nchain tftp://{server}/undionly.kpxe\n")).unwrap();
            groups.push(card(",romfile="));
            let (kernel, initrd) = (ipxe.join("ipxe.lkrn"), script.display());
            groups.push(format!("-kernel {} -initrd {initrd}", kernel.display()));
        }
        Firmware::IpxeEfi => {
            let boot = folder.join("disk/EFI/BOOT");
            fs::create_dir_all(&boot).unwrap();
            fs::copy(ipxe.join("ipxe-amd64.efi"), boot.join("BOOTX64.EFI")).unwrap();
            let disk = folder.join("disk");
            groups.push(card(",romfile="));
            groups.push(format!("-drive file=fat:{},format=raw,if=none,id=d,readonly=on", disk.display()));
            groups.push("-device virtio-blk-pci,drive=d,bootindex=0".into());
        }
        Firmware::OvmfPxe | Firmware::OvmfHttp | Firmware::AavmfPxe | Firmware::AavmfHttp => {
            // Without a ROM it is the firmware's own driver.
            groups.push(card(",romfile=,bootindex=1"));
        }
    }
    if !matches!(firmware, Firmware::SeaBios | Firmware::Undionly) {
        let variables = folder.join("variables.fd");
        fs::copy(tools.join(format!("{code}_VARS.fd")), &variables).unwrap();
        let code = tools.join(format!("{code}_CODE.fd"));
        let flash = |unit: &str, path: &Path| {
            format!("-drive if=pflash,format=raw,unit={unit},file={}", path.display())
        };
        groups.push(flash("0,readonly=on", &code));
        groups.push(flash("1", &variables));
        // Or it tries PXE over IPv6 for a minute first.
        groups.push("-fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n".into());
    }
    if matches!(firmware, Firmware::OvmfHttp | Firmware::AavmfHttp) {
        groups.push("-fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n".into());
    }
    groups.iter().flat_map(|group| group.split(' ')).map(str::to_owned).collect()
}

/// What is handed out: the real image, and the real loader.
fn served(folder: &Path) -> PathBuf {
    let (served, ipxe) = (folder.join("served"), state().join("tools/debian13/usr/lib/ipxe"));
    fs::create_dir(&served).unwrap();
    let image = state().join("image/cairn.efi");
    assert!(image.exists(), "there is no node image: run `make image`");
    symlink(image, served.join("cairn.efi")).unwrap();
    for name in ["undionly.kpxe", ARM64] {
        symlink(ipxe.join(name), served.join(name)).unwrap();
    }
    served
}

fn run(firmware: Firmware, network: Network) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let house = House::new(&format!("{firmware:?}{network:?}").to_lowercase());
    let served = served(folder.path());
    let more = ["--arm64", ARM64];
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
    server.within(LONGEST, firmware.told()).unwrap();
    server.within(LONGEST, "\"fetch_done\"").unwrap();
    let wanted = if firmware.is_arm64() { PROGRAM } else { AGENT };
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
