//! Virtual machines that start from the network.

use std::fs;
use std::path::{Path, PathBuf};

pub const MAC: &str = "52:54:00:00:77:01";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS with QEMU's option ROM, which is iPXE.
    SeaBios,
    /// The loader for a PXE ROM.
    Undionly,
    OvmfPxe,
    OvmfHttp,
    /// Debian's `ipxe.efi`, started from a disk by OVMF.
    IpxeEfi,
    AavmfPxe,
    AavmfHttp,
}

impl Firmware {
    pub fn is_arm64(self) -> bool {
        matches!(self, Self::AavmfPxe | Self::AavmfHttp)
    }
}

pub fn state() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.state")
}

/// The machine's words; a card, and what starts it.
pub fn qemu(firmware: Firmware, server: &str, folder: &Path) -> Vec<String> {
    let (tools, ipxe) = (state().join("tools/qemu"), state().join("tools/debian13/usr/lib/ipxe"));
    let (program, machine, code) = match firmware.is_arm64() {
        true => ("qemu-system-aarch64", "virt", "AAVMF"),
        false => ("qemu-system-x86_64", "q35", "OVMF"),
    };
    let program = tools.join(program);
    assert!(program.exists(), "there is no {}: run `make setup`", program.display());
    let mut groups = vec![
        program.display().to_string(),
        // With the most that the emulator knows: AAVMF finds its random numbers in the processor.
        format!(
            "-nodefaults -no-user-config -display none -machine {machine},accel=tcg -cpu max -m 512 -smp 1"
        ),
        "-netdev tap,id=n,ifname=tap0,script=no,downscript=no".into(),
        "-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r".into(),
        format!("-serial file:{}", folder.join("serial").display()),
    ];
    let card = |more: &str| format!("-device virtio-net-pci,netdev=n,mac={MAC}{more}");
    match firmware {
        Firmware::SeaBios => groups.push(card(",bootindex=1")),
        Firmware::Undionly => {
            let script = folder.join("script");
            fs::write(&script, format!("#!ipxe\ndhcp\nchain tftp://{server}/undionly.kpxe\n")).unwrap();
            groups.push(card(",romfile="));
            let (kernel, initrd) = (ipxe.join("ipxe.lkrn"), script.display());
            groups.push(format!("-kernel {} -initrd {initrd}", kernel.display()));
        }
        Firmware::IpxeEfi => {
            let boot = folder.join("disk/EFI/BOOT");
            fs::create_dir_all(&boot).unwrap();
            fs::copy(ipxe.join("ipxe-amd64.efi"), boot.join("BOOTX64.EFI")).unwrap();
            let disk = folder.join("disk");
            groups.push(card(",romfile="));
            groups.push(format!("-drive file=fat:{},format=raw,if=none,id=d,readonly=on", disk.display()));
            groups.push("-device virtio-blk-pci,drive=d,bootindex=0".into());
        }
        Firmware::OvmfPxe | Firmware::OvmfHttp | Firmware::AavmfPxe | Firmware::AavmfHttp => {
            // Without a ROM it is the firmware's own driver.
            groups.push(card(",romfile=,bootindex=1"));
        }
    }
    if !matches!(firmware, Firmware::SeaBios | Firmware::Undionly) {
        let variables = folder.join("variables.fd");
        fs::copy(tools.join(format!("{code}_VARS.fd")), &variables).unwrap();
        let code = tools.join(format!("{code}_CODE.fd"));
        let flash = |unit: &str, path: &Path| {
            format!("-drive if=pflash,format=raw,unit={unit},file={}", path.display())
        };
        groups.push(flash("0,readonly=on", &code));
        groups.push(flash("1", &variables));
        // Or it tries PXE over IPv6 for a minute first.
        groups.push("-fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n".into());
    }
    if matches!(firmware, Firmware::OvmfHttp | Firmware::AavmfHttp) {
        groups.push("-fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n".into());
    }
    groups.iter().flat_map(|group| group.split(' ')).map(str::to_owned).collect()
}
