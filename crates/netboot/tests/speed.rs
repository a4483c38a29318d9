//! How fast the server is beside those that others would take: dnsmasq for DHCP and TFTP, nginx for HTTP. All get the
//! same load over the same cable, in turns, and what is printed is a table as `docs/benchmarks.md` has it. Needs root,
//! iproute2, dnsmasq, nginx and the image that `make image` makes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the server
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{Cable, Daemon, SERVER, example, ip};
use serde_json::Value;
use sha2::{Digest, Sha256};

const CLIENTS: [u16; 3] = [1, 10, 100];
/// The middle one is taken: other work on the machine disturbs one, seldom two.
const ROUNDS: usize = 3;
const SECONDS: &str = "2";
/// Blocks at once, as OVMF asks for.
const WINDOW: &str = "4";
const FILE: &str = "cairn.efi";

/// What is measured, in the order of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Measure {
    Dhcp,
    First,
    Tftp,
    TftpWindow,
    Http,
    Memory,
    MemoryDhcpTftp,
    MemoryHttp,
}

#[derive(Default)]
struct Table(BTreeMap<(Measure, u16, bool), Vec<f64>>);

impl Table {
    fn add(&mut self, measure: Measure, clients: u16, ours: bool, value: f64) {
        self.0.entry((measure, clients, ours)).or_default().push(value);
    }

    fn middle(&self, measure: Measure, clients: u16, ours: bool) -> f64 {
        let mut values = self.0[&(measure, clients, ours)].clone();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn print(&self) {
        use Measure::*;
        println!("| what | clients | ours | theirs | ours to theirs |\n|---|---|---|---|---|");
        let rows = [
            ("DHCP, exchanges a second (dnsmasq)", Dhcp, Dhcp, 0, ""),
            ("a first address, until the last client has it (dnsmasq)", First, First, 2, " s"),
            ("TFTP, block by block (dnsmasq)", Tftp, Tftp, 1, " MB/s"),
            ("TFTP, four blocks at once (dnsmasq, block by block)", TftpWindow, Tftp, 1, " MB/s"),
            ("HTTP (nginx)", Http, Http, 0, " MB/s"),
            ("most memory, all of ours (dnsmasq)", Memory, MemoryDhcpTftp, 1, " MB"),
            ("most memory, all of ours (nginx with its workers)", Memory, MemoryHttp, 1, " MB"),
        ];
        for (what, own, other, digits, unit) in rows {
            for clients in CLIENTS {
                let (own, other) = (self.middle(own, clients, true), self.middle(other, clients, false));
                let ratio = own / other;
                println!(
                    "| {what} | {clients} | {own:.digits$}{unit} | {other:.digits$}{unit} | {ratio:.2} |"
                );
            }
        }
    }
}

struct Bench {
    cable: Cable,
    folder: tempfile::TempDir,
    table: Table,
}

impl Bench {
    fn new() -> Self {
        let cable = Cable::new("speed");
        for number in 2..102 {
            cable.client_address(&format!("10.77.0.{number}/24"));
        }
        let folder = tempfile::tempdir().unwrap();
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.state/image/cairn.efi");
        assert!(image.exists(), "there is no node image: run `make image`");
        fs::create_dir(folder.path().join("served")).unwrap();
        symlink(image.canonicalize().unwrap(), folder.path().join("served").join(FILE)).unwrap();
        Self { cable, folder, table: Table::default() }
    }

    fn served(&self) -> String {
        self.folder.path().join("served").display().to_string()
    }

    fn load(&self, words: &[&str]) -> Value {
        let program = example("netload");
        let all: Vec<&str> = [program.to_str().unwrap()].into_iter().chain(words.iter().copied()).collect();
        serde_json::from_str(&self.cable.client_ok(&all)).unwrap()
    }

    fn dhcp(&mut self, clients: u16, ours: bool) {
        let answer = self.load(&["dhcp", &clients.to_string(), SECONDS]);
        let number = |name: &str| answer[name].as_f64().unwrap();
        self.table.add(Measure::Dhcp, clients, ours, number("exchanges") / number("seconds"));
        self.table.add(Measure::First, clients, ours, number("first_seconds"));
    }

    fn fetch(&mut self, measure: Measure, clients: u16, ours: bool) {
        let count = clients.to_string();
        let answer = match measure {
            Measure::Tftp => self.load(&["tftp", SERVER, FILE, &count, SECONDS, "0"]),
            Measure::TftpWindow => self.load(&["tftp", SERVER, FILE, &count, SECONDS, WINDOW]),
            _ => self.load(&["http", web(ours), FILE, &count, SECONDS]),
        };
        let speed = answer["bytes"].as_f64().unwrap() / answer["seconds"].as_f64().unwrap() / 1e6;
        self.table.add(measure, clients, ours, speed);
    }

    /// What arrives is the file.
    fn is_whole(&self, fetch: &[&str]) {
        let bytes = fs::read(self.folder.path().join("served").join(FILE)).unwrap();
        let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let words: Vec<&str> = ["sum"].into_iter().chain(fetch.iter().copied()).collect();
        assert_eq!(self.load(&words)["sha256"], sum, "{fetch:?}");
    }

    fn ours(&mut self, clients: u16, check: bool) {
        let more = ["--pool", "10.77.0.128-10.77.0.250", "--wait", "0.3", "--quiet", "true"];
        let server = self.cable.netbootd(Path::new(&self.served()), &more);
        server.until("running").unwrap();
        self.dhcp(clients, true);
        for measure in [Measure::Tftp, Measure::TftpWindow, Measure::Http] {
            self.fetch(measure, clients, true);
        }
        self.table.add(Measure::Memory, clients, true, megabytes(server.memory_of_all_kib()));
        if check {
            self.is_whole(&["tftp", SERVER, FILE, "0"]);
            self.is_whole(&["tftp", SERVER, FILE, WINDOW]);
            self.is_whole(&["http", web(true), FILE]);
        }
        server.stop();
    }

    fn dnsmasq(&mut self, clients: u16, check: bool) {
        let root = format!("--tftp-root={}", self.served());
        let words = [
            "dnsmasq --keep-in-foreground --port=0 --conf-file=/dev/null --interface=eth0 --bind-interfaces",
            "--dhcp-range=10.77.0.128,10.77.0.250,1h --dhcp-boot=cairn.efi --leasefile-ro --enable-tftp",
            "--tftp-max=200 --quiet-dhcp --quiet-tftp --log-facility=- --user=root --pid-file=",
            &root,
        ];
        let server = self.theirs(&words.join(" "), "TFTP root");
        self.dhcp(clients, false);
        self.fetch(Measure::Tftp, clients, false);
        self.table.add(Measure::MemoryDhcpTftp, clients, false, megabytes(server.memory_of_all_kib()));
        if check {
            self.is_whole(&["tftp", SERVER, FILE, "0"]);
        }
        self.end(server);
    }

    fn nginx(&mut self, clients: u16, check: bool) {
        let folder = self.folder.path();
        let spare = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/{name};", folder.display()));
        let config = format!(
            "daemon off; user root; worker_processes auto; pid {0}/pid; error_log stderr notice;
            events {{ worker_connections 1024; }}
            http {{ access_log off; sendfile on; {1} server {{ listen {SERVER}:80; root {2}; }} }}",
            folder.display(),
            spare.join(" "),
            self.served(),
        );
        let path = folder.join("nginx.conf");
        fs::write(&path, config).unwrap();
        let server = self.theirs(&format!("nginx -e stderr -c {}", path.display()), "start worker process");
        self.fetch(Measure::Http, clients, false);
        self.table.add(Measure::MemoryHttp, clients, false, megabytes(server.memory_of_all_kib()));
        if check {
            self.is_whole(&["http", web(false), FILE]);
        }
        self.end(server);
    }

    /// Starts another's server, which does not give the interface its address.
    fn theirs(&self, words: &str, ready: &str) -> Daemon {
        self.cable.server_address(&format!("{SERVER}/24"));
        let server = self.cable.server(&words.split(' ').collect::<Vec<_>>());
        server.until(ready).unwrap();
        server
    }

    fn end(&self, server: Daemon) {
        server.terminate();
        assert!(ip(self.cable.server_end(), "addr flush dev eth0").success());
    }
}

fn web(ours: bool) -> &'static str {
    if ours { "10.77.0.1:4280" } else { "10.77.0.1:80" }
}

fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

#[test]
#[ignore = "measures, and takes minutes: `make bench` runs it"]
fn the_server_beside_those_that_others_would_take() {
    let mut bench = Bench::new();
    for round in 0..ROUNDS {
        for clients in CLIENTS {
            let check = round == 0 && clients == 1;
            bench.ours(clients, check);
            bench.dnsmasq(clients, check);
            bench.nginx(clients, check);
        }
    }
    bench.table.print();
}
