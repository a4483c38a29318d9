//! The real manager in a home network: `--netboot` finds the router (dnsmasq), and machines are told what to start
//! beside it. In network namespaces of its own; needs root, iproute2, busybox, curl and dnsmasq.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests, where Clippy does not see the test

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const CAIRN: &str = env!("CARGO_BIN_EXE_cairn");
const PATIENCE: Duration = Duration::from_secs(60);

/// Two machines with a cable between them: the manager's, and the router.
struct House {
    manager: String,
    router: String,
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words} (this test needs root): {output:?}");
}

impl House {
    fn new() -> Self {
        let name = |end: &str| format!("cnh-{}-{end}", std::process::id());
        let house = Self { manager: name("m"), router: name("r") };
        let Self { manager, router } = &house;
        ip(&format!("netns add {manager}"));
        ip(&format!("netns add {router}"));
        ip(&format!("link add eth0 netns {manager} type veth peer name eth0 netns {router}"));
        for (namespace, address) in [(manager, "192.168.1.2/24"), (router, "192.168.1.1/24")] {
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} link set eth0 up"));
            ip(&format!("-n {namespace} addr add {address} dev eth0"));
        }
        house
    }

    fn command(namespace: &str, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).args(words).stdin(Stdio::null());
        command
    }

    fn run(namespace: &str, words: &[&str]) -> Output {
        Self::command(namespace, words).output().unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for namespace in [&self.manager, &self.router] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_manager_finds_the_router_and_tells_machines_beside_it_what_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, pass, work, token) = (path("home.cairn"), path("pass"), path("work"), path("work/token"));
    fs::write(&pass, "stone pile marks the long way back home\n").unwrap();
    fs::create_dir(path("image")).unwrap();
    fs::write(path("image/cairn.efi"), "0123456789abcdef").unwrap();
    let made = Command::new(CAIRN)
        .args(["file", "new", "--name", "home", "--passphrase-file", &pass, &file])
        .output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");

    let house = House::new();
    let dnsmasq = "dnsmasq --keep-in-foreground --port=0 --bind-interfaces --interface=eth0 --conf-file=/dev/null \
                   --dhcp-range=192.168.1.50,192.168.1.99,1h --leasefile-ro --no-ping --user=root --pid-file=";
    let dnsmasq: Vec<&str> = dnsmasq.split_whitespace().collect();
    let _router = Running(House::command(&house.router, &dnsmasq).stderr(Stdio::null()).spawn().unwrap());
    let manager = [
        CAIRN,
        "manager",
        "--file",
        &file,
        "--passphrase-file",
        &pass,
        "--work",
        &work,
        "--image",
        &path("image"),
        "--netboot",
        "eth0",
    ];
    let log = fs::File::create(path("log")).unwrap();
    let manager =
        House::command(&house.manager, &manager).stdout(log.try_clone().unwrap()).stderr(log).spawn();
    let _manager = Running(manager.unwrap());

    let network = || {
        let said = House::run(&house.manager, &[CAIRN, "network", "--json", "--token-file", &token]);
        serde_json::from_slice::<serde_json::Value>(&said.stdout).unwrap_or_default()
    };
    let until = |what: &str, fine: &dyn Fn(&serde_json::Value) -> bool| {
        let end = Instant::now() + PATIENCE;
        loop {
            let report = network();
            if fine(&report) {
                return report;
            }
            let log = fs::read_to_string(path("log")).unwrap_or_default();
            assert!(Instant::now() < end, "no {what}: {report:#} {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    let sentence = |report: &serde_json::Value| report["sentence"].as_str().unwrap_or_default().to_owned();
    let report = until("network boot", &|report| sentence(report).contains("runs on eth0 beside the router"));
    assert_eq!(report["mode"], "home_network");
    assert_eq!(report["dhcp_servers"][0]["address"], "192.168.1.1");

    // As firmware asks; the answer has no address, and udhcpc is not content with it.
    let firmware = "busybox udhcpc -i eth0 -n -q -f -t 1 -T 1 -s /bin/true -V PXEClient:Arch:00007:UNDI:003001 -x 0x5d:0007";
    House::run(&house.router, &firmware.split(' ').collect::<Vec<_>>());
    let report = until("answer", &|report| report["machines"][0]["stage"] == "told");
    let diagnosis = report["machines"][0]["diagnosis"].as_str().unwrap().to_owned();
    assert!(diagnosis.contains("told to fetch cairn.efi"), "{diagnosis}");

    // From the interface's own address, which machines reach with an address of the router's.
    let fetched = House::run(&house.router, &["curl", "-sS", "http://192.168.1.2:4280/cairn.efi"]);
    assert_eq!(fetched.stdout, b"0123456789abcdef", "{fetched:?}");
    let told = House::run(&house.manager, &[CAIRN, "network", "--token-file", &token]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("UDP 4011") && !told.contains("UDP 67"), "{told}");
}
