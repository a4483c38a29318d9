//! OVMF in QEMU, booting beside a router's DHCP server (dnsmasq), in network namespaces of its own. Needs root,
//! iproute2, dnsmasq and the tools that `make setup` puts below `.state/tools`.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the server
mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

/// QEMU's own protocol: what a person's eyes and hands would do.
struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn open(socket: &Path) -> Self {
        let began = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < LONG, "QEMU's monitor: {error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let mut monitor = Self(BufReader::new(stream));
        monitor.line(); // its greeting
        monitor.tell(serde_json::json!({"execute": "qmp_capabilities"}));
        monitor
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "QEMU ended");
        line
    }

    fn tell(&mut self, command: serde_json::Value) {
        writeln!(self.0.get_mut(), "{command}").unwrap();
        // events come in between
        while !self.line().contains("\"return\"") {}
    }

    /// Which part of the screen is of a blue that stands out.
    fn blue(&mut self, picture: &Path) -> f64 {
        self.tell(serde_json::json!({"execute": "screendump", "arguments": {"filename": picture}}));
        let bytes = fs::read(picture).unwrap();
        // PPM: a line each with its kind, its size and its depth
        let body = bytes.splitn(4, |&byte| byte == b'\n').nth(3).unwrap();
        let pixels = body.as_chunks::<3>().0;
        let is_blue = |&&[red, green, blue]: &&[u8; 3]| blue > 100 && red < 50 && green < 50;
        #[allow(clippy::cast_precision_loss)] // of a share
        let share = pixels.iter().filter(is_blue).count() as f64 / pixels.len() as f64;
        share
    }
}

#[test]
fn ovmf_starts_a_memory_test_once_and_at_its_next_power_on_what_is_usual() {
    let (tools, folder) = (tools(), tempfile::tempdir().unwrap());
    let served = folder.path().join("served");
    fs::create_dir(&served).unwrap();
    let program = tools.join("debian13/boot/memtest86+x64.efi");
    fs::copy(&program, served.join("memtest.efi")).unwrap();
    let house = House::new("once");
    let _router = house.router();
    let server = house.netbootd(&served, &["--disk", MAC, "--once", &format!("{MAC}=memtest.efi")]);
    let (socket, picture) = (folder.path().join("qmp"), folder.path().join("screen.ppm"));
    let monitor = format!("unix:{},server=on,wait=off", socket.display());
    let _machine = house.virtual_machine(&qemu(&tools, folder.path(), &["-device", "VGA", "-qmp", &monitor]));
    server.within(LONG, "\"boot\":\"memtest.efi\"").unwrap();
    let done = server.within(LONG, "\"fetch_done\"").unwrap();
    assert!(done.contains(MAC), "{done}");
    let (mut monitor, began) = (Monitor::open(&socket), Instant::now());
    // Its screen is blue all over, and the firmware's own is black.
    while monitor.blue(&picture) < 0.5 {
        assert!(began.elapsed() < LONG, "the memory test's screen did not come");
        std::thread::sleep(Duration::from_millis(250));
    }
    monitor.tell(serde_json::json!({"execute": "system_reset"}));
    server.within(LONG, "\"dhcp_left_to_disk\"").unwrap();
}
