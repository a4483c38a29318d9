//! The wireless network of a machine without a cable: what its owner says of it.
//!
//! Everything here was checked when it was made, wherever it came from: a form, an argument or the file on a
//! node's boot partition.

mod country;

use crate::secret::Secret;
use serde::{Deserialize, Serialize};

pub use country::{Country, CountryError};

/// Where it lies on a node's boot partition, as JSON.
pub const FILE: &str = "cairn/wifi.json";
/// IEEE 802.11-2020, section 9.4.2.2: at most 32 octets.
const LONGEST_SSID: usize = 32;
/// IEEE 802.11-2020, section J.4.1: a passphrase has 8 to 63 characters, each from 32 to 126.
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 8..=63;

/// All that a machine has to know to be on a wireless network. Always one with a key: on an open one everybody
/// in its reach would be on the owner's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Wifi {
    /// Where the machine stands: each country allows other channels.
    pub country: Country,
    pub ssid: Ssid,
    pub key: WifiKey,
    /// The network does not say its name, so that it has to be asked for.
    #[serde(default)]
    pub hidden: bool,
}

/// A wireless network's name. Any bytes are allowed there; these are text, as a person types it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 32))]
#[serde(into = "String", try_from = "String")]
pub struct Ssid(String);

/// Its passphrase, as WPA2 and WPA3 take it. (WPA2's derived key alone would not do: WPA3 needs the passphrase.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String, format = Password, min_length = 8, max_length = 63, pattern = "^[ -~]*$"))]
#[serde(into = "Secret", try_from = "Secret")]
pub struct WifiKey(Secret);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WifiError {
    #[error("a Wi-Fi network's name has 1 to 32 bytes, and this one has {0}")]
    SsidLength(usize),
    #[error("a Wi-Fi network's name is one line of text without control characters")]
    SsidControl,
    #[error("a Wi-Fi key has 8 to 63 characters")]
    KeyLength,
    #[error("a Wi-Fi key has no other characters than ASCII's letters, digits, signs and spaces")]
    KeyCharacter,
    #[error(transparent)]
    Country(#[from] CountryError),
    #[error("a Wi-Fi network needs its {0} as well")]
    Missing(&'static str),
}

impl Wifi {
    /// What was filled in on a form: nothing at all is no Wi-Fi, a part of it is a mistake.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn filled_in(
        country: &str,
        ssid: &str,
        key: Secret,
        hidden: bool,
    ) -> Result<Option<Self>, WifiError> {
        let (country, no_key) = (country.trim(), key.expose().is_empty());
        match (country.is_empty(), ssid.is_empty(), no_key) {
            (true, true, true) => Ok(None),
            (_, true, _) => Err(WifiError::Missing("name")),
            (true, ..) => Err(WifiError::Missing("country")),
            (.., true) => Err(WifiError::Missing("key")),
            _ => {
                let (country, ssid) = (country.parse()?, ssid.to_owned().try_into()?);
                Ok(Some(Self { country, ssid, key: key.try_into()?, hidden }))
            }
        }
    }
}

impl Ssid {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Ssid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::text::one_line(&self.0))
    }
}

impl TryFrom<String> for Ssid {
    type Error = WifiError;

    fn try_from(text: String) -> Result<Self, WifiError> {
        match text.len() {
            _ if text.chars().any(char::is_control) => Err(WifiError::SsidControl),
            1..=LONGEST_SSID => Ok(Self(text)),
            length => Err(WifiError::SsidLength(length)),
        }
    }
}

impl From<Ssid> for String {
    fn from(ssid: Ssid) -> Self {
        ssid.0
    }
}

impl WifiKey {
    /// The passphrase itself, for the one place that uses it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl TryFrom<Secret> for WifiKey {
    type Error = WifiError;

    fn try_from(secret: Secret) -> Result<Self, WifiError> {
        let text = secret.expose();
        if !text.bytes().all(|byte| (32..=126).contains(&byte)) {
            return Err(WifiError::KeyCharacter);
        }
        if KEY_LENGTHS.contains(&text.len()) { Ok(Self(secret)) } else { Err(WifiError::KeyLength) }
    }
}

impl From<WifiKey> for Secret {
    fn from(key: WifiKey) -> Self {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> Result<WifiKey, WifiError> {
        Secret::new(text.to_owned()).try_into()
    }

    #[test]
    fn a_key_has_the_length_and_the_characters_that_the_standard_says() {
        for good in ["12345678", "  spaces  at both ends  ", &"x".repeat(63), "quote\" and # and \\"] {
            assert_eq!(key(good).unwrap().expose(), good);
        }
        for short in ["", "1234567", &"x".repeat(64)] {
            assert_eq!(key(short).unwrap_err(), WifiError::KeyLength);
        }
        for foreign in ["schlüssel", "1234567\n8", "12345678\u{7f}", "tab\ttab\ttab"] {
            assert_eq!(key(foreign).unwrap_err(), WifiError::KeyCharacter);
        }
    }

    #[test]
    fn a_name_is_counted_in_bytes_and_can_not_hold_a_second_line() {
        let ssid = |text: &str| Ssid::try_from(text.to_owned());
        assert_eq!(ssid(&"ü".repeat(16)).unwrap().as_str(), "ü".repeat(16));
        assert_eq!(ssid(&"ü".repeat(17)), Err(WifiError::SsidLength(34)));
        assert_eq!(ssid(""), Err(WifiError::SsidLength(0)));
        assert_eq!(ssid("home\nkey_mgmt=NONE"), Err(WifiError::SsidControl));
        assert_eq!(ssid("\u{202e}emoh").unwrap().to_string(), "\u{fffd}emoh");
    }

    #[test]
    fn a_form_that_was_left_empty_is_no_wifi_and_half_a_form_says_what_is_missing() {
        let form = |country: &str, ssid: &str, key: &str| {
            Wifi::filled_in(country, ssid, Secret::new(key.into()), false)
        };
        assert_eq!(form(" ", "", ""), Ok(None));
        assert_eq!(form("DE", "home", ""), Err(WifiError::Missing("key")));
        assert_eq!(form("", "home", "12345678"), Err(WifiError::Missing("country")));
        assert_eq!(form("DE", "", ""), Err(WifiError::Missing("name")));
        assert_eq!(form("DE", "home", "1234"), Err(WifiError::KeyLength));
        let wifi = form("de ", "home", "12345678").unwrap().unwrap();
        assert_eq!((wifi.country.as_str(), wifi.ssid.as_str(), wifi.hidden), ("DE", "home", false));
    }

    #[test]
    fn what_is_shown_of_a_network_has_no_key_in_it() {
        let wifi = Wifi::filled_in("DE", "home", Secret::new("open sesame".into()), true).unwrap().unwrap();
        assert!(!format!("{wifi:?}").contains("sesame"));
        let error = serde_json::from_str::<Wifi>(
            r#"{"country": "DE", "ssid": "home", "key": "sesame\u0007 and more"}"#,
        );
        assert!(!error.unwrap_err().to_string().contains("sesame"));
    }

    proptest! {
        #[test]
        fn what_was_written_down_is_read_again(ssid in "\\PC{1,8}", key in "[ -~]{8,63}", hidden: bool) {
            let wifi = Wifi::filled_in("NZ", &ssid, Secret::new(key), hidden).unwrap().unwrap();
            let text = serde_json::to_string(&wifi).unwrap();
            prop_assert_eq!(serde_json::from_str::<Wifi>(&text).unwrap(), wifi);
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".*") {
            let _ = serde_json::from_str::<Wifi>(&text);
            let _ = Wifi::filled_in(&text, &text, Secret::new(text.clone()), true);
        }
    }
}
