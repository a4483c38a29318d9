//! Where the page is served: on this machine's loopback by plain HTTP, or to the network by HTTPS.
//!
//! Each listening socket has one, and with it its own idea of which requests are addressed to it. There is no
//! third kind: over a network nothing is served in the clear.

use crate::options::ManagerError;
use axum::http::uri::Authority;
use std::net::{IpAddr, SocketAddr};

/// What `https` means when an address says no port, and what browsers leave out (RFC 9110, section 4.2.2).
const HTTPS_PORT: u16 = 443;

/// Where the requests of one listening socket come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Plain HTTP, for the users of this machine.
    Loopback(SocketAddr),
    /// HTTPS, for whoever is on the network.
    Network(SocketAddr),
}

impl Site {
    /// # Errors
    /// When others than the users of this machine would reach it: what they say there could be read by anyone
    /// between.
    pub fn plain(bound: SocketAddr) -> Result<Self, ManagerError> {
        if bound.ip().is_loopback() { Ok(Self::Loopback(bound)) } else { Err(ManagerError::Plain(bound)) }
    }

    pub fn is_network(self) -> bool {
        matches!(self, Self::Network(_))
    }

    /// The page's own address.
    pub fn url(self) -> String {
        match self {
            Self::Loopback(bound) => format!("http://{bound}"),
            Self::Network(bound) if bound.port() == HTTPS_PORT => match bound.ip() {
                IpAddr::V4(ip) => format!("https://{ip}"),
                IpAddr::V6(ip) => format!("https://[{ip}]"),
            },
            Self::Network(bound) => format!("https://{bound}"),
        }
    }

    /// Whether a `Host` is this server. A page of another site that had its name point here (DNS rebinding)
    /// has its own name in it. On loopback the port may be another one: that of an SSH tunnel's end.
    pub fn is_host(self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let name = authority.host();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        match self {
            Self::Loopback(_) => name == "localhost" || address.is_some_and(|address| address.is_loopback()),
            Self::Network(bound) => {
                let port = authority.port_u16().unwrap_or(HTTPS_PORT);
                address == Some(bound.ip()) && port == bound.port()
            }
        }
    }

    /// What a browser calls the origin of a page that it got from this `Host`.
    pub fn origin(self, host: &str) -> String {
        match self {
            Self::Loopback(_) => format!("http://{host}"),
            Self::Network(_) => format!("https://{host}"),
        }
    }

    /// What a cookie has to carry beside its value. Without the encryption a browser would refuse `Secure`.
    pub fn cookie(self, value: &str) -> String {
        let kept = format!("{value}; HttpOnly; SameSite=Strict; Path=/");
        if self.is_network() { format!("{kept}; Secure") } else { kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(bound: &str) -> Site {
        Site::plain(bound.parse().unwrap()).unwrap()
    }

    fn network(bound: &str) -> Site {
        Site::Network(bound.parse().unwrap())
    }

    #[test]
    fn only_our_own_addresses_are_hosts_of_ours() {
        let local = loopback("127.0.0.1:4200");
        let lan = network("192.168.1.2:4243");
        let cases = [
            ("127.0.0.1:4200", local, true),
            ("localhost:4200", local, true),
            ("localhost", local, true),
            ("localhost:8080", local, true),
            ("[::1]:4200", local, true),
            ("evil.example:4200", local, false),
            ("127.0.0.1.evil.example", local, false),
            ("192.168.1.2:4200", local, false),
            ("", local, false),
            ("a b", local, false),
            ("evil.example@127.0.0.1:4200", local, false),
            ("192.168.1.2:4243", lan, true),
            ("192.168.1.2", lan, false),
            ("192.168.1.2:4200", lan, false),
            ("192.168.1.3:4243", lan, false),
            ("evil.example:4243", lan, false),
            ("evil.example@192.168.1.2:4243", lan, false),
            ("localhost:4243", lan, false),
            ("127.0.0.1:4243", lan, false),
            ("", lan, false),
            ("192.168.1.2", network("192.168.1.2:443"), true),
            ("[fd00::2]:4243", network("[fd00::2]:4243"), true),
        ];
        for (host, site, expected) in cases {
            assert_eq!(site.is_host(host), expected, "{host} at {site:?}");
        }
    }

    #[test]
    fn nothing_but_loopback_is_served_in_the_clear() {
        for bound in ["127.0.0.1:4200", "[::1]:4200", "127.0.0.53:1"] {
            assert!(Site::plain(bound.parse().unwrap()).is_ok(), "{bound}");
        }
        for bound in ["0.0.0.0:4200", "[::]:4200", "192.168.1.2:4200", "10.0.0.1:1"] {
            assert!(matches!(Site::plain(bound.parse().unwrap()), Err(ManagerError::Plain(_))), "{bound}");
        }
    }

    #[test]
    fn an_address_is_said_as_a_browser_says_it() {
        assert_eq!(loopback("127.0.0.1:4200").url(), "http://127.0.0.1:4200");
        assert_eq!(network("192.168.1.2:4243").url(), "https://192.168.1.2:4243");
        assert_eq!(network("192.168.1.2:443").url(), "https://192.168.1.2");
        assert_eq!(network("[fd00::2]:443").url(), "https://[fd00::2]");
    }

    #[test]
    fn a_cookie_that_was_given_over_tls_comes_back_over_tls_only() {
        assert!(network("192.168.1.2:4243").cookie("a=b").ends_with("; Secure"));
        assert!(!loopback("127.0.0.1:4200").cookie("a=b").contains("Secure"));
    }

    proptest::proptest! {
        #[test]
        fn no_host_makes_the_check_panic(text in ".{0,80}") {
            let _ = loopback("127.0.0.1:4200").is_host(&text);
            let _ = network("192.168.1.2:4243").is_host(&text);
        }
    }
}
