//! What `GET /api/v1/network` says.

use cairn_host::interface::Kind;
use cairn_host::port::{Holder, Protocol};
use cairn_netboot::Stage;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use utoipa::ToSchema;

/// `GET /api/v1/network`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkReport {
    /// Which way onto the wire fits here.
    pub mode: Mode,
    /// The same in one sentence, with what to do.
    pub sentence: String,
    /// Why the machines' network can't be seen from here at all, and what to do then.
    pub hidden: Option<String>,
    /// Of the manager's machine.
    pub interfaces: Vec<InterfaceStatus>,
    /// Others that hand out addresses.
    pub dhcp_servers: Vec<DhcpServer>,
    /// The ports that network boot needs on the manager's machine.
    pub ports: Vec<PortStatus>,
    /// Machines that asked DHCP, the latest first.
    pub machines: Vec<WireMachine>,
    /// What the last scan found.
    pub last_scan: Option<ScanReport>,
    /// What the manager could not do on the network, one sentence each.
    pub troubles: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Machines are on a cable or switch of their own, where Cairn hands out the addresses.
    OwnCable,
    /// A router hands out the addresses.
    HomeNetwork,
    /// Nothing of the network reaches the manager: machines start from a card or stick.
    PreparedMedium,
    /// There is nothing plugged in.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceStatus {
    pub name: String,
    pub kind: Kind,
    /// Switched on and connected.
    pub up: bool,
    pub mac: Option<String>,
    /// With the length of the network's prefix, such as `192.168.1.5/24`.
    pub addresses: Vec<String>,
    /// Its default route leads there.
    #[schema(value_type = Option<String>, format = Ipv4)]
    pub gateway: Option<Ipv4Addr>,
    /// What the manager uses it for, in words.
    pub used_for: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DhcpServer {
    /// Where it was heard.
    pub interface: String,
    #[schema(value_type = String, format = Ipv4)]
    pub address: Ipv4Addr,
    /// The card that it answered from.
    pub mac: Option<String>,
    pub seconds_ago: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortStatus {
    pub protocol: Protocol,
    pub port: u16,
    /// What network boot needs it for.
    pub purpose: String,
    /// Empty while the port is free.
    pub holders: Vec<Holder>,
}

/// A machine as it is seen on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WireMachine {
    pub mac: String,
    /// The node that it is.
    pub node: Option<String>,
    /// An agent on it has spoken with the manager. Those without are the ones that did not start Cairn.
    pub runs_cairn: bool,
    /// What its firmware said it is.
    pub architecture: Option<String>,
    /// When it last asked DHCP anything.
    pub seconds_ago: Option<u64>,
    /// The address that it was given.
    #[schema(value_type = Option<String>, format = Ipv4)]
    pub address: Option<Ipv4Addr>,
    pub fetch: Option<FetchStatus>,
    /// How far it came.
    pub stage: Stage,
    /// It will not go on by itself.
    pub stuck: bool,
    /// Where it is and what to do, in one sentence.
    pub diagnosis: String,
    /// What it asked, was told and fetched; the latest last.
    pub story: Vec<StoryLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FetchStatus {
    pub file: String,
    /// `TFTP` or `HTTP`.
    pub via: String,
    /// Bytes that have arrived, of `size`.
    pub bytes: u64,
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoryLine {
    /// Milliseconds since 1970 by the manager's clock.
    pub unix_millis: u64,
    pub text: String,
}

/// `POST /api/v1/network/scan`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScanRequest {
    /// Where to look; left out, the one that the manager uses or that leads to the router.
    #[serde(default)]
    pub interface: Option<String>,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScanReport {
    pub interface: String,
    /// The interface's own addresses with their networks' prefixes.
    pub networks: Vec<String>,
    /// Those that answered, by address.
    pub machines: Vec<FoundMachine>,
    pub dhcp_servers: Vec<DhcpServer>,
    /// What could not be found out, one sentence each.
    pub troubles: Vec<String>,
    /// When it was done, in seconds since 1970.
    pub unix_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundMachine {
    #[schema(value_type = String, format = Ipv4)]
    pub address: Ipv4Addr,
    pub mac: String,
    /// What it calls itself (multicast DNS).
    pub name: Option<String>,
    /// The node that it is.
    pub node: Option<String>,
    /// An agent on it has announced itself or spoken with the manager.
    pub runs_cairn: bool,
}
