//! `cairn lab up`: from empty disks to a healthy cluster, as an owner would do it.

use super::agents::{self, identity};
use super::paths::Paths;
use super::{client, down, manager, media, raspberry_pi};
use crate::client::Client;
use crate::exit;
use crate::progress::Board;
use crate::wifi::WifiArguments;
use crate::{node, note, private, say};
use anyhow::{Context, Result, bail};
use cairn_lab::{DiskSpec, Lab, LabSpec, MachineKind, MachineSpec, Tools, preflight};
use cairn_manager::api::{ApproveRequest, MachineStatus, MediumBoard, MediumRequest, Status};
use cairn_model::address::{FIRST_NODE_NUMBER, LAST_NODE_NUMBER};
use cairn_model::cluster::{Name, Role};
use cairn_model::phase::Phase;
use cairn_model::static_address::StaticAddress;
use cairn_model::wifi::Wifi;
use cairn_vault::file::{ClusterFile, Passphrase, disk};
use ipnet::Ipv4Net;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const POLL: Duration = Duration::from_secs(1);
/// What bringing a cluster up may take before the lab calls it stuck.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
const GIB: u64 = 1 << 30;
/// As many as were measured.
const MOST_SIMULATED: i64 = 100;

/// Arguments of `cairn lab up`.
#[derive(Debug, clap::Args)]
pub struct UpArguments {
    /// How many machines keep the cluster's state (started from prepared media)
    #[arg(long, default_value_t = 3)]
    etcd: u8,
    /// How many machines run applications (started from the network)
    #[arg(long, default_value_t = 1)]
    compute: u8,
    /// How many more places for compute nodes the cluster file has
    #[arg(long, value_name = "N", default_value_t = 0)]
    spare_compute: u8,
    /// How many more compute nodes there are without a machine, enrolled and running from the start: they say and
    /// keep what a node does, and refuse what takes a machine
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "bare")]
    #[arg(value_parser = clap::value_parser!(u8).range(..=MOST_SIMULATED))]
    simulated: u8,
    /// What kind of machine keeps the cluster's state
    #[arg(long, value_name = "KIND", default_value = "small", conflicts_with = "bare")]
    etcd_machine: EtcdMachine,
    /// Memory of an etcd machine, in MiB; a Raspberry Pi's is fixed
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory_etcd: u32,
    /// Memory of a compute machine, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1536)]
    memory_compute: u32,
    /// Only an empty network and a manager without a cluster file: the page asks for one
    #[arg(long, conflicts_with = "manual")]
    bare: bool,
    /// Approve nothing: leave the clicking to the user
    #[arg(long)]
    manual: bool,
    /// Come back when the cluster is healthy, and let it run
    #[arg(long)]
    detach: bool,
    /// Where all machines' clocks stand at power-on, such as 1970-01-01; a Raspberry Pi has none
    #[arg(long, value_name = "DATE")]
    clock: Option<String>,
    /// A static address on this machine's medium, such as etcd-3=172.30.77.250/24, with the network's first address as
    /// its router
    #[arg(long = "address", value_name = "NODE=ADDRESS", value_parser = static_address)]
    addresses: Vec<(Name, StaticAddress)>,
    /// Words for all kernels' command lines, such as systemd.journald.forward_to_console=1
    #[arg(long, value_name = "WORDS")]
    kernel_arguments: Option<String>,
    /// An archive (cpio) to lay over a Raspberry Pi's initrd
    #[arg(long, value_name = "FILE")]
    initrd_overlay: Option<PathBuf>,
    #[command(flatten)]
    wifi: WifiArguments,
    /// Inject nothing into this machine: `exec` does not reach it, as it never reaches a Raspberry Pi
    #[arg(long, value_name = "NODE")]
    uninjected: Vec<String>,
}

fn static_address(words: &str) -> Result<(Name, StaticAddress)> {
    let (node, address) = words.split_once('=').context("it takes NODE=ADDRESS")?;
    let network: Ipv4Net =
        address.parse().context("the address takes the length of its network's prefix, too")?;
    let router = network.hosts().next().context("the network has no address for a router")?;
    Ok((node.parse()?, StaticAddress::new(address, &router.to_string(), &[])?))
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum EtcdMachine {
    /// x86-64 without AES, started from a prepared medium
    Small,
    /// arm64 with UEFI, started from the network
    Arm64,
    /// The same from a prepared medium
    Arm64Medium,
    /// A Raspberry Pi 3, started from a prepared card without the board's firmware
    RaspberryPi,
}

/// The owner pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

/// # Errors
/// What went wrong; the lab is left for looking at unless it was interrupted.
pub fn run(arguments: &UpArguments, paths: &Paths) -> Result<ExitCode> {
    arguments.check()?;
    let stop = on_interrupt()?;
    let mut board = Board::new();
    let result = bring_up(arguments, paths, &mut board, &stop);
    board.end();
    match result {
        Err(error) if error.is::<Interrupted>() => return interrupted(paths),
        Err(error) => {
            note!("The lab is left as it is: look around, then `cairn lab down`.");
            return Err(error);
        }
        Ok(()) => {}
    }
    explain(arguments, paths)?;
    if arguments.detach {
        return Ok(ExitCode::SUCCESS);
    }
    say!("\nCtrl-C takes everything down.")?;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    interrupted(paths)
}

fn interrupted(paths: &Paths) -> Result<ExitCode> {
    say!("Taking the lab down.")?;
    down(paths)?;
    Ok(exit::interrupted())
}

/// Set by Ctrl-C and by a polite kill. Everything long looks at it, so nothing is left half made.
fn on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn check(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
}

fn bring_up(arguments: &UpArguments, paths: &Paths, board: &mut Board, stop: &AtomicBool) -> Result<()> {
    let root = std::env::current_dir()?;
    let missing = preflight(&root);
    if !missing.is_empty() {
        bail!("the lab can't run here:\n  {}", missing.join("\n  "));
    }
    std::fs::create_dir_all(paths.state())?;
    down(paths).context("what an earlier lab left can't be cleared")?;
    std::fs::create_dir_all(paths.kept())?;
    let cluster = if arguments.bare { None } else { Some(new_cluster_file(arguments, paths)?) };
    board.say(if arguments.bare {
        "an empty network"
    } else {
        "a new cluster file, and an empty network"
    })?;
    let lab = Lab::create(paths.state(), Tools::discover(&root)?, &LabSpec::new(Vec::new()))?;
    if arguments.simulated > 0 {
        agents::start(&lab, paths)?;
    }
    manager::start(&lab, paths)?;
    board.say("the manager runs")?;
    let Some(cluster) = cluster else { return Ok(()) };
    let client = client(paths)?;
    let wifi = arguments.wifi.get()?;

    for node in names(&cluster, Role::Etcd) {
        check(stop)?;
        let machine = etcd_machine(arguments, wifi.as_ref(), &client, paths, &node)?;
        if machine.kind == MachineKind::Medium {
            board.say(&format!("a medium for {node}"))?;
        }
        lab.add_machine(&machine)?;
    }
    for node in names(&cluster, Role::Compute).into_iter().take(arguments.compute.into()) {
        lab.add_machine(&compute_machine(arguments, node.as_str()))?;
    }
    let machines = lab.machines()?;
    for machine in &machines {
        check(stop)?;
        machine.power_on()?;
    }
    if !machines.is_empty() {
        board.say("all machines are switched on")?;
    }
    if arguments.manual {
        return Ok(());
    }
    let mut expected: Vec<String> = machines.iter().map(|m| m.name().to_owned()).collect();
    expected.extend(arguments.simulated(&cluster).iter().map(Name::to_string));
    wait_until_healthy(&lab, &client, &expected, board, stop)
}

impl UpArguments {
    /// What the medium of this node is to be like.
    fn medium(&self, node: &Name, wifi: Option<&Wifi>) -> MediumRequest {
        let address =
            self.addresses.iter().find(|(name, _)| name == node).map(|(_, address)| address.clone());
        MediumRequest { address, wifi: wifi.cloned(), ..MediumRequest::default() }
    }

    /// # Errors
    /// When the cluster's network has not so many addresses.
    fn check(&self) -> Result<()> {
        let Self { etcd, compute, spare_compute, simulated, .. } = self;
        let wanted: usize =
            [etcd, compute, spare_compute, simulated].map(|count| usize::from(*count)).iter().sum();
        let most = (FIRST_NODE_NUMBER..=LAST_NODE_NUMBER).count();
        if wanted > most {
            bail!("a cluster has at most {most} nodes, and these would be {wanted}");
        }
        if matches!(self.etcd_machine, EtcdMachine::Arm64) && !self.addresses.is_empty() {
            bail!("a machine that starts from the network has no medium that a static address could be on");
        }
        Ok(())
    }

    /// Those behind the machines; the spare places come last.
    fn simulated(&self, file: &ClusterFile) -> Vec<Name> {
        let behind = names(file, Role::Compute).into_iter().skip(self.compute.into());
        behind.take(self.simulated.into()).collect()
    }
}

fn names(file: &ClusterFile, role: Role) -> Vec<Name> {
    file.cluster().nodes_of(role).map(|node| node.name.clone()).collect()
}

fn new_cluster_file(arguments: &UpArguments, paths: &Paths) -> Result<ClusterFile> {
    let passphrase = Passphrase::generate()?;
    let UpArguments { etcd, compute, spare_compute, simulated, .. } = arguments;
    let compute = compute.saturating_add(*simulated).saturating_add(*spare_compute);
    let mut file = ClusterFile::new("lab".parse()?, *etcd, compute, 0)?;
    if *simulated > 0 {
        let (enrolled, identities) = identity::enrol(&file, &arguments.simulated(&file))?;
        identity::store(&paths.agents(), &identities)?;
        file = enrolled;
    }
    disk::create(&paths.cluster_file(), &file.seal(&passphrase)?)?;
    private::create(&paths.passphrase(), |written| {
        Ok(writeln!(written, "{}", passphrase.to_secret().expose())?)
    })?;
    Ok(file)
}

fn etcd_machine(
    arguments: &UpArguments,
    wifi: Option<&Wifi>,
    client: &Client,
    paths: &Paths,
    node: &Name,
) -> Result<MachineSpec> {
    let request = arguments.medium(node, wifi);
    Ok(match arguments.etcd_machine {
        EtcdMachine::Small => {
            let image = media::prepare(client, paths, node, &request)?;
            small_machine(arguments, node.as_str(), image)
        }
        EtcdMachine::Arm64 => arm64_machine(arguments, node.as_str()),
        EtcdMachine::Arm64Medium => {
            let request = MediumRequest { board: MediumBoard::UefiArm64, ..request };
            let medium = media::prepare(client, paths, node, &request)?;
            small_machine(arguments, node.as_str(), medium).arm64()
        }
        EtcdMachine::RaspberryPi => raspberry_pi::machine(
            client,
            paths,
            node,
            request,
            arguments.kernel_arguments.as_deref(),
            arguments.initrd_overlay.as_deref(),
        )?,
    })
}

/// Like a Raspberry Pi Zero 2 W: little memory, a slow card, no AES instructions, no netboot.
fn small_machine(arguments: &UpArguments, node: &str, image: std::path::PathBuf) -> MachineSpec {
    let medium = DiskSpec::copy_of(&format!("{node}-card"), 8 * GIB, image);
    let mut machine = MachineSpec::medium(node, arguments.memory_etcd, medium);
    machine.cpu = "max,aes=off".to_owned();
    common(arguments, machine)
}

/// With the processor of a Raspberry Pi Zero 2 W, and UEFI.
fn arm64_machine(arguments: &UpArguments, node: &str) -> MachineSpec {
    let disk = DiskSpec::blank(&format!("{node}-disk"), 8 * GIB);
    common(arguments, MachineSpec::netboot(node, arguments.memory_etcd).arm64().with_disk(disk))
}

fn compute_machine(arguments: &UpArguments, node: &str) -> MachineSpec {
    let disk = DiskSpec::blank(&format!("{node}-disk"), 16 * GIB);
    common(arguments, MachineSpec::netboot(node, arguments.memory_compute).with_disk(disk))
}

fn common(arguments: &UpArguments, mut machine: MachineSpec) -> MachineSpec {
    machine.rtc_base.clone_from(&arguments.clock);
    if let Some(words) = &arguments.kernel_arguments {
        // systemd-stub(7) takes them from the firmware of a virtual machine only.
        let value =
            format!("type=11,value=io.systemd.stub.kernel-cmdline-extra={}", words.replace(',', ",,"));
        machine.extra_arguments.extend(["-smbios".to_owned(), value]);
    }
    if arguments.uninjected.contains(&machine.name) { machine } else { machine.with_exec() }
}

fn wait_until_healthy(
    lab: &Lab,
    client: &Client,
    expected: &[String],
    board: &mut Board,
    stop: &AtomicBool,
) -> Result<()> {
    let mut approved = BTreeSet::new();
    loop {
        check(stop)?;
        let status: Status = client.get("status")?;
        board.show(&status)?;
        agents::check(lab)?;
        if status.healthy && all_run(expected, &status) {
            board.say("the cluster is healthy")?;
            return Ok(());
        }
        for machine in &status.machines {
            if !machine.approved && !approved.contains(&machine.id) && approve(lab, client, machine, board)? {
                approved.insert(machine.id.clone());
            }
        }
        if board.elapsed() > PATIENCE {
            bail!(
                "not healthy after {} minutes: {}",
                PATIENCE.as_secs() / 60,
                status.unhealthy_because.join("; ")
            );
        }
        std::thread::sleep(POLL);
    }
}

/// A place that no machine has taken is no fault of a cluster, but the lab's nodes are to take theirs.
fn all_run(expected: &[String], status: &Status) -> bool {
    let runs = |name: &String| status.nodes.iter().any(|n| n.name == *name && n.phase == Phase::Running);
    expected.iter().all(runs)
}

/// Compares the code on the machine's console with the manager's, as the owner does, and approves.
fn approve(lab: &Lab, client: &Client, machine: &MachineStatus, board: &Board) -> Result<bool> {
    let (Some(code), Some(inventory)) = (&machine.code, &machine.inventory) else { return Ok(false) };
    let macs: Vec<&str> = inventory.interfaces.iter().map(|i| i.mac.as_str()).collect();
    let state = lab.state()?;
    let Some(found) = state.machines.iter().find(|m| macs.contains(&m.spec.mac().as_str())) else {
        return Ok(false);
    };
    let console = lab.machine(&found.spec.name)?.console_since(0)?;
    if !String::from_utf8_lossy(&console).contains(&format!("code {code}")) {
        return Ok(false);
    }
    let request = ApproveRequest {
        code: code.clone(),
        node: Some(found.spec.name.clone()),
        ..ApproveRequest::default()
    };
    let approved = node::approve(client, &machine.id, &request)?;
    board.say(&format!("{}: the code {code} is the same on both sides: approved", approved.node))?;
    Ok(true)
}

fn explain(arguments: &UpArguments, paths: &Paths) -> Result<()> {
    let url = std::fs::read_to_string(paths.url())?;
    say!("\nThe page:      {}", url.trim())?;
    if paths.passphrase().exists() {
        say!("Its password:  cat {}", paths.passphrase().display())?;
    }
    say!("How it is:     cairn lab status")?;
    if arguments.etcd > 0 && !arguments.bare {
        say!("Look inside:   cairn lab exec etcd-1 -- systemctl status cairn-etcd")?;
        say!("A console:     cairn lab console etcd-1")?;
    }
    say!("Other commands find the lab's manager after:  eval \"$(cairn lab env)\"")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        up: UpArguments,
    }

    fn parse(words: &str) -> Result<UpArguments, clap::Error> {
        Line::try_parse_from(words.split(' ')).map(|line| line.up)
    }

    #[test]
    fn simulated_nodes_stand_behind_the_machines_and_before_the_spare_places() {
        let file = ClusterFile::new("lab".parse().unwrap(), 1, 5, 0).unwrap();
        let simulated = |words| {
            let nodes = parse(words).unwrap().simulated(&file);
            nodes.iter().map(Name::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(simulated("up --compute 1 --simulated 2 --spare-compute 2"), "compute-2 compute-3");
        assert_eq!(simulated("up --compute 0 --simulated 1"), "compute-1");
        assert_eq!(simulated("up --compute 3"), "");
    }

    #[test]
    fn a_static_address_is_its_own_nodes_alone_and_takes_a_medium() {
        let up = parse("up --address etcd-3=172.30.77.250/24").unwrap();
        let of = |node: &str| {
            up.medium(&node.parse().unwrap(), None).address.map(|it| (it.address(), it.gateway()))
        };
        assert_eq!(of("etcd-3"), Some(([172, 30, 77, 250].into(), [172, 30, 77, 1].into())));
        assert_eq!(of("etcd-2"), None);
        let from_the_network = parse("up --etcd-machine arm64 --address etcd-3=172.30.77.250/24").unwrap();
        assert!(from_the_network.check().unwrap_err().to_string().contains("no medium"));
    }

    #[test]
    fn a_lab_has_no_more_nodes_than_there_are_addresses() {
        let check = |words| parse(words).unwrap().check();
        assert!(check("up --etcd 3 --compute 42 --spare-compute 100 --simulated 100").is_ok());
        let refused = check("up --etcd 3 --compute 43 --spare-compute 100 --simulated 100").unwrap_err();
        assert_eq!(refused.to_string(), "a cluster has at most 245 nodes, and these would be 246");
        for wrong in
            ["up --address etcd-1", "up --address etcd-1=10.0.0.7", "up --address etcd-1=10.0.0.1/24"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["up --simulated 101", "up --simulated -1", "up --bare --simulated 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
