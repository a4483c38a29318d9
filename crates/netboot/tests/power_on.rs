//! How long a machine with OVMF takes from power-on, start of QEMU included, to its kernel: with this server, and with
//! what others would take, dnsmasq and a chain of iPXE. Needs root, iproute2, dnsmasq, what `make setup` puts below
//! `.state/tools`, and the image that `make image` makes.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the server
mod common;
#[path = "common/machine.rs"]
#[allow(dead_code)] // made for every kind of firmware
mod machine;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Daemon, House, LONGEST, SERVER};
use machine::{Firmware, qemu, state};

/// What the kernel's loader says when it has all that it needs.
const KERNEL: &str = "EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path";

#[derive(Clone, Copy)]
enum By {
    OurTftp,
    OurHttp,
    /// dnsmasq, which gives iPXE's EFI build and then a script; the image comes by its TFTP.
    DnsmasqIpxe,
    /// The same without a look whether somebody has the address.
    DnsmasqIpxeNoPing,
}

fn served(folder: &Path) -> std::path::PathBuf {
    let served = folder.join("served");
    fs::create_dir(&served).unwrap();
    let (image, ipxe) = (state().join("image/cairn.efi"), state().join("tools/debian13/usr/lib/ipxe"));
    assert!(image.exists(), "there is no node image: run `make image`");
    for (from, name) in [(image, "cairn.efi"), (ipxe.join("ipxe-amd64.efi"), "ipxe.efi")] {
        symlink(from.canonicalize().unwrap(), served.join(name)).unwrap();
    }
    let script = format!("#!ipxe\nkernel tftp://{SERVER}/cairn.efi\nboot\n");
    fs::write(served.join("boot.ipxe"), script).unwrap();
    served
}

fn dnsmasq(house: &House, root: &Path, ping: bool) -> Daemon {
    house.cable.server_address(&format!("{SERVER}/24"));
    let root = format!("--tftp-root={}", root.display());
    let mut words = vec!["dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null"];
    words.extend(["--interface=eth0", "--bind-interfaces", "--dhcp-range=10.77.0.128,10.77.0.250,1h"]);
    words.extend(["--dhcp-userclass=set:ipxe,iPXE", "--dhcp-boot=tag:!ipxe,ipxe.efi"]);
    words.extend(["--dhcp-boot=tag:ipxe,boot.ipxe", "--leasefile-ro", "--enable-tftp", &root]);
    words.extend(["--log-facility=-", "--user=root", "--pid-file="]);
    words.extend((!ping).then_some("--no-ping"));
    let server = house.cable.server(&words);
    server.until("TFTP root").unwrap();
    server
}

fn run(name: &str, by: By) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let house = House::new(name);
    let served = served(folder.path());
    let server = match by {
        By::OurTftp | By::OurHttp => {
            let server = house.cable.netbootd(&served, &["--wait", "0.3"]);
            server.until("running").unwrap();
            server
        }
        By::DnsmasqIpxe => dnsmasq(&house, &served, true),
        By::DnsmasqIpxeNoPing => dnsmasq(&house, &served, false),
    };
    let firmware = if matches!(by, By::OurHttp) { Firmware::OvmfHttp } else { Firmware::OvmfPxe };
    let words = qemu(firmware, SERVER, folder.path());
    let began = Instant::now();
    let machine = house.virtual_machine(&words);
    let serial = folder.path().join("serial");
    let said = || String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
    while !said().contains(KERNEL) {
        assert!(began.elapsed() < LONGEST, "{name}: no kernel; the console said {:?}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let took = began.elapsed();
    drop((machine, server));
    took
}

#[test]
#[ignore = "needs the node image, and minutes: `make bench` runs it"]
fn from_power_on_to_the_kernel_beside_what_others_would_take() {
    let ways = [
        ("ptftp", "OVMF, the image by TFTP from ours", By::OurTftp),
        ("phttp", "OVMF, the image by HTTP from ours", By::OurHttp),
        ("pipxe", "OVMF, iPXE and the image by TFTP from dnsmasq", By::DnsmasqIpxe),
        ("pnoping", "the same, dnsmasq told not to ping first", By::DnsmasqIpxeNoPing),
    ];
    println!("| power-on to kernel | seconds |\n|---|---|");
    for (name, what, by) in ways {
        println!("| {what} | {:.1} |", run(name, by).as_secs_f64());
    }
}
