//! The HTTP API: its types, which the command line reads too, and its routes.
//!
//! Everything below `/api/v1` speaks JSON; errors are `application/problem+json` (RFC 9457). A request
//! carries the session token as `Authorization: Bearer`, or the cookie that `/login` gave a browser.

mod artifacts;
mod ask;
mod auth;
mod blink;
mod cluster;
mod events;
mod kubeconfig;
mod lan;
mod logs;
mod machines;
mod media;
mod network;
mod next_boot;
mod nodes;
mod problem;
mod routes;
mod secure_boot;
mod serial;
mod types;

pub use crate::lan::LanStatus;
pub use crate::network::types::{
    DhcpServer, FetchStatus, FoundMachine, InterfaceStatus, Mode, NetworkReport, PortStatus, ScanReport,
    ScanRequest, StoryLine, WireMachine,
};
pub use crate::next_boot::NextBoot;
pub(crate) use artifacts::pull as pull_artifacts;
pub(crate) use ask::{Asked, Part};
pub(crate) use auth::{SESSION_COOKIE, Session, is_own_origin, own_host_only, session_cookie};
pub use cairn_host::serial::Adapter;
pub use cairn_host::usb_boot::WaitingBoard;
pub use cairn_netboot::Stage;
pub(crate) use cluster::{remove, shut_down, start};
pub(crate) use kubeconfig::kubeconfig;
pub use lan::LanSwitch;
pub(crate) use lan::switch as switch_lan;
pub(crate) use machines::give;
pub(crate) use media::image;
pub use media::{IMAGE_LENGTH, IMAGE_SHA256, MEDIUM_ID};
pub(crate) use next_boot::{forget_machine, forget_node, set_machine, set_node};
pub(crate) use nodes::{cluster_file, power_off, restart, tell};
pub use problem::Problem;
pub(crate) use routes::{MOST_BODY, Shared, not_so, operations, router};
pub(crate) use secure_boot::certificate;
pub use types::{
    ActionStatus, ApproveRequest, ApproveResponse, BlinkRequest, BlinkResponse, CheckResult, CheckStatus,
    ClusterStatus, DiskStatus, EtcdMemberStatus, EtcdStatus, EventMessage, JobStatus, LogBroken,
    MachineStatus, MediumBoard, MediumFormat, MediumKind, MediumRequest, MediumState, MediumStatus,
    NetworkStatus, NewRequest, NewResponse, NextBootRequest, NodeLog, NodeStatus, NodeUnits, NodeVitals,
    OpenRequest, OpenState, PowerResponse, ServerSentEvent, Status, WriteMediumRequest,
};

#[cfg(test)]
mod asking_tests;
#[cfg(test)]
mod media_tests;
#[cfg(test)]
mod tests;
