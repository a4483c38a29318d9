//! Real machines, as far as their firmware: it speaks on the serial console and asks the network for an address.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use cairn_lab::{
    CheckpointKind, DiskSpec, ExecError, ExecLimits, Lab, LabError, Machine, MachineSpec, ProcessSpec,
    Subnet, WriteLimit,
};

const PATIENCE: Duration = Duration::from_secs(60);
const SLOW: WriteLimit = WriteLimit { writes: 770, bytes: 10_000_000 };

fn subnet(third: u8) -> Subnet {
    let address = |last| Ipv4Addr::new(10, 211, third, last);
    Subnet { router: address(1), prefix: 24, first: address(100), last: address(150) }
}

fn netbooted(name: &str) -> MachineSpec {
    MachineSpec::netboot(name, 256).with_disk(DiskSpec::blank("disk", 64 << 20))
}

/// The firmware has been offered an address by the router on this bridge.
fn wait_for_offer(lab: &Lab, bridge: &str, mac: &str) {
    let log = lab.process_log(&format!("dnsmasq-{bridge}"));
    wait_for_text(&log, &format!("DHCPOFFER({bridge})"), mac);
}

fn wait_for_text(file: &Path, one: &str, other: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.lines().any(|line| line.contains(one) && line.contains(other)) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "no {one} and {other} in {text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How many writes a second QEMU says that it lets a disk have once it is limited.
fn limited(machine: &Machine<'_>, disk: &str) -> u64 {
    machine.limit_writes(disk, SLOW).unwrap();
    let blocks = machine.control(|qmp| qmp.execute("query-block", serde_json::json!({}))).unwrap();
    let node = format!("node-{disk}");
    let inserted = blocks.as_array().unwrap().iter().filter_map(|block| block.get("inserted"));
    let mut of_disk = inserted.filter(|inserted| inserted.get("node-name").unwrap() == node.as_str());
    of_disk.next().unwrap().get("iops_wr").unwrap().as_u64().unwrap()
}

#[test]
fn a_machine_boots_its_firmware_asks_the_router_on_its_bridge_and_goes_on_from_a_checkpoint() {
    let dir = common::Scratch::new();
    let state = dir.path().join("lab");
    let spec = netbooted("one");
    let mac = spec.mac();
    let lab = Lab::create(&state, common::tools(), &common::spec(vec![spec])).unwrap();
    lab.start_dnsmasq("cable", subnet(1)).unwrap();
    lab.add_bridge("home").unwrap();
    lab.start_dnsmasq("home", subnet(2)).unwrap();
    let one = lab.machine("one").unwrap();
    assert!(!one.is_on());
    assert!(matches!(one.reset(), Err(LabError::Off { .. })));

    one.power_on().unwrap();
    wait_for_offer(&lab, "cable", &mac);
    let heard = one.wait_for_console(0, "PXE", PATIENCE).unwrap();

    // Another process that opens the lab acts on the same machine.
    let other = Lab::open(&state).unwrap();
    other.machine("one").unwrap().move_to("home").unwrap();
    one.reset().unwrap();
    wait_for_offer(&lab, "home", &mac);
    let heard = one.wait_for_console(heard.end, "PXE", PATIENCE).unwrap();

    one.plug_disk(&DiskSpec::blank("later", 64 << 20)).unwrap();
    for disk in ["disk", "later"] {
        assert_eq!(limited(&one, disk), 770);
    }
    assert!(matches!(one.limit_writes("none", SLOW), Err(LabError::NoSuchDisk { .. })));
    one.disk_to_raw("disk", &dir.path().join("disk.raw")).unwrap();
    assert_eq!(std::fs::metadata(dir.path().join("disk.raw")).unwrap().len(), 64 << 20);

    let extra = dir.path().join("extra");
    std::fs::create_dir(&extra).unwrap();
    std::fs::write(extra.join("note"), "kept").unwrap();
    let checkpoint = dir.path().join("checkpoint");
    let saved = lab.checkpoint_save(&checkpoint, &[("extra", &extra)]).unwrap();
    assert_eq!(saved.reason, None);
    assert_eq!(saved.kind, CheckpointKind::Running);
    assert!(one.is_on());
    assert!(matches!(lab.checkpoint_save(&checkpoint, &[]), Err(LabError::CheckpointExists { .. })));

    let (second, back) = (dir.path().join("second"), dir.path().join("back"));
    let copy = Lab::checkpoint_restore(&second, common::tools(), &checkpoint, &[("extra", &back)]).unwrap();
    assert_eq!(std::fs::read_to_string(back.join("note")).unwrap(), "kept");
    let twin = copy.machine("one").unwrap();
    assert_eq!(twin.state().unwrap().bridge, "home");
    twin.reset().unwrap();
    wait_for_offer(&copy, "home", &mac);
    twin.wait_for_console(heard.end, "PXE", PATIENCE).unwrap();
    one.cut().unwrap();
    assert!(twin.is_on() && !one.is_on());

    copy.destroy().unwrap();
    lab.destroy().unwrap();
    assert!(!common::namespaces().contains(lab.namespace().name()));
    assert!(!common::namespaces().contains(copy.namespace().name()));
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
    lab.destroy().unwrap();
}

#[test]
fn a_machine_without_a_way_in_says_so_and_one_that_does_not_answer_is_not_waited_for_for_ever() {
    let dir = common::Scratch::new();
    let machines = vec![netbooted("shut"), netbooted("mute").with_exec()];
    let lab = Lab::create(dir.path(), common::tools(), &common::spec(machines)).unwrap();
    let limits = ExecLimits { answer: Duration::from_secs(1), ..ExecLimits::default() };
    let refused = |machine: &Machine<'_>| machine.exec(&["true"], limits).unwrap_err();

    let shut = lab.machine("shut").unwrap();
    assert!(matches!(refused(&shut), LabError::Exec(ExecError::NotInjected { .. })));
    let mute = lab.machine("mute").unwrap();
    assert!(matches!(refused(&mute), LabError::Off { .. }));
    mute.power_on().unwrap();
    assert!(matches!(refused(&mute), LabError::Exec(ExecError::NoAnswer { .. })));
    assert!(matches!(lab.machine("nobody"), Err(LabError::NoSuchMachine { .. })));
    lab.destroy().unwrap();
}

#[test]
fn a_machine_with_an_nvme_drive_is_checkpointed_by_its_disks_alone() {
    let dir = common::Scratch::new();
    let spec = MachineSpec::netboot("one", 256)
        .with_disk(DiskSpec::blank("drive", 64 << 20).on(cairn_lab::DiskBus::Nvme));
    let lab = Lab::create(&dir.path().join("lab"), common::tools(), &common::spec(vec![spec])).unwrap();
    let one = lab.machine("one").unwrap();
    one.power_on().unwrap();
    assert_eq!(limited(&one, "drive"), 770);
    let before = one.process().unwrap();
    let saved = lab.checkpoint_save(&dir.path().join("checkpoint"), &[]).unwrap();
    assert_eq!(saved.kind, CheckpointKind::Disks);
    assert!(saved.reason.unwrap().contains("nvme"));
    assert_ne!(one.process().unwrap(), before);
    lab.destroy().unwrap();
}

#[test]
fn a_machine_whose_qemu_refuses_says_why() {
    let dir = common::Scratch::new();
    let mut spec = netbooted("one");
    spec.cpu = "no-such-cpu".into();
    let lab = Lab::create(dir.path(), common::tools(), &common::spec(vec![spec])).unwrap();
    let error = lab.machine("one").unwrap().power_on().unwrap_err();
    assert!(error.to_string().contains("no-such-cpu"), "{error}");
    lab.destroy().unwrap();
}

#[test]
fn a_program_inside_serves_a_socket_that_the_host_made() {
    let dir = common::Scratch::new();
    let lab = Lab::create(dir.path(), common::tools(), &common::spec(Vec::new())).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = "import os, socket\n\
        assert os.environ['LISTEN_FDS'] == '1' and os.environ['LISTEN_PID'] == str(os.getpid())\n\
        connection, _ = socket.socket(fileno=3).accept()\n\
        connection.sendall(os.listdir('/sys/class/net').__contains__('mgr0') and b'inside' or b'outside')\n";
    let spec = ProcessSpec::new("server", ["python3", "-c", script]).with_listener(listener);
    let identity = lab.spawn(spec).unwrap();
    let mut answer = String::new();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert_eq!(answer, "inside");
    assert!(identity.wait_gone(PATIENCE));
    assert_eq!(lab.process("server"), None);

    lab.spawn(ProcessSpec::new("sleeper", ["sleep", "1000"])).unwrap();
    assert!(lab.spawn(ProcessSpec::new("sleeper", ["sleep", "1000"])).is_err());
    lab.stop("sleeper", Duration::from_secs(5)).unwrap();
    lab.stop("sleeper", Duration::from_secs(5)).unwrap();
    assert_eq!(lab.process("sleeper"), None);
    lab.destroy().unwrap();
}
