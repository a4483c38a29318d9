//! The Wi-Fi of a machine without a cable. Its key never comes from an argument, which other processes can read.

use crate::passphrase;
use anyhow::{Context as _, Result};
use cairn_model::secret::Secret;
use cairn_model::wifi::Wifi;
use clap::Args;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The key is asked for at the terminal when neither file nor descriptor is given.
#[derive(Clone, Debug, Args)]
pub struct WifiArguments {
    /// For a machine without a cable: the name of its Wi-Fi network. Its key lies on the medium unencrypted
    #[arg(long, value_name = "NAME", requires = "wifi_country")]
    wifi_ssid: Option<String>,
    /// The country in which the machine stands, in two letters, such as DE
    #[arg(long, value_name = "CODE", requires = "wifi_ssid")]
    wifi_country: Option<String>,
    /// The network hides its name
    #[arg(long, requires = "wifi_ssid")]
    wifi_hidden: bool,
    /// Take the network's key from this file instead of asking for it
    #[arg(long, value_name = "FILE", requires = "wifi_ssid", conflicts_with = "wifi_key_fd")]
    wifi_key_file: Option<PathBuf>,
    /// Take the network's key from this open file descriptor
    #[arg(long, value_name = "N", requires = "wifi_ssid")]
    wifi_key_fd: Option<u32>,
}

impl WifiArguments {
    /// What was given, if anything was.
    ///
    /// # Errors
    /// When it is no network, or its key can't be read or asked for.
    pub fn get(&self) -> Result<Option<Wifi>> {
        let Self { wifi_ssid, wifi_country, wifi_hidden, wifi_key_file, wifi_key_fd } = self;
        let (Some(ssid), Some(country)) = (wifi_ssid, wifi_country) else { return Ok(None) };
        let mut key = match passphrase::line(wifi_key_file.as_deref(), *wifi_key_fd)? {
            Some(key) => key,
            None => rpassword::prompt_password(format!("Key of the Wi-Fi network {ssid}: "))
                .map(Zeroizing::new)
                .context(
                    "the key could not be asked for here; give it with --wifi-key-file or --wifi-key-fd",
                )?,
        };
        Ok(Wifi::filled_in(country, ssid, Secret::new(std::mem::take(&mut *key)), *wifi_hidden)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::Write as _;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        wifi: WifiArguments,
    }

    fn wifi(arguments: &[&str]) -> Result<Option<Wifi>> {
        Line::try_parse_from([&["cairn"], arguments].concat())?.wifi.get()
    }

    #[test]
    fn a_key_is_taken_from_a_file_as_it_stands_there_without_the_end_of_its_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b" open sesame \r\n").unwrap();
        let path = file.path().to_str().unwrap();
        let given = ["--wifi-ssid", "home", "--wifi-country", "de", "--wifi-key-file", path];
        let got = wifi(&given).unwrap().unwrap();
        assert_eq!((got.key.expose(), got.country.as_str(), got.hidden), (" open sesame ", "DE", false));
        file.as_file().write_all(b"second line").unwrap();
        assert!(wifi(&given).unwrap_err().to_string().contains("more than one line"));
    }

    #[test]
    fn half_a_network_is_refused_and_none_is_no_wifi() {
        assert_eq!(wifi(&[]).unwrap(), None);
        for half in [&["--wifi-ssid", "home"][..], &["--wifi-country", "DE"], &["--wifi-key-fd", "9"]] {
            assert!(wifi(half).is_err(), "{half:?}");
        }
    }
}
