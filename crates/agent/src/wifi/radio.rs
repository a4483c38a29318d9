//! Network cards with and without a cable, as sysfs tells of them.

use std::path::{Path, PathBuf};

fn cards(root: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(root.join("sys/class/net")) else { return Vec::new() };
    let mut cards: Vec<_> = entries
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(_, path)| path.join("device").exists())
        .collect();
    cards.sort();
    cards
}

fn is_wireless(card: &Path) -> bool {
    card.join("phy80211").exists()
}

fn reads(path: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() == wanted)
}

/// The wireless ones that udev is done with: before that a name may still change.
pub fn adapters(root: &Path) -> Vec<String> {
    let named = |card: &Path| {
        let number = std::fs::read_to_string(card.join("ifindex")).unwrap_or_default();
        root.join("run/udev/data").join(format!("n{}", number.trim())).exists()
    };
    let cards = cards(root).into_iter().filter(|(_, card)| is_wireless(card) && named(card));
    cards.map(|(name, _)| name).collect()
}

/// Whether any card with a socket has a cable that leads somewhere.
pub fn cable(root: &Path) -> bool {
    cards(root).iter().any(|(_, card)| !is_wireless(card) && reads(&card.join("carrier"), "1"))
}

/// Whether this card is connected. An adapter's carrier comes with the key's exchange.
pub fn carrier(root: &Path, name: &str) -> bool {
    reads(&root.join("sys/class/net").join(name).join("carrier"), "1")
}

/// By a switch (hard) or by software (soft), as rfkill has it.
pub fn switched_off(root: &Path, name: &str) -> bool {
    let phy = root.join("sys/class/net").join(name).join("phy80211");
    let Ok(entries) = std::fs::read_dir(phy) else { return false };
    let mut switches =
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("rfkill"));
    switches.any(|entry| ["hard", "soft"].iter().any(|kind| reads(&entry.path().join(kind), "1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_used_once_udev_named_it_and_is_no_cable() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let put = |path: &str, text: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        };
        put("sys/class/net/lo/carrier", "1\n");
        put("sys/class/net/eth0/device/vendor", "");
        put("sys/class/net/eth0/carrier", "0\n");
        put("sys/class/net/wlan0/device/vendor", "");
        put("sys/class/net/wlan0/carrier", "1\n");
        put("sys/class/net/wlan0/ifindex", "7\n");
        put("sys/class/net/wlan0/phy80211/rfkill3/hard", "0\n");
        put("sys/class/net/wlan0/phy80211/rfkill3/soft", "0\n");
        assert!(adapters(root).is_empty());
        put("run/udev/data/n7", "");
        assert_eq!(adapters(root), ["wlan0"]);
        assert!(!cable(root) && carrier(root, "wlan0") && !switched_off(root, "wlan0"));
        put("sys/class/net/eth0/carrier", "1\n");
        put("sys/class/net/wlan0/phy80211/rfkill3/hard", "1\n");
        assert!(cable(root) && switched_off(root, "wlan0"));
    }
}
