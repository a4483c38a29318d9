//! Clusters to look at and to test with. Everything that a machine can say is hostile in [`hostile`].

use super::media::MediaView;
use crate::api::{
    ClusterStatus, DiskStatus, EtcdMemberStatus, EtcdStatus, JobStatus, LanStatus, MachineStatus, MediumKind,
    MediumState, MediumStatus, NetworkStatus, NextBoot, NodeStatus, NodeVitals, Status,
};
use crate::feed::{Feed, Item};
use crate::network::types::{
    DhcpServer, FetchStatus, FoundMachine, InterfaceStatus, Mode, NetworkReport, PortStatus, ScanReport,
    StoryLine, WireMachine,
};
use cairn_artifacts as artifacts;
use cairn_artifacts::Pin;
use cairn_host::interface::Kind;
use cairn_host::port::{Holder, Protocol};
use cairn_host::serial::Adapter;
use cairn_host::usb_boot::WaitingBoard;
use cairn_model::cluster::{Name, Role};
use cairn_model::etcd::{EtcdVitals, WriteLatency};
use cairn_model::inventory::{Cpu, Disk, DiskContent, Firmware, Inventory, Product};
use cairn_model::phase::{Condition, Phase};
use cairn_model::vitals::{Service, ServiceState, Space, Vitals};
use cairn_netboot::Stage;
use cairn_vault::file::{ClusterFile, Entry, Passphrase};
use cairn_workflow as workflow;
use cairn_workflow::{Plan, Row, RowState, Step, What};
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

#[cfg(test)]
pub mod hostile;

pub fn disk(id: &str, size_gb: u64, content: DiskContent) -> Disk {
    let (model, serial) = id.split_once('_').unwrap_or((id, "S1"));
    Disk {
        id: id.into(),
        kernel_name: "sda".into(),
        model: model.trim_start_matches("nvme-").trim_start_matches("ata-").replace('-', " "),
        serial: serial.into(),
        size_bytes: size_gb * 1_000_000_000,
        rotational: id.starts_with("ata-WDC"),
        removable: id.starts_with("usb-"),
        started_from: false,
        content,
    }
}

fn inventory(cpu: &str, memory_mib: u64, disks: Vec<Disk>) -> Inventory {
    Inventory {
        firmware: Firmware::Uefi { secure_boot: false },
        architecture: "x86_64".into(),
        product: Product::default(),
        cpu: Cpu { model: cpu.into(), cores: 4, aes: memory_mib > 1024 },
        memory_mib,
        disks,
        interfaces: Vec::new(),
    }
}

fn machine(number: u8, product: &str, inventory: Inventory) -> MachineStatus {
    MachineStatus {
        id: hex::encode([number; 32]),
        short_id: hex::encode([number; 4]),
        phase: Phase::Discovered,
        claims: None,
        code: Some(format!("{number}{number}{number}-{number}42")),
        approved: false,
        waits_for_disk: false,
        inventory: Some(inventory),
        product: product.into(),
        suggested: Some("compute-2".into()),
        suggested_because: Some("7800 MiB of memory and 4 cores can run applications".into()),
        unfit: None,
        refused: None,
        next_boot: None,
    }
}

pub fn node(number: u8, name: &str, role: Role, phase: Phase) -> NodeStatus {
    let there = !matches!(phase, Phase::Absent);
    let held = DiskContent::Holds("Cairn".into());
    NodeStatus {
        name: name.into(),
        role,
        phase,
        conditions: Vec::new(),
        address: Ipv4Addr::new(10, 83, 12, 10 + number),
        enrolled: there,
        encrypted: there,
        unlocked: phase == Phase::Running,
        memory_used: if there { (190 + u64::from(number) * 31) << 20 } else { 0 },
        agent_resident: 9 << 20,
        version: there.then(|| "0.1.0+3f9a1c72".into()),
        inventory: there.then(|| match role {
            Role::Etcd => inventory("Cortex-A53", 480, vec![disk("mmc-SC32G_0x1234", 31, held.clone())]),
            _ => inventory(
                "Intel Core i5-8500T",
                15_890,
                vec![
                    disk("nvme-Samsung-SSD-980_S64ANS0T123456", 500, held.clone()),
                    disk("ata-WDC-WD40EFAX_WD-WX12D1234567", 4000, DiskContent::Blank),
                ],
            ),
        }),
        job: None,
        next_boot: None,
        vitals: there.then(|| NodeVitals {
            told: Vitals {
                uptime_seconds: 400_000,
                load_hundredths: [31, 20, 12],
                data: Some(Space { total: 28 << 30, free: 19 << 30 }),
                services: vec![Service {
                    unit: if role == Role::Etcd { "cairn-etcd.service" } else { "k3s.service" }.into(),
                    state: ServiceState::Active,
                    detail: "running".into(),
                }],
                data_written: Some(16 << 30),
                etcd: (role == Role::Etcd && phase == Phase::Running).then_some(EtcdVitals {
                    drive: Some(WriteLatency { median_us: 2_300, p99_us: 31_000, slowest_us: 411_000 }),
                    log_p99_us: Some(32_000),
                    round_trip_p99_us: Some(3_200),
                    database: 21 << 20,
                    database_in_use: 17 << 20,
                    leader_changes: 1,
                    peers: 2,
                }),
                ..Vitals::default()
            },
            clock_offset_seconds: 1,
        }),
    }
}

fn installing(tick: u64) -> JobStatus {
    let total = 1_503_238_553;
    let done = (tick * 37_000_000).min(total);
    let row = |id: &str, title: &str, state| Row {
        id: id.into(),
        title: title.into(),
        state,
        progress: (id == "copy").then_some((done, total)),
        note: (id == "copy").then(|| "attempt 2: the connection broke".into()),
    };
    let rows = vec![
        row("approve", "Approve the machine", RowState::Done),
        row("certificates", "Issue its certificates and write it into the cluster file", RowState::Done),
        row("table", "Write the partition table", RowState::Done),
        row("copy", "Copy the system", RowState::Running),
        row("encrypt", "Encrypt the data partition (LUKS2)", RowState::Waiting),
        row("restart", "Restart from its disk", RowState::Waiting),
        row("unlock", "Unlock it", RowState::Waiting),
        row("running", "Running", RowState::Waiting),
    ];
    JobStatus { job: "install".into(), rows, seconds_left: Some((total - done) / 37_000_000) }
}

fn etcd(members: &[(&str, Option<&str>)]) -> EtcdStatus {
    let members: Vec<EtcdMemberStatus> = members
        .iter()
        .map(|(name, error)| EtcdMemberStatus {
            name: (*name).into(),
            id: None,
            peer_url: None,
            healthy: error.is_none(),
            error: error.map(str::to_owned),
        })
        .collect();
    EtcdStatus { healthy: members.iter().filter(|member| member.healthy).count(), members }
}

fn cluster(nodes: Vec<NodeStatus>, machines: Vec<MachineStatus>, etcd: EtcdStatus) -> Status {
    let unhealthy_because = crate::health::missing(&nodes, &etcd);
    Status {
        power: None,
        cluster: ClusterStatus {
            name: "home".into(),
            generation: 7,
            stored: Some(5),
            ask_to_store: true,
            manager_address: None,
        },
        nodes,
        machines,
        etcd,
        network: NetworkStatus {
            mode: "own_cable".into(),
            state: "running".into(),
            message: "Network boot runs on eth1, a cable of its own.".into(),
            address_error: None,
        },
        healthy: unhealthy_because.is_empty(),
        unhealthy_because,
    }
}

/// In the middle of the first evening; `tick` seconds of it.
pub fn evening(tick: u64) -> Status {
    let mut third = node(2, "etcd-3", Role::Etcd, Phase::Unreachable);
    third.conditions.push(Condition::waiting("last attempt: connection refused"));
    third.next_boot = Some(NextBoot::MemoryTest);
    let mut compute = node(3, "compute-1", Role::Compute, Phase::Installing);
    compute.job = Some(installing(tick));
    let mut running = node(0, "etcd-1", Role::Etcd, Phase::Running);
    let done = installing(0).rows.into_iter().map(|row| Row { state: RowState::Done, note: None, ..row });
    running.job = Some(JobStatus { job: "install".into(), rows: done.collect(), seconds_left: None });
    let nodes = vec![
        running,
        node(1, "etcd-2", Role::Etcd, Phase::Locked),
        third,
        compute,
        node(4, "compute-2", Role::Compute, Phase::Absent),
        node(5, "backup-1", Role::Backup, Phase::Absent),
    ];
    let photos = DiskContent::Holds("GPT with 2 partitions: EFI system, ext4 'family <photos>'".into());
    let big = vec![
        disk("ata-WDC_WD40EFAX-68JH4N1_WD-WX12D1234567", 4000, photos),
        disk("nvme-Samsung-SSD-980_S64ANS0T123456", 500, DiskContent::Blank),
    ];
    let stick = Disk {
        started_from: true,
        ..disk("usb-SanDisk-Ultra_4C530001", 31, DiskContent::Holds("Cairn".into()))
    };
    let mut late = machine(5, "Raspberry Pi Zero 2 W", inventory("Cortex-A53", 480, vec![stick]));
    late.code = None;
    late.claims = Some("etcd-3".into());
    late.refused = Some("its join key ended on 12 November; prepare its medium again".into());
    let two = ["nvme-Samsung-SSD-970_S5H9NS0N1", "nvme-Samsung-SSD-970_S5H9NS0N2"];
    let two = two.map(|id| disk(id, 500, DiskContent::Blank)).to_vec();
    let mut by_stick = machine(6, "DELL OptiPlex 3060", inventory("Intel Core i3-8100T", 7_890, two));
    (by_stick.code, by_stick.claims, by_stick.waits_for_disk) = (None, Some("compute-2".into()), true);
    by_stick.refused = Some("no disk was named, and more than one would do".into());
    by_stick.next_boot = Some(NextBoot::Rescue);
    let machines = vec![
        machine(3, "LENOVO ThinkCentre M720q", inventory("Intel Core i5-8500T", 15_890, big)),
        machine(
            4,
            "HP EliteDesk 800 G4",
            inventory(
                "Intel Core i5-8500",
                7_890,
                vec![disk("nvme-WDC-PC-SN520_19083A", 256, DiskContent::Blank)],
            ),
        ),
        by_stick,
        late,
    ];
    let members =
        [("etcd-1", None), ("etcd-2", Some("it is locked")), ("etcd-3", Some("connection refused"))];
    cluster(nodes, machines, etcd(&members))
}

/// Nothing to do.
pub fn calm() -> Status {
    let mut nodes: Vec<NodeStatus> = (0..3)
        .map(|number| node(number, &format!("etcd-{}", number + 1), Role::Etcd, Phase::Running))
        .collect();
    nodes.extend((3..6).map(|number| {
        let mut node = node(number, &format!("compute-{}", number - 2), Role::Compute, Phase::Running);
        node.conditions.push(Condition::waiting("waiting for artifact k3s v1.33.1+k3s1"));
        node
    }));
    cluster(nodes, Vec::new(), etcd(&[("etcd-1", None), ("etcd-2", None), ("etcd-3", None)]))
}

/// A file and no machine.
pub fn new() -> Status {
    let mut nodes: Vec<NodeStatus> = (0..3)
        .map(|number| node(number, &format!("etcd-{}", number + 1), Role::Etcd, Phase::Absent))
        .collect();
    nodes.push(node(3, "compute-1", Role::Compute, Phase::Absent));
    cluster(nodes, Vec::new(), EtcdStatus::default())
}

/// A hundred nodes.
pub fn hundred() -> Status {
    let nodes = (0..100).map(|number| {
        let (name, role) = match number {
            0..3 => (format!("etcd-{}", number + 1), Role::Etcd),
            _ => (format!("compute-{}", number - 2), Role::Compute),
        };
        let phase = match number % 23 {
            7 => Phase::Locked,
            13 => Phase::Unreachable,
            17 => Phase::Starting,
            _ => Phase::Running,
        };
        node(number, &name, role, phase)
    });
    cluster(nodes.collect(), Vec::new(), etcd(&[("etcd-1", None), ("etcd-2", None), ("etcd-3", None)]))
}

/// What is seen on the wire in the meantime.
pub fn wire() -> NetworkReport {
    let machine = |mac: &str, stuck: bool, diagnosis: &str| WireMachine {
        mac: mac.into(),
        node: None,
        runs_cairn: !stuck,
        architecture: Some("x86-64 UEFI".into()),
        seconds_ago: Some(12),
        address: Some(Ipv4Addr::new(10, 83, 12, 203)),
        fetch: Some(FetchStatus {
            file: "cairn.efi".into(),
            via: "TFTP".into(),
            bytes: 41 << 20,
            size: 96 << 20,
        }),
        stage: Stage::AddressOnly,
        stuck,
        diagnosis: diagnosis.into(),
        story: vec![StoryLine {
            unix_millis: 1_763_848_800_000,
            text: "asked for an address and a program".into(),
        }],
    };
    let libvirt = Holder {
        address: Ipv4Addr::UNSPECIFIED.into(),
        process: Some("dnsmasq of libvirt's network 'default'".into()),
        pid: Some(812),
        ours: false,
        command: Some("virsh net-destroy default".into()),
    };
    let port = |port, purpose: &str, holders| PortStatus {
        protocol: Protocol::Udp,
        port,
        purpose: purpose.into(),
        holders,
    };
    NetworkReport {
        mode: Mode::OwnCable,
        sentence: "Network boot runs on eth1, a cable of its own: machines there may be switched on.".into(),
        hidden: None,
        interfaces: vec![InterfaceStatus {
            name: "eth1".into(),
            kind: Kind::Wired,
            up: true,
            mac: Some("52:54:00:1a:2b:3c".into()),
            addresses: vec!["10.83.12.1/24".into()],
            gateway: None,
            used_for: vec!["network boot".into()],
        }],
        dhcp_servers: vec![DhcpServer {
            interface: "eth0".into(),
            address: Ipv4Addr::new(192, 168, 1, 1),
            mac: None,
            seconds_ago: 300,
        }],
        ports: vec![port(67, "handing out addresses", vec![libvirt]), port(69, "TFTP", Vec::new())],
        machines: vec![
            machine(
                "52:54:00:aa:00:01",
                true,
                "It asked for an address only and starts from its own disk: switch network boot on in its firmware and put it first.",
            ),
            machine("52:54:00:aa:00:02", false, "It runs Cairn and waits to be approved."),
        ],
        last_scan: Some(ScanReport {
            interface: "eth0".into(),
            networks: vec!["192.168.1.20/24".into()],
            machines: vec![FoundMachine {
                address: Ipv4Addr::new(192, 168, 1, 31),
                mac: "b8:27:eb:11:22:33".into(),
                name: Some("printer.local".into()),
                node: None,
                runs_cairn: false,
            }],
            dhcp_servers: Vec::new(),
            troubles: Vec::new(),
            unix_seconds: 1_763_848_800,
        }),
        troubles: Vec::new(),
    }
}

/// The page is on two networks.
pub fn lan() -> LanStatus {
    let pairs: Vec<String> = (0..32_u8).map(|at| format!("{:02X}", at.wrapping_mul(57))).collect();
    LanStatus {
        on: true,
        pages: vec!["https://192.168.1.5:4243".into(), "https://192.168.178.20:4243".into()],
        fingerprint: Some(pairs.join(":")),
        problems: Vec::new(),
    }
}

pub fn adapters() -> Vec<Adapter> {
    let adapter = |name: &str, problem: Option<&str>| Adapter {
        name: name.into(),
        device: format!("/dev/{name}").into(),
        problem: problem.map(str::to_owned),
    };
    let used = "it is in use by minicom (process 812); end that first";
    vec![adapter("usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0", None), adapter("ttyUSB1", Some(used))]
}

pub fn media() -> MediaView {
    let disk = |id: &str, product: &str, gb: u64, refused: Option<&str>| DiskStatus {
        id: id.into(),
        product: product.into(),
        size: gb * 1_000_000_000,
        refused: refused.map(str::to_owned),
    };
    let medium = |node: Name, state| MediumStatus {
        id: format!("0b6cf1e5-{node}"),
        node,
        kind: MediumKind::Sd,
        sha256: "ab".repeat(32),
        expires: 1_764_453_600,
        state,
        used_by: None,
    };
    MediaView {
        disks: vec![
            disk("sdc", "SanDisk Ultra USB 3.0", 31, None),
            disk("sda", "Samsung SSD 870 EVO", 1000, Some("It is not removable.")),
        ],
        boards: vec![WaitingBoard {
            port: "1-2".into(),
            models: "Raspberry Pi Zero 2 W, 3A+ or Compute Module 3".into(),
            advice: "its boot ROM runs, so the board is alive, and found nothing to start from on its card. Write that card anew, or another one, put it in, and give the board power again".into(),
        }],
        media: ["backup-1", "etcd-1"]
            .into_iter()
            .zip([MediumState::Good, MediumState::Used])
            .filter_map(|(node, state)| Some(medium(node.parse().ok()?, state)))
            .collect(),
        jobs: vec![("backup-1".into(), JobStatus { job: "write medium".into(), ..installing(9) })],
    }
}

pub fn artifacts() -> Vec<artifacts::pull::Item> {
    use artifacts::store::State;
    let item = |name: &str, arch, state| artifacts::pull::Item {
        pin: Pin {
            name: name.into(),
            version: "v1.33.1+k3s1".into(),
            arch,
            url: format!("https://example.org/{name}/v1.33.1%2Bk3s1/{name}-{arch}"),
            checksums: None,
            sum: None,
            size: None,
        },
        state,
    };
    vec![
        item("k3s", artifacts::Arch::Amd64, State::There { size: 73 << 20 }),
        item("k3s", artifacts::Arch::Arm64, State::Missing { partial: 12 << 20 }),
        item("k3s-images", artifacts::Arch::Amd64, State::Damaged),
        item("netboot-xyz", artifacts::Arch::Amd64, State::NotLocked),
    ]
}

/// Of a new cluster.
pub fn entry() -> Option<Entry> {
    let passphrase = Passphrase::new("brisk otter lantern quarry velvet maple signal").ok()?;
    let file = ClusterFile::new("home".parse().ok()?, 3, 1, 0).ok()?;
    Some(Entry::new(file.seal(&passphrase).ok()?, &passphrase))
}

/// What the jobs told, of which one failed.
pub fn events() -> Vec<Item> {
    let feed = Feed::new(SystemTime::now());
    let steps = vec![
        Step::new("copy", "Copy the system"),
        Step::new("encrypt", "Encrypt the data partition (LUKS2)"),
    ];
    let whats = [
        What::Planned { plan: Plan::new("install", "compute-1", steps) },
        What::Retried { step: "copy".into(), attempt: 2, reason: "the connection broke".into() },
        What::Done { step: "copy".into() },
        What::Failed { step: "encrypt".into(), error: "no space <left>".into() },
    ];
    for (number, what) in (1..).zip(whats) {
        feed.push("compute-1".into(), workflow::Event { number, what });
    }
    feed.after(0)
}

pub fn log_entry(at: Duration, number: u64) -> serde_json::Value {
    let texts = [
        "raft: leader is etcd-1",
        "<b>not bold</b>: a machine may write what it likes",
        "compaction took 12 ms",
    ];
    let index = usize::try_from(number % 3).unwrap_or_default();
    serde_json::json!({
        "time_us": (1_763_848_800 + at.as_secs()) * 1_000_000,
        "unit": "cairn-etcd.service",
        "identifier": "etcd",
        "priority": if number % 7 == 3 { 3 } else { 6 },
        "message": texts.get(index),
    })
}
