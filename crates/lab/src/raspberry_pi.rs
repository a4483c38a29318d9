//! What QEMU is told about a Raspberry Pi: the 3, which has the Zero 2 W's SoC.
//!
//! QEMU has no firmware of the board, so it is handed what that takes from the card. The machine has no PCI and no SMBIOS:
//! its network is on USB, and nothing can be injected, plugged in or executed. Its processors and memory are fixed.

use crate::arguments::{NIC, Start, bare, comma, console, control, disk_file, emulation, strings};
use crate::spec::{MachineSpec, RaspberryPi};
use crate::state::MachineState;

/// QEMU's power manager resets at once when its watchdog is armed, where the chip starts a timer.
const WITHOUT_WATCHDOG: &str = "module_blacklist=bcm2835_wdt";

/// What the machine asked of the board's firmware that QEMU's model does not know: a line for each, by its tag.
pub const ASKED: &str = "unimplemented.log";

/// All arguments, without the program's name.
pub fn arguments(machine: &MachineState, board: &RaspberryPi, start: Start) -> Vec<String> {
    let MachineState { spec, tap, .. } = machine;
    let groups = [
        bare(spec, start),
        strings(&["-machine", "raspi3b", "-accel", &emulation()]),
        started(board),
        strings(&["-d", "unimp", "-D", ASKED]),
        control(),
        serial(),
        card(spec),
        network(spec, tap),
        spec.extra_arguments.clone(),
    ];
    groups.into_iter().flatten().collect()
}

fn started(board: &RaspberryPi) -> Vec<String> {
    let [kernel, initrd, device_tree] =
        [&board.kernel, &board.initrd, &board.device_tree].map(|path| path.display().to_string());
    let line = format!("{} {WITHOUT_WATCHDOG}", board.command_line.trim());
    strings(&["-kernel", &kernel, "-initrd", &initrd, "-dtb", &device_tree, "-append", &line])
}

/// The second port is the one on the board's header.
fn serial() -> Vec<String> {
    let mut list = strings(&["-serial", "null"]);
    list.extend(console());
    list
}

/// This machine takes its card from a drive of this kind only. QEMU's card is never told to flush: without writing through
/// a power cut would lose what a real one had written long ago.
fn card(spec: &MachineSpec) -> Vec<String> {
    let drive = |serial: &str| {
        format!("if=sd,format=qcow2,cache=writethrough,discard=unmap,file={}", comma(&disk_file(serial)))
    };
    spec.disks.iter().flat_map(|disk| ["-drive".to_owned(), drive(&disk.serial)]).collect()
}

fn network(spec: &MachineSpec, tap: &str) -> Vec<String> {
    let tap = format!("tap,id=net0,ifname={tap},script=no,downscript=no");
    let card = format!("usb-net,id={NIC},netdev=net0,mac={}", spec.mac());
    strings(&["-netdev", &tap, "-device", &card])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::Accel;
    use crate::arguments;
    use crate::spec::DiskSpec;
    use crate::tools::Tools;

    #[test]
    fn a_raspberry_pi_is_handed_what_its_firmware_would_take_from_the_card() {
        let board = RaspberryPi {
            kernel: "/b/linux".into(),
            initrd: "/b/initrd".into(),
            device_tree: "/b/pi.dtb".into(),
            command_line: "console=ttyS1,115200 quiet\n".to_owned(),
        };
        let spec = MachineSpec::raspberry_pi("etcd-1", board, DiskSpec::blank("card", 1 << 33));
        let machine =
            MachineState { bridge: spec.bridge.clone(), spec, tap: "tap0".into(), plugged: Vec::new() };
        let list = arguments::arguments(&machine, &Tools::at("/t".as_ref()), Accel::Kvm, Start::Cold);
        let text = list.join(" ").replace(" -", "\n-");
        assert_eq!(text, include_str!("../tests/snapshots/raspberry-pi.txt").trim_end());
    }
}
