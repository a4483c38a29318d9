//! What QEMU is told about a machine: one small function per group of switches.
//!
//! Paths are relative to the machine's own directory, which is QEMU's working directory.

use crate::accel::Accel;
use crate::exec::PORT_NAME;
use crate::spec::{Architecture, DiskBus, DiskSpec, MachineKind, MachineSpec};
use crate::state::MachineState;
use crate::tools::Tools;
use crate::{inject, raspberry_pi};

pub const QMP_SOCKET: &str = "qmp.sock";
pub const CONSOLE_SOCKET: &str = "console.sock";
pub const CONSOLE_LOG: &str = "console.log";
pub const EXEC_SOCKET: &str = "exec.sock";
pub const FIRMWARE_VARIABLES: &str = "firmware-variables.fd";
/// The network interface's name over QMP.
pub const NIC: &str = "nic0";
/// How many disks can be plugged into a running machine.
pub const HOT_PORTS: usize = 4;

/// Translated code per machine; QEMU's own default of up to 1 GiB each is too much for several machines on one host.
/// Measured: a boot takes the same processor time with 64, and with one thread or several, within the noise.
const TCG_CACHE_MIB: u32 = 256;

/// How a machine begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// As when its power button is pressed.
    Cold,
    /// Stopped, with its running state still to be loaded.
    Restored,
}

/// All arguments, without the program's name.
pub fn arguments(machine: &MachineState, tools: &Tools, accel: Accel, start: Start) -> Vec<String> {
    let spec = &machine.spec;
    if let Some(board) = &spec.raspberry_pi {
        return raspberry_pi::arguments(machine, board, start);
    }
    let groups = [
        bare(spec, start),
        processor(spec, accel),
        firmware(spec, tools),
        identity(spec),
        clock(spec),
        control(),
        console(),
        helpers(),
        exec_port(),
        hot_ports(),
        usb_ports(spec),
        disks(spec),
        machine.plugged.iter().flat_map(|plugged| plugged_disk(&plugged.disk, plugged.port)).collect(),
        network(machine),
        spec.extra_arguments.clone(),
    ];
    groups.into_iter().flatten().collect()
}

pub(crate) fn bare(spec: &MachineSpec, start: Start) -> Vec<String> {
    let name = format!("guest={0},process=lab-{0}", spec.name);
    let mut list = strings(&["-name", &name, "-nodefaults", "-no-user-config", "-display", "none"]);
    if start == Start::Restored {
        list.extend(strings(&["-S", "-incoming", "defer"]));
    }
    list
}

fn processor(spec: &MachineSpec, accel: Accel) -> Vec<String> {
    let accel = match (accel, spec.architecture) {
        (Accel::Kvm, Architecture::X86_64) => "kvm".to_owned(),
        _ => emulation(),
    };
    let (cpus, memory) = (spec.cpus.to_string(), spec.memory_mib.to_string());
    // this firmware's part that keeps its variables runs in system management mode
    let machine = match spec.architecture {
        Architecture::Arm64 => "virt",
        Architecture::X86_64 if spec.secure_boot.is_some() => "q35,smm=on",
        Architecture::X86_64 => "q35",
    };
    strings(&["-machine", machine, "-accel", &accel, "-cpu", &spec.cpu, "-smp", &cpus, "-m", &memory])
}

/// The accelerator that isn't one.
pub(crate) fn emulation() -> String {
    format!("tcg,thread=multi,tb-size={TCG_CACHE_MIB}")
}

fn firmware(spec: &MachineSpec, tools: &Tools) -> Vec<String> {
    let code = match spec.architecture {
        Architecture::Arm64 => &tools.aavmf_code,
        Architecture::X86_64 if spec.secure_boot.is_some() => &tools.ovmf_code_secure_boot,
        Architecture::X86_64 => &tools.ovmf_code,
    };
    let code = format!("if=pflash,unit=0,format=raw,readonly=on,file={}", comma(&code.display().to_string()));
    let variables = format!("if=pflash,unit=1,format=raw,file={FIRMWARE_VARIABLES}");
    let mut list = strings(&["-drive", &code, "-drive", &variables]);
    if spec.secure_boot.is_some() {
        // or an operating system could change what the firmware trusts
        list.extend(strings(&["-global", "driver=cfi.pflash01,property=secure,value=on"]));
    }
    list
}

fn identity(spec: &MachineSpec) -> Vec<String> {
    let system = format!(
        "type=1,manufacturer=Cairn,product=Lab machine,serial=lab-{},uuid={}",
        spec.name,
        spec.uuid()
    );
    let mut list = strings(&["-smbios", &system]);
    for credential in inject::credentials(spec) {
        list.extend(strings(&["-smbios", &format!("type=11,value={}", comma(&credential))]));
    }
    list
}

fn clock(spec: &MachineSpec) -> Vec<String> {
    match &spec.rtc_base {
        Some(base) => strings(&["-rtc", &format!("base={base}")]),
        None => Vec::new(),
    }
}

pub(crate) fn control() -> Vec<String> {
    strings(&["-qmp", &format!("unix:{QMP_SOCKET},server=on,wait=off")])
}

pub(crate) fn console() -> Vec<String> {
    let socket = format!(
        "socket,id=console,path={CONSOLE_SOCKET},server=on,wait=off,logfile={CONSOLE_LOG},logappend=on"
    );
    strings(&["-chardev", &socket, "-serial", "chardev:console"])
}

/// A source of random numbers (new firmware needs one for its network stack), and a watchdog.
fn helpers() -> Vec<String> {
    strings(&["-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset"])
}

/// There on every machine; whether anybody listens inside is a matter of injection.
fn exec_port() -> Vec<String> {
    let socket = format!("socket,id=exec,path={EXEC_SOCKET},server=on,wait=off");
    let port = format!("virtserialport,chardev=exec,name={PORT_NAME}");
    strings(&["-chardev", &socket, "-device", "virtio-serial-pci", "-device", &port])
}

fn hot_ports() -> Vec<String> {
    let port = |number| format!("pcie-root-port,id=hot{number},chassis={0},slot={0}", number + 1);
    (0..HOT_PORTS).flat_map(|number: usize| ["-device".to_owned(), port(number)]).collect()
}

/// Only where something is plugged in: a machine of a checkpoint that was saved without keeps its devices.
fn usb_ports(spec: &MachineSpec) -> Vec<String> {
    let used = spec.disks.iter().any(|disk| disk.bus == DiskBus::Usb);
    if used { strings(&["-device", "qemu-xhci,id=usb"]) } else { Vec::new() }
}

fn disks(spec: &MachineSpec) -> Vec<String> {
    let mut sata_ports = 0..;
    let numbered = spec.disks.iter().zip(1..);
    numbered.flat_map(|(disk, boot_index)| fixed_disk(disk, boot_index, &mut sata_ports)).collect()
}

fn fixed_disk(
    disk: &DiskSpec,
    boot_index: usize,
    sata_ports: &mut impl Iterator<Item = usize>,
) -> Vec<String> {
    let serial = &disk.serial;
    let driver = match disk.bus {
        DiskBus::Virtio => format!("virtio-blk-pci,id={}", device_id(serial)),
        DiskBus::Nvme => format!("nvme,id={}", device_id(serial)),
        DiskBus::Sata => {
            format!("ide-hd,id={},bus=ide.{}", device_id(serial), sata_ports.next().unwrap_or_default())
        }
        DiskBus::Usb => format!("usb-storage,id={},bus=usb.0,removable=on", device_id(serial)),
    };
    let device = format!("{driver},drive={},serial={serial},bootindex={boot_index}", node(serial));
    strings(&["-blockdev", &backend(serial), "-device", &device])
}

fn plugged_disk(disk: &DiskSpec, port: usize) -> Vec<String> {
    let serial = &disk.serial;
    let device = format!(
        "virtio-blk-pci,id={},bus=hot{port},drive={},serial={serial}",
        device_id(serial),
        node(serial)
    );
    strings(&["-blockdev", &backend(serial), "-device", &device])
}

fn backend(serial: &str) -> String {
    let file = disk_file(serial);
    format!("driver=qcow2,node-name={},discard=unmap,file.driver=file,file.filename={file}", node(serial))
}

fn network(machine: &MachineState) -> Vec<String> {
    let spec = &machine.spec;
    let tap = format!("tap,id=net0,ifname={},script=no,downscript=no", machine.tap);
    // The firmware brings its own driver for this card: no option ROM.
    let mut card = format!("{},id={NIC},netdev=net0,mac={},romfile=", spec.card.device(), spec.mac());
    if spec.kind == MachineKind::Netboot {
        card.push_str(&format!(",bootindex={}", spec.disks.len().saturating_add(1)));
    }
    strings(&["-netdev", &tap, "-device", &card])
}

/// The file of a disk in its machine's directory.
pub fn disk_file(serial: &str) -> String {
    format!("disk-{serial}.qcow2")
}

pub(crate) fn node(serial: &str) -> String {
    format!("node-{serial}")
}

pub(crate) fn device_id(serial: &str) -> String {
    format!("disk-{serial}")
}

/// The part of a disk's device that reads and writes, which QMP's commands for running disks ask for.
pub(crate) fn backend_id(disk: &DiskSpec) -> String {
    let device = device_id(&disk.serial);
    if disk.bus == DiskBus::Virtio { device + "/virtio-backend" } else { device }
}

/// In QEMU's option lists a comma is written twice.
pub(crate) fn comma(value: &str) -> String {
    value.replace(',', ",,")
}

pub(crate) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::PluggedDisk;

    fn tools() -> Tools {
        Tools { ovmf_code: "/o/CODE,1.fd".into(), ..Tools::at("/t".as_ref()) }
    }

    fn machine(spec: MachineSpec) -> MachineState {
        MachineState { bridge: spec.bridge.clone(), spec, tap: "tap0".into(), plugged: Vec::new() }
    }

    /// One line per switch.
    fn shown(list: &[String]) -> String {
        let mut text = String::new();
        for word in list {
            text.push(if word.starts_with('-') { '\n' } else { ' ' });
            text.push_str(word);
        }
        text.trim_start().to_owned()
    }

    #[test]
    fn a_netbooted_machine_tries_its_disks_first_and_then_the_network() {
        let mut spec = MachineSpec::netboot("compute-1", 2048)
            .with_disk(DiskSpec::blank("one", 1))
            .with_disk(DiskSpec::blank("two", 1).on(DiskBus::Nvme))
            .with_disk(DiskSpec::blank("three", 1).on(DiskBus::Sata));
        spec.cpus = 2;
        let text = shown(&arguments(&machine(spec), &tools(), Accel::Tcg, Start::Cold));
        assert_eq!(text, include_str!("../tests/snapshots/netboot.txt").trim_end());
    }

    #[test]
    fn a_machine_with_a_medium_never_asks_the_network_and_its_clock_starts_where_told() {
        let mut spec = MachineSpec::medium("etcd-1", 512, DiskSpec::blank("card", 1));
        spec.cpu = "max,aes=off".into();
        spec.rtc_base = Some("1970-01-01".into());
        let text = shown(&arguments(&machine(spec), &tools(), Accel::Kvm, Start::Cold));
        assert_eq!(text, include_str!("../tests/snapshots/medium.txt").trim_end());
    }

    #[test]
    fn a_stick_is_removable_and_on_a_port_that_other_machines_do_not_have() {
        let stick = DiskSpec::blank("stick", 1).on(DiskBus::Usb);
        let spec = MachineSpec::medium("a", 512, stick).with_disk(DiskSpec::blank("inner", 1));
        let text = shown(&arguments(&machine(spec), &tools(), Accel::Tcg, Start::Cold));
        let device = "\n-device usb-storage,id=disk-stick,bus=usb.0,removable=on,drive=node-stick,serial=stick,bootindex=1\n";
        assert!(text.contains("\n-device qemu-xhci,id=usb\n") && text.contains(device), "{text}");
    }

    #[test]
    fn secure_boot_has_another_firmware_that_guards_its_variables() {
        let spec = MachineSpec::netboot("a", 512).with_secure_boot("/v/own.fd");
        let text = shown(&arguments(&machine(spec), &tools(), Accel::Tcg, Start::Cold));
        assert!(
            text.contains("-machine q35,smm=on\n")
                && text.contains("readonly=on,file=/t/OVMF_CODE.secboot.fd")
        );
        assert!(text.contains("-global driver=cfi.pflash01,property=secure,value=on"), "{text}");
    }

    #[test]
    fn an_arm64_machine_is_emulated_and_has_its_own_firmware() {
        let spec = MachineSpec::netboot("a", 512).arm64();
        let text = shown(&arguments(&machine(spec), &tools(), Accel::Kvm, Start::Cold));
        assert!(
            text.contains("-machine virt\n-accel tcg,") && text.contains("\n-cpu cortex-a53\n"),
            "{text}"
        );
        assert!(text.contains("readonly=on,file=/t/AAVMF_CODE.fd"), "{text}");
    }

    #[test]
    fn a_restored_machine_has_the_same_devices_and_waits_for_its_state() {
        let spec = MachineSpec::netboot("a", 512).with_disk(DiskSpec::blank("one", 1)).with_exec();
        let mut machine = machine(spec);
        machine.plugged.push(PluggedDisk { disk: DiskSpec::blank("later", 1), port: 2 });
        let cold = arguments(&machine, &tools(), Accel::Tcg, Start::Cold);
        let restored = arguments(&machine, &tools(), Accel::Tcg, Start::Restored);
        let added: Vec<&String> = restored.iter().filter(|word| !cold.contains(word)).collect();
        assert_eq!(added, ["-S", "-incoming", "defer"]);
        assert!(shown(&cold).contains("-device virtio-blk-pci,id=disk-later,bus=hot2,drive=node-later"));
    }

    #[test]
    fn what_is_injected_is_handed_over_by_smbios() {
        let list = arguments(
            &machine(MachineSpec::netboot("a", 512).with_exec()),
            &tools(),
            Accel::Tcg,
            Start::Cold,
        );
        let strings: Vec<&String> = list.iter().filter(|word| word.starts_with("type=11,")).collect();
        assert_eq!(strings.len(), 2);
        assert!(strings[0].contains("systemd.extra-unit.cairn-lab-exec.service="));
    }
}
