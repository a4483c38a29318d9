//! `wpa_supplicant`: what it is told, and its control socket, by which it tells how it fares.

use cairn_model::wifi::Wifi;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// Its sockets, one per interface.
const SOCKETS: &str = "/run/wpa_supplicant";
/// Our end.
const OURS: &str = "/run/cairn/wifi.socket";
/// No event is longer.
const LONGEST: usize = 4096;

/// The text of its configuration (`wpa_supplicant.conf(5)`). The name is in hexadecimal digits, so nothing in it
/// means anything; the key is in quotes, which end at the last one of the line, so it can't leave them: it has no
/// line break. WPA2 and WPA3 alike, with protected management frames where the network has them.
pub fn configuration(wifi: &Wifi) -> Zeroizing<String> {
    let Wifi { country, ssid, key, hidden } = wifi;
    let text = [
        "ctrl_interface=",
        SOCKETS,
        "\ncountry=",
        country.as_str(),
        // both ways in which WPA3 finds its secret point, since a network may know only one
        "\nsae_pwe=2\nnetwork={\n\tssid=",
        &hex::encode(ssid.as_str()),
        if *hidden { "\n\tscan_ssid=1" } else { "" },
        "\n\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n\tpsk=\"",
        key.expose(),
        "\"\n}\n",
    ];
    // never moved while it grows, so that nothing of the key stays behind
    let mut whole = Zeroizing::new(String::with_capacity(text.iter().map(|part| part.len()).sum()));
    for part in text {
        whole.push_str(part);
    }
    whole
}

/// The control socket of one interface.
pub struct Supplicant(UnixDatagram);

impl Supplicant {
    /// Asks for its events from now on, and for the state that it is in.
    ///
    /// # Errors
    /// When it does not run yet.
    pub fn attach(interface: &str) -> io::Result<Self> {
        Self::between(&Path::new(SOCKETS).join(interface), Path::new(OURS))
    }

    fn between(theirs: &Path, ours: &Path) -> io::Result<Self> {
        let _ = std::fs::remove_file(ours);
        let socket = UnixDatagram::bind(ours)?;
        socket.connect(theirs)?;
        socket.send(b"ATTACH")?;
        socket.send(b"STATUS")?;
        Ok(Self(socket))
    }

    /// The next thing that it says, `None` when it said nothing for so long.
    ///
    /// # Errors
    /// When it does not run any more.
    pub fn next(&self, wait: Duration) -> io::Result<Option<String>> {
        let mut buffer = [0; LONGEST];
        self.0.set_read_timeout(Some(wait))?;
        match self.0.recv(&mut buffer) {
            Ok(length) => Ok(buffer.get(..length).map(|bytes| String::from_utf8_lossy(bytes).into_owned())),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                // a process that is gone says nothing either
                self.0.send(b"PING").map(|_| None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_model::secret::Secret;
    use proptest::prelude::*;
    use std::path::PathBuf;
    use std::process::Command;

    /// Debian 13's, which `make setup` brings, or the system's own.
    fn judge() -> Option<PathBuf> {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.state/tools/bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(tools).chain(std::env::split_paths(&path));
        folders.map(|folder| folder.join("wpa_supplicant")).find(|program| program.exists())
    }

    fn wifi(ssid: &str, key: &str, hidden: bool) -> Wifi {
        Wifi::filled_in("DE", ssid, Secret::new(key.into()), hidden).unwrap().unwrap()
    }

    #[test]
    fn the_configuration_is_one_network_with_its_name_in_digits() {
        assert_eq!(
            configuration(&wifi("home", "open \"sesame\" #1\\", true)).as_str(),
            "ctrl_interface=/run/wpa_supplicant\ncountry=DE\nsae_pwe=2\nnetwork={\n\tssid=686f6d65\n\tscan_ssid=1\n\
             \tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n\tpsk=\"open \"sesame\" #1\\\"\n}\n"
        );
        assert!(!configuration(&wifi("home", "12345678", false)).contains("scan_ssid"));
    }

    proptest! {
        #[test]
        fn whatever_name_and_key_are_the_lines_are_the_same(ssid in "\\PC{1,8}", key in "[ -~]{8,63}") {
            let text = configuration(&wifi(&ssid, &key, false));
            let lines: Vec<&str> = text.lines().collect();
            prop_assert_eq!(lines.len(), 9);
            let digits = lines[4].strip_prefix("\tssid=").unwrap();
            prop_assert_eq!(hex::decode(digits).unwrap(), ssid.as_bytes());
            let inner = lines[7].strip_prefix("\tpsk=\"").and_then(|rest| rest.strip_suffix('"'));
            prop_assert_eq!(inner, Some(key.as_str()));
        }
    }

    /// It reads its configuration before it finds that there is no such interface.
    #[test]
    fn wpa_supplicant_reads_the_very_name_and_key_out_of_it() {
        let judge = judge().expect("wpa_supplicant is missing: run `make setup`");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conf");
        let keys = [
            "open \"sesame\" #1\\",
            "  spaces around  ",
            "\"\"\"\"\"\"\"\"",
            "########",
            "}network={",
            &"~".repeat(63),
        ];
        for (ssid, key) in ["home", "ünïcödé", "a\"b#c\\d", " x ", "}", "P\"x\""].iter().zip(keys) {
            std::fs::write(&path, configuration(&wifi(ssid, key, true)).as_bytes()).unwrap();
            let output = Command::new(&judge)
                .args(["-dd", "-K", "-Dwired", "-ino-such-card", "-c"])
                .arg(&path)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let digits = |text: &str| text.bytes().map(|b| format!("{b:02x} ")).collect::<String>();
            for (what, text) in
                [("ssid - hexdump_ascii", *ssid), ("PSK (ASCII passphrase) - hexdump_ascii", key)]
            {
                assert_dumped(&said, what, text.len(), &digits(text));
            }
            assert!(!said.contains("Failed to read or parse configuration"), "{said}");
            assert!(said.contains("key_mgmt: 0x"), "{said}");
        }
    }

    /// `hexdump_ascii` prints 16 bytes a line, digits first.
    fn assert_dumped(said: &str, what: &str, length: usize, digits: &str) {
        let head = format!("{what}(len={length}):");
        let after = said.split_once(&head).unwrap_or_else(|| panic!("{head} in {said}")).1;
        let mut found = String::new();
        for line in after.lines().skip(1).take(length.div_ceil(16)) {
            found.push_str(&line.trim_start().chars().take(48).collect::<String>());
        }
        let found: Vec<&str> = found.split_whitespace().take(length).collect();
        assert_eq!(found.join(" "), digits.trim());
    }

    #[test]
    fn events_come_until_the_other_side_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
        assert!(Supplicant::between(&theirs, &ours).is_err());
        let other = UnixDatagram::bind(&theirs).unwrap();
        let supplicant = Supplicant::between(&theirs, &ours).unwrap();
        other.send_to(b"<3>CTRL-EVENT-CONNECTED", &ours).unwrap();
        let heard = supplicant.next(Duration::from_secs(9)).unwrap();
        assert_eq!(heard.as_deref(), Some("<3>CTRL-EVENT-CONNECTED"));
        assert_eq!(supplicant.next(Duration::from_millis(1)).unwrap(), None);
        drop(other);
        assert!(supplicant.next(Duration::from_millis(1)).is_err());
    }
}
