//! What `wpa_supplicant`'s events mean to whoever stands before the machine: one sentence when something
//! changed, none when it goes on.

use cairn_model::wifi::Ssid;

/// A scan may miss a network that is there; the second in a row says something.
const MISSED: u32 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Trying,
    Connected,
    WrongKey,
    NotFound,
    Refused,
    SwitchedOff,
}

/// What was said last.
#[derive(Clone, Debug, Default)]
pub struct Report {
    state: State,
    missed: u32,
}

impl Report {
    /// One line of the control socket; the sentence that it is worth.
    pub fn hear(&mut self, line: &str, ssid: &Ssid) -> Option<String> {
        let next = self.next(line)?;
        if next == self.state {
            return None;
        }
        let before = std::mem::replace(&mut self.state, next);
        Some(match next {
            State::Connected => format!("Wi-Fi: connected to '{ssid}'"),
            State::WrongKey => {
                format!("Wi-Fi: '{ssid}' refuses the key; if it was changed, prepare the medium again")
            }
            State::NotFound => format!("Wi-Fi: no network '{ssid}' is in reach; it goes on looking"),
            State::Refused => {
                format!("Wi-Fi: '{ssid}' refuses this machine; does its router allow only known ones?")
            }
            State::Trying if before == State::Connected => {
                format!("Wi-Fi: the connection to '{ssid}' is lost; it is tried again")
            }
            State::Trying | State::SwitchedOff => return None,
        })
    }

    /// By a switch or a key of the machine.
    pub fn switched_off(&mut self) -> Option<&'static str> {
        let before = std::mem::replace(&mut self.state, State::SwitchedOff);
        (before != State::SwitchedOff)
            .then_some("Wi-Fi: its radio is switched off, by a switch or in the firmware's settings")
    }

    fn next(&mut self, line: &str) -> Option<State> {
        // an event has its level in front, such as <3>; the answer to STATUS is several lines
        let event =
            line.split_once('>').filter(|(level, _)| level.starts_with('<')).map_or(line, |(_, rest)| rest);
        let name = event.split_whitespace().next().unwrap_or_default();
        if name == "CTRL-EVENT-NETWORK-NOT-FOUND" {
            self.missed += 1;
            // it says so after each reason against the network, too
            let known = matches!(self.state, State::WrongKey | State::Refused);
            return (self.missed >= MISSED && !known).then_some(State::NotFound);
        }
        let next = match name {
            "CTRL-EVENT-CONNECTED" => State::Connected,
            "CTRL-EVENT-SSID-TEMP-DISABLED" if event.contains("reason=WRONG_KEY") => State::WrongKey,
            // WPA3: the other side's proof of the key did not fit (status 15), or was refused (1)
            "CTRL-EVENT-AUTH-REJECT"
                if event.contains("auth_type=3") && event.contains("auth_transaction=2") =>
            {
                State::WrongKey
            }
            "CTRL-EVENT-ASSOC-REJECT" | "CTRL-EVENT-AUTH-REJECT" => State::Refused,
            "CTRL-EVENT-DISCONNECTED" if self.state == State::Connected => State::Trying,
            _ if line.lines().any(|line| line == "wpa_state=COMPLETED") => State::Connected,
            _ => return None,
        };
        self.missed = 0;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(lines: &[&str]) -> Vec<String> {
        let (mut report, ssid) = (Report::default(), Ssid::try_from("home".to_owned()).unwrap());
        lines.iter().filter_map(|line| report.hear(line, &ssid)).collect()
    }

    const NOT_FOUND: &str = "<3>CTRL-EVENT-NETWORK-NOT-FOUND ";
    const WRONG: &str =
        "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"home\" auth_failures=1 duration=10 reason=WRONG_KEY";
    const UP: &str = "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]";
    const DOWN: &str = "<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=15";

    #[test]
    fn a_wrong_key_is_told_from_a_network_that_is_not_there() {
        assert_eq!(said(&[DOWN, WRONG, NOT_FOUND, NOT_FOUND, DOWN, WRONG]).len(), 1);
        assert!(said(&[WRONG])[0].contains("refuses the key"));
        let sae = "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=2 status_code=15";
        assert!(said(&[sae])[0].contains("refuses the key"));
        assert!(said(&["<3>CTRL-EVENT-ASSOC-REJECT status_code=37"])[0].contains("refuses this machine"));
        assert_eq!(said(&[NOT_FOUND]), Vec::<String>::new());
        assert!(said(&[NOT_FOUND, NOT_FOUND, NOT_FOUND])[0].contains("no network 'home' is in reach"));
    }

    #[test]
    fn a_connection_that_comes_and_goes_is_told_once_each_time() {
        let told = said(&["OK\n", UP, UP, DOWN, DOWN, NOT_FOUND, UP]);
        assert_eq!(
            told,
            [
                "Wi-Fi: connected to 'home'",
                "Wi-Fi: the connection to 'home' is lost; it is tried again",
                "Wi-Fi: connected to 'home'",
            ]
        );
        assert_eq!(said(&["bssid=02:00\nssid=home\nwpa_state=COMPLETED\n"]).len(), 1);
        assert!(said(&["bssid=02:00\nwpa_state=SCANNING\n"]).is_empty());
    }

    #[test]
    fn a_radio_that_is_switched_off_is_told_once() {
        let mut report = Report::default();
        assert!(report.switched_off().is_some() && report.switched_off().is_none());
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(lines in proptest::collection::vec(".*", 0..8)) {
            said(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
