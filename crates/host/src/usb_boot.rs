//! Raspberry Pis on this machine's USB that wait in their boot ROM.
//!
//! A board that finds nothing to start from shows itself at its data port as a device that takes a boot loader, which
//! the maker's `rpiboot` would send. Cairn sends nothing; but that the board is seen at all tells one with a bad card
//! from one that is dead or has no power. The numbers are those that `rpiboot` looks for (raspberrypi/usbboot, `main.c`).

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Broadcom, as sysfs writes it (sysfs-bus-usb: four hexadecimal digits).
const VENDOR: &str = "0a5c";

/// A board that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WaitingBoard {
    /// As the kernel names it: the bus, then the port, and the port of each hub between them (`1-2.3`).
    pub port: String,
    /// What it may be: the chip tells no more than the family.
    pub models: String,
    /// Why it waits, and what to do.
    pub advice: String,
}

/// The family of the chip that shows itself by this product number, and what to do about it.
fn family(product: &str) -> Option<(&'static str, &'static str)> {
    let other = "its boot loader was told to wait, or is damaged. Cairn makes no card for this model";
    Some(match product {
        "2763" => (
            "Raspberry Pi Zero, Zero W, 1A+ or Compute Module 1",
            "it is a 32-bit board, and Cairn does not run on those",
        ),
        "2764" => (
            "Raspberry Pi Zero 2 W, 3A+ or Compute Module 3",
            "its boot ROM runs, so the board is alive, and found nothing to start from on its card. Write that card anew, or another one, put it in, and give the board power again",
        ),
        "2711" => ("Raspberry Pi 4, 400 or Compute Module 4", other),
        "2712" => ("Raspberry Pi 5, 500 or Compute Module 5", other),
        _ => return None,
    })
}

/// Those of this moment, by port. `sys` is `/sys`.
pub fn waiting(sys: &Path) -> Vec<WaitingBoard> {
    let devices = fs::read_dir(sys.join("bus/usb/devices")).into_iter().flatten().flatten();
    let mut boards: Vec<WaitingBoard> = devices
        .filter_map(|device| {
            let attribute = |name| fs::read_to_string(device.path().join(name)).unwrap_or_default();
            if attribute("idVendor").trim() != VENDOR {
                return None;
            }
            let (models, advice) = family(attribute("idProduct").trim())?;
            let port = device.file_name().to_string_lossy().into_owned();
            Some(WaitingBoard { port, models: models.to_owned(), advice: advice.to_owned() })
        })
        .collect();
    boards.sort_by(|one, other| one.port.cmp(&other.port));
    boards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_in_its_boot_rom_is_told_from_everything_else() {
        let sys = tempfile::tempdir().unwrap();
        let devices = sys.path().join("bus/usb/devices");
        assert_eq!(waiting(sys.path()), [], "a machine without USB");
        let plug = |port: &str, attributes: &[(&str, &str)]| {
            fs::create_dir_all(devices.join(port)).unwrap();
            for (name, value) in attributes {
                fs::write(devices.join(port).join(name), value).unwrap();
            }
        };
        plug("usb1", &[("idVendor", "1d6b\n"), ("idProduct", "0002\n")]);
        // an interface has no numbers of its own
        plug("1-2:1.0", &[("bInterfaceClass", "ff\n")]);
        // Bluetooth of the same maker, and another maker's device with the same product number
        plug("1-1", &[("idVendor", "0a5c\n"), ("idProduct", "21e8\n")]);
        plug("1-3", &[("idVendor", "1234\n"), ("idProduct", "2764\n")]);
        assert_eq!(waiting(sys.path()), []);
        plug("1-4.1", &[("idVendor", "0a5c\n"), ("idProduct", "2763\n")]);
        plug("1-2", &[("idVendor", "0a5c\n"), ("idProduct", "2764\n")]);
        let found = waiting(sys.path());
        let ports: Vec<_> = found.iter().map(|board| board.port.as_str()).collect();
        assert_eq!(ports, ["1-2", "1-4.1"]);
        assert!(found[0].models.contains("Zero 2 W") && found[0].advice.contains("Write that card anew"));
        assert!(found[1].advice.contains("32-bit"));
    }
}
