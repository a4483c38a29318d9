//! Two machines with a cable between them: network namespaces with a veth pair, and the programs in them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

mod daemon;

pub use daemon::Daemon;

/// Longest wait for a virtual machine's firmware without hardware virtualisation.
pub const LONG: Duration = Duration::from_secs(60);
/// And for all of its way to a system, two at once, while other tests run.
pub const LONGEST: Duration = Duration::from_secs(300);
pub const SERVER: &str = "10.77.0.1";

/// The namespaces of one test. The name carries the process id, by which a later run knows those that a
/// crashed one left.
pub struct Cable {
    server: String,
    client: String,
}

impl Cable {
    pub fn new(test: &str) -> Self {
        clear_leftovers();
        let name = |end: &str| format!("cnb-{}-{test}-{end}", std::process::id());
        let cable = Self { server: name("s"), client: name("c") };
        let Self { server, client } = &cable;
        run("ip", &["netns", "add", server]);
        run("ip", &["netns", "add", client]);
        run(
            "ip",
            &[
                "link", "add", "eth0", "netns", server, "type", "veth", "peer", "name", "eth0", "netns",
                client,
            ],
        );
        for namespace in [server, client] {
            run("ip", &["-n", namespace, "link", "set", "lo", "up"]);
            run("ip", &["-n", namespace, "link", "set", "eth0", "up"]);
        }
        cable
    }

    /// Runs a program at the client's end until it ends.
    pub fn client(&self, words: &[&str]) -> Output {
        let mut all = vec!["netns", "exec", self.client.as_str(), "timeout", "60"];
        all.extend(words);
        Command::new("ip").args(all).stdin(Stdio::null()).output().unwrap()
    }

    /// The same, and it has to succeed.
    pub fn client_ok(&self, words: &[&str]) -> String {
        let output = self.client(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a program at the server's end.
    pub fn server(&self, words: &[impl AsRef<std::ffi::OsStr>]) -> Daemon {
        Daemon::start(&self.server, words)
    }

    /// Gives the client's end an address by hand.
    pub fn client_address(&self, address: &str) {
        run("ip", &["-n", &self.client, "addr", "add", address, "dev", "eth0"]);
    }

    /// The addresses of the server's end.
    pub fn server_addresses(&self) -> String {
        run("ip", &["-n", &self.server, "-4", "-o", "addr", "show", "dev", "eth0"])
    }

    pub fn server_address(&self, address: &str) {
        run("ip", &["-n", &self.server, "addr", "add", address, "dev", "eth0"]);
    }

    /// Starts the server under test; it is running once `running` was said.
    pub fn netbootd(&self, folder: &std::path::Path, more: &[&str]) -> Daemon {
        self.netbootd_on("eth0", folder, more)
    }

    /// The same on another interface of the server's end.
    pub fn netbootd_on(&self, interface: &str, folder: &std::path::Path, more: &[&str]) -> Daemon {
        self.netbootd_as(interface, SERVER, folder, more)
    }

    pub fn server_end(&self) -> &str {
        &self.server
    }

    /// The same with another address.
    pub fn netbootd_as(
        &self,
        interface: &str,
        address: &str,
        folder: &std::path::Path,
        more: &[&str],
    ) -> Daemon {
        let program = netbootd();
        let mut words = vec![program.to_str().unwrap(), interface, address, folder.to_str().unwrap()];
        words.extend(more);
        self.server(&words)
    }

    /// Starts a dnsmasq that plays a home router at the client's end.
    pub fn router(&self) -> Daemon {
        self.client_address("192.168.1.1/24");
        Daemon::start(&self.client, &dnsmasq("eth0"))
    }

    /// Starts such a router on a bridge at the server's end, on which `mgr0`, the interface with an address of
    /// its own, hangs too: as in the lab, and wherever virtual machines share the manager's machine.
    pub fn router_on_a_bridge_beside_us(&self) -> Daemon {
        let ip = |words: &str| {
            let mut all = vec!["-n", self.server.as_str()];
            all.extend(words.split(' '));
            run("ip", &all)
        };
        ip("link add br0 type bridge forward_delay 0");
        ip("link add mgr0 type veth peer name mgr0-port");
        ip("link set mgr0-port master br0");
        for link in ["br0", "mgr0", "mgr0-port"] {
            ip(&format!("link set {link} up"));
        }
        ip("addr add 192.168.1.1/24 dev br0");
        ip("addr add 10.87.3.1/24 dev mgr0");
        self.server(&dnsmasq("br0"))
    }
}

/// A house: the router with its switch at the client's end of the cable, and one more machine on the switch.
pub struct House {
    pub cable: Cable,
    machine: String,
}

/// The server's address in the house.
pub const HOME: &str = "192.168.1.2";

impl House {
    pub fn new(test: &str) -> Self {
        let cable = Cable::new(test);
        let machine = format!("cnb-{}-{test}-m", std::process::id());
        let (switch, server) = (cable.client.clone(), cable.server.clone());
        run("ip", &["netns", "add", &machine]);
        let ip = |namespace: &str, words: &str| {
            let mut all = vec!["-n", namespace];
            all.extend(words.split(' '));
            run("ip", &all);
        };
        ip(&switch, "link add br0 type bridge forward_delay 0");
        ip(&switch, &format!("link add port1 type veth peer name eth0 netns {machine}"));
        for link in ["br0", "port1"] {
            ip(&switch, &format!("link set {link} up"));
        }
        for port in ["eth0", "port1"] {
            ip(&switch, &format!("link set {port} master br0"));
        }
        ip(&switch, "addr add 192.168.1.1/24 dev br0");
        ip(&machine, "link set lo up");
        ip(&machine, "link set eth0 up");
        ip(&server, &format!("addr add {HOME}/24 dev eth0"));
        Self { cable, machine }
    }

    /// The router's DHCP server; it answers once `DHCP` was said.
    pub fn router(&self) -> Daemon {
        let router = Daemon::start(&self.cable.client, &dnsmasq("br0"));
        router.until("DHCP").unwrap();
        router
    }

    /// The same on the server's own machine.
    pub fn router_beside_us(&self) -> Daemon {
        let router = Daemon::start(&self.cable.server, &dnsmasq("eth0"));
        router.until("DHCP").unwrap();
        router
    }

    /// The server under test, and it runs.
    pub fn netbootd(&self, folder: &std::path::Path, more: &[&str]) -> Daemon {
        let server = self.start_netbootd(folder, more);
        server.until("running").unwrap();
        server
    }

    pub fn start_netbootd(&self, folder: &std::path::Path, more: &[&str]) -> Daemon {
        let program = netbootd();
        let mut words =
            vec![program.to_str().unwrap(), "eth0", HOME, folder.to_str().unwrap(), "--home", "true"];
        words.extend(more);
        self.cable.server(&words)
    }

    /// The same with an address that the interface need not have.
    pub fn start_netbootd_at(&self, address: &str, folder: &std::path::Path) -> Daemon {
        let (program, folder) = (netbootd(), folder.to_str().unwrap());
        self.cable.server(&[program.to_str().unwrap(), "eth0", address, folder, "--home", "true"])
    }

    /// Takes the server's address away.
    pub fn forget_address(&self) {
        run("ip", &["-n", &self.cable.server, "addr", "flush", "dev", "eth0"]);
    }

    /// Runs a program on the machine until it ends.
    pub fn machine(&self, words: &[&str]) -> Output {
        let mut all = vec!["netns", "exec", self.machine.as_str(), "timeout", "60"];
        all.extend(words);
        Command::new("ip").args(all).stdin(Stdio::null()).output().unwrap()
    }

    /// The same, and it has to succeed.
    pub fn machine_ok(&self, words: &[&str]) -> String {
        let output = self.machine(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Asks once as UEFI firmware with this card would, and does not follow the answer.
    pub fn discover_as(&self, mac: &str, arch: u16) {
        run("ip", &["-n", &self.machine, "link", "set", "eth0", "address", mac]);
        // It would take whichever offer comes first and ask for that; so none comes back.
        let deaf = "link set port1 type bridge_slave flood off bcast_flood off learning off";
        run("ip", &["-n", self.cable.client.as_str()].into_iter().chain(deaf.split(' ')).collect::<Vec<_>>());
        let class = format!("PXEClient:Arch:{arch:05}:UNDI:003001");
        let arch = format!("0x5d:{arch:04x}");
        let udhcpc =
            ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "1", "-T", "1", "-s", "/bin/true"];
        let mut words = vec!["netns", "exec", &self.machine];
        words.extend(udhcpc.iter().chain(&["-V", &class, "-x", &arch]));
        Command::new("ip").args(words).stdin(Stdio::null()).output().unwrap();
        run("ip", &["-n", &self.machine, "link", "set", "eth0", "down"]);
    }

    /// Asks for an address as the machine with this card would; `None` if it gets none.
    pub fn lease(&self, mac: &str, more: &[&str]) -> Option<String> {
        self.lease_on("eth0", mac, more)
    }

    /// The same on another interface.
    pub fn lease_on(&self, interface: &str, mac: &str, more: &[&str]) -> Option<String> {
        lease(&self.machine, interface, mac, more)
    }

    pub fn machine_end(&self) -> &str {
        &self.machine
    }

    /// A second interface of the server's end, `eth1`, with a cable to a machine of its own.
    pub fn cable_of_our_own(&self) -> Machine {
        let machine = Machine(format!("{}2", self.machine));
        run("ip", &["netns", "add", &machine.0]);
        let server = &self.cable.server;
        let plug = [
            "link", "add", "eth1", "netns", server, "type", "veth", "peer", "name", "eth0", "netns",
            &machine.0,
        ];
        run("ip", &plug);
        run("ip", &["-n", server, "link", "set", "eth1", "up"]);
        run("ip", &["-n", &machine.0, "link", "set", "eth0", "up"]);
        machine
    }

    /// One more machine on the switch.
    pub fn another(&self) -> Machine {
        let (switch, machine) = (self.cable.client.as_str(), Machine(format!("{}3", self.machine)));
        run("ip", &["netns", "add", &machine.0]);
        for words in [
            &format!("link add port2 type veth peer name eth0 netns {}", machine.0),
            "link set port2 up",
            "link set port2 master br0",
        ] {
            assert!(ip(switch, words).success(), "{words}");
        }
        run("ip", &["-n", &machine.0, "link", "set", "eth0", "up"]);
        machine
    }

    /// Makes the switch a relay between the machine's network, where it has `address`, and the server.
    pub fn relay(&self, address: &str, server: &str) -> Daemon {
        let switch = self.cable.client.as_str();
        for words in
            ["link set eth0 nomaster", "addr del 192.168.1.1/24 dev br0", "addr add 192.168.1.1/24 dev eth0"]
        {
            assert!(ip(switch, words).success(), "{words}");
        }
        assert!(ip(switch, &format!("addr add {address}/24 dev br0")).success());
        let relay = format!("--dhcp-relay={address},{server}");
        let words =
            ["dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--leasefile-ro"];
        let more = ["--log-facility=-", "--user=root", "--pid-file=", &relay];
        Daemon::start(switch, &words.into_iter().chain(more).collect::<Vec<_>>())
    }

    /// Another machine's address: the switch has it.
    pub fn neighbour(&self, address: &str) {
        run("ip", &["-n", &self.cable.client, "addr", "add", address, "dev", "br0"]);
    }

    /// Plugs a virtual machine's card, `tap0`, into the switch and starts a program beside it.
    pub fn virtual_machine(&self, words: &[String]) -> Daemon {
        let switch = self.cable.client.as_str();
        run("ip", &["-n", switch, "tuntap", "add", "tap0", "mode", "tap"]);
        run("ip", &["-n", switch, "link", "set", "tap0", "master", "br0", "up"]);
        Daemon::start(switch, words)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.machine]).status();
        forget_script(&self.machine);
    }
}

/// A machine on a cable of its own.
pub struct Machine(String);

impl Machine {
    pub fn lease(&self, mac: &str, more: &[&str]) -> Option<String> {
        lease(&self.0, "eth0", mac, more)
    }

    /// Starts a program there.
    pub fn start(&self, words: &[impl AsRef<std::ffi::OsStr>]) -> Daemon {
        Daemon::start(&self.0, words)
    }

    /// Runs a program there until it ends.
    pub fn run(&self, words: &[&str]) -> Output {
        let mut all = vec!["netns", "exec", self.0.as_str(), "timeout", "60"];
        all.extend(words);
        Command::new("ip").args(all).stdin(Stdio::null()).output().unwrap()
    }

    /// The same, and it has to succeed.
    pub fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
        forget_script(&self.0);
    }
}

/// Asks for an address by busybox's client, three times at most.
fn lease(namespace: &str, interface: &str, mac: &str, more: &[&str]) -> Option<String> {
    run("ip", &["-n", namespace, "link", "set", interface, "address", mac]);
    let script = "#!/bin/sh\n[ \"$1\" != bound ] || echo \"got $ip\"\n";
    let file = std::env::temp_dir().join(namespace);
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut words = vec!["netns", "exec", namespace, "busybox", "udhcpc", "-i", interface, "-n", "-q", "-f"];
    words.extend(["-t", "3", "-T", "1", "-s", file.to_str().unwrap()].iter().chain(more));
    let output = Command::new("ip").args(words).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().find_map(|line| line.strip_prefix("got ")).map(str::to_owned)
}

fn forget_script(namespace: &str) {
    let _ = std::fs::remove_file(std::env::temp_dir().join(namespace));
}

/// `ip` with these words in a namespace, which may fail.
pub fn ip(namespace: &str, words: &str) -> std::process::ExitStatus {
    Command::new("ip").args(["-n", namespace]).args(words.split(' ')).stderr(Stdio::null()).status().unwrap()
}

impl Drop for Cable {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// A home router's DHCP server.
fn dnsmasq(interface: &str) -> Vec<String> {
    let mut words: Vec<String> = [
        "dnsmasq",
        "--keep-in-foreground",
        "--port=0",
        "--bind-interfaces",
        "--dhcp-range=192.168.1.50,192.168.1.99,1h",
        "--conf-file=/dev/null",
        "--leasefile-ro",
        "--log-facility=-",
        "--no-ping",
        "--user=root",
        "--pid-file=",
    ]
    .map(str::to_owned)
    .into();
    words.push(format!("--interface={interface}"));
    words
}

fn clear_leftovers() {
    let listed = run("ip", &["netns", "list"]);
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let process = name.strip_prefix("cnb-").and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| !PathBuf::from(format!("/proc/{id}")).exists()) {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn netbootd() -> PathBuf {
    example("netbootd")
}

/// An example beside the tests: Cargo builds examples with them but does not tell where.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(program.exists(), "run `cargo test -p cairn-netboot`, which builds {}", program.display());
    program
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?} (these tests need root): {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
