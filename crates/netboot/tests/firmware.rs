//! OVMF in QEMU, booting beside a router's DHCP server (dnsmasq), in network namespaces of its own. Needs root,
//! iproute2, dnsmasq and the tools that `make setup` puts below `.state/tools`.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the server
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{House, LONG};

/// The machine's card.
const MAC: &str = "52:54:00:00:77:01";

fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.state/tools");
    assert!(tools.join("qemu/qemu-system-x86_64").exists(), "there is no QEMU: run `make setup`");
    tools
}

fn qemu(tools: &Path, folder: &Path, switches: &[&str]) -> Vec<String> {
    let variables = folder.join("variables.fd");
    fs::copy(tools.join("qemu/OVMF_VARS.fd"), &variables).unwrap();
    let flash =
        |readonly: &str, path: &Path| format!("if=pflash,format=raw,unit={readonly},file={}", path.display());
    let fixed = [
        tools.join("qemu/qemu-system-x86_64").display().to_string(),
        "-nodefaults -no-user-config -display none -machine q35,accel=tcg -cpu max -m 256 -smp 1".into(),
        format!("-drive {}", flash("0,readonly=on", &tools.join("qemu/OVMF_CODE.fd"))),
        format!("-drive {}", flash("1", &variables)),
        "-netdev tap,id=n,ifname=tap0,script=no,downscript=no".into(),
        format!("-device virtio-net-pci,netdev=n,mac={MAC},bootindex=1"),
        // A source of random numbers: OVMF's network stack refuses to start without one.
        "-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r".into(),
        // Or it tries PXE over IPv6 for a minute first.
        "-fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n".into(),
        "-serial stdio".into(),
    ];
    let fixed = fixed.iter().flat_map(|group| group.split(' ')).map(str::to_owned);
    fixed.chain(switches.iter().map(|&word| word.to_owned())).collect()
}

/// Boots once, perhaps after the machine was on the wire before and did not follow. The server has to offer what
/// is `expected`; back comes its word that all was fetched.
fn boot(test: &str, switches: &[&str], asked_before: bool, expected: &str) -> String {
    let tools = tools();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("served")).unwrap();
    // Enough for several windows of TFTP. It is fetched and then refused, since it is no program.
    fs::write(folder.path().join("served/cairn.efi"), [b"MZ".as_slice(), &[0; 100_000]].concat()).unwrap();
    let house = House::new(test);
    let _router = house.router();
    let server = house.netbootd(&folder.path().join("served"), &[]);
    if asked_before {
        house.discover_as(MAC, 7);
        // who comes back sooner has not had the time to follow
        std::thread::sleep(Duration::from_millis(2500));
    }
    let _machine = house.virtual_machine(&qemu(&tools, folder.path(), switches));
    server.within(LONG, expected).unwrap();
    if asked_before {
        // An offer, and after it the acknowledgement of the question on port 4011.
        assert!(server.within(LONG, expected).unwrap().contains("\"ack\""));
    }
    server.within(LONG, "fetch_done").unwrap()
}

#[test]
fn ovmf_fetches_by_pxe_what_is_offered_beside_a_router() {
    let done = boot("pxe", &[], false, "\"style\":\"in_offer\"");
    assert!(done.contains(MAC), "the address that the router gave is known to be this machine's: {done}");
}

#[test]
fn ovmf_asks_on_port_4011_when_it_came_back_without_having_followed_the_offer() {
    let done = boot("pxe4011", &[], true, "\"style\":\"on4011\"");
    assert!(done.contains(MAC), "{done}");
}

#[test]
fn ovmf_fetches_by_http_what_is_offered_beside_a_router() {
    let http = ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"];
    let done = boot("http", &http, false, "http://192.168.1.2:4280/cairn.efi");
    assert!(done.contains(MAC), "{done}");
}
