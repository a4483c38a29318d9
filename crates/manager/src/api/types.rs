//! What goes over the API. All of it is read back by `cairn` and by scripts.

mod media;

pub use media::{
    DiskStatus, MediumBoard, MediumFormat, MediumKind, MediumRequest, MediumState, MediumStatus,
    WriteMediumRequest,
};

use crate::next_boot::NextBoot;
use cairn_model::cluster::Role;
use cairn_model::inventory::Inventory;
use cairn_model::log::{LogEntry, Unit};
use cairn_model::phase::{Condition, Phase};
use cairn_model::secret::Secret;
use cairn_model::vitals::Vitals;
use cairn_workflow::{Event, Plan, Row};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use utoipa::ToSchema;

/// `GET /api/v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub cluster: ClusterStatus,
    /// Every place of the cluster file, in its order.
    pub nodes: Vec<NodeStatus>,
    /// Machines that are no node (yet).
    pub machines: Vec<MachineStatus>,
    pub etcd: EtcdStatus,
    pub network: NetworkStatus,
    pub healthy: bool,
    /// One sentence each; empty when healthy.
    pub unhealthy_because: Vec<String>,
    /// The shutdown or start of the whole cluster that was asked for last.
    #[serde(default)]
    pub power: Option<JobStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterStatus {
    pub name: String,
    /// Of the cluster file.
    pub generation: u64,
    /// The manager's fixed address.
    #[schema(value_type = Option<String>, format = Ipv4)]
    pub manager_address: Option<Ipv4Addr>,
    /// The newest generation that the owner is known to have stored.
    #[serde(default)]
    pub stored: Option<u64>,
    /// The owner should be asked to store the cluster file now.
    #[serde(default)]
    pub ask_to_store: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    pub name: String,
    pub role: Role,
    pub phase: Phase,
    pub conditions: Vec<Condition>,
    /// Its fixed cluster address.
    #[schema(value_type = String, format = Ipv4)]
    pub address: Ipv4Addr,
    /// A machine has taken the place.
    pub enrolled: bool,
    pub encrypted: bool,
    pub unlocked: bool,
    /// Bytes.
    pub memory_used: u64,
    /// Bytes that the agent itself occupies.
    pub agent_resident: u64,
    /// Of the node image.
    pub version: Option<String>,
    /// What the machine is made of, as it last said.
    #[serde(default)]
    pub inventory: Option<Inventory>,
    pub job: Option<JobStatus>,
    /// What it told when it was last asked; an older agent does not.
    #[serde(default)]
    pub vitals: Option<NodeVitals>,
    /// What it starts once, when it next boots from the network.
    #[serde(default)]
    pub next_boot: Option<NextBoot>,
}

/// How a node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeVitals {
    #[serde(flatten)]
    pub told: Vitals,
    /// Its clock less the manager's, to a second or two.
    pub clock_offset_seconds: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobStatus {
    /// `install` or `unlock`.
    pub job: String,
    pub rows: Vec<Row>,
    /// Of the step that runs, where it says how far it is.
    #[serde(default)]
    pub seconds_left: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineStatus {
    /// The fingerprint of its key: what it is approved by.
    pub id: String,
    /// The beginning of the fingerprint, as its console shows it too.
    pub short_id: String,
    pub phase: Phase,
    /// The node that it says it is.
    pub claims: Option<String>,
    /// To be compared with the machine's console.
    pub code: Option<String>,
    /// The owner has approved it.
    pub approved: bool,
    /// It was started from an installer stick and proved its join key: it is approved by naming its disk,
    /// without a code.
    #[serde(default)]
    pub waits_for_disk: bool,
    pub inventory: Option<Inventory>,
    /// Vendor and model in one line.
    pub product: String,
    /// The place that suits it: a free one, or a new one that its approval makes.
    pub suggested: Option<String>,
    /// What of its hardware speaks for that place.
    #[serde(default)]
    pub suggested_because: Option<String>,
    /// Why it can't serve as any node.
    #[serde(default)]
    pub unfit: Option<String>,
    /// Why it gets nothing, or why the last attempt failed.
    pub refused: Option<String>,
    /// What it starts once, when it next boots from the network.
    #[serde(default)]
    pub next_boot: Option<NextBoot>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EtcdStatus {
    /// One for each etcd node of the cluster file; empty while none runs.
    pub members: Vec<EtcdMemberStatus>,
    /// How many are healthy.
    pub healthy: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EtcdMemberStatus {
    pub name: String,
    pub id: Option<String>,
    pub peer_url: Option<String>,
    pub healthy: bool,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkStatus {
    /// How network boot is served: `own_cable`, `home_network` or `none`.
    pub mode: String,
    /// `off`, `starting`, `running` or `refused`.
    pub state: String,
    /// One sentence.
    pub message: String,
    /// Why the manager's cluster address is not where it should be.
    pub address_error: Option<String>,
}

/// `GET /api/v1/open`: whether a cluster file is open. Anyone may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenState {
    pub open: bool,
    /// The cluster for which only the passphrase is missing, or which is open.
    pub cluster: Option<String>,
    pub generation: Option<u64>,
}

/// `POST /api/v1/open`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenRequest {
    /// The sealed text; without it the manager opens what it has.
    #[serde(default)]
    pub file: Option<String>,
    pub passphrase: Secret,
}

/// `POST /api/v1/new`: makes a cluster and opens it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    pub name: String,
    /// One is made when left out.
    #[serde(default)]
    pub passphrase: Option<Secret>,
}

/// What belongs into the owner's password manager, in one entry.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewResponse {
    /// Its password.
    pub passphrase: Secret,
    /// Its note.
    pub file: String,
    pub characters: usize,
    /// Before the note would be too long for a password manager.
    pub left: usize,
}

/// `POST /api/v1/machines/{id}/approve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// As the machine's console shows it; may be left out for an installer stick's machine.
    #[serde(default)]
    pub code: String,
    /// A free place, or the name of a new one; the suggested one when left out.
    #[serde(default)]
    pub node: Option<String>,
    /// Of a new place whose name does not say it.
    #[serde(default)]
    pub role: Option<Role>,
    /// The stable id of the disk to install on; may be left out when only one would do.
    #[serde(default)]
    pub disk: Option<String>,
    /// What is on that disk may go.
    #[serde(default)]
    pub wipe: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApproveResponse {
    pub node: String,
    pub disk: String,
    /// How large the cluster file will be with it, and what the owner has to do otherwise when that is too much
    /// for a note. An older manager does not tell.
    #[serde(default)]
    pub cluster_file: String,
}

/// The data of a server-sent event `job` of `GET /api/v1/events`; its id is the number to resume after.
/// An event `status` says that `GET /api/v1/status` has something new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventMessage {
    /// A node by its name, or what else the job is about.
    pub subject: String,
    /// When, since 1970, by the manager's clock.
    #[serde(default)]
    pub unix_seconds: u64,
    pub event: Event,
}

/// How one of the server-sent events is read; for the description only.
#[derive(ToSchema)]
#[expect(dead_code, reason = "events are written by axum")]
pub struct ServerSentEvent {
    /// Which kind.
    event: String,
    /// What to send as `Last-Event-ID` to go on after it.
    id: Option<String>,
    /// JSON, or what the operation says.
    data: String,
}

/// `GET /api/v1/nodes/{name}/units`: what can be asked of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeUnits {
    pub units: Vec<Unit>,
}

/// `GET /api/v1/nodes/{name}/logs`. With `follow=true` these come as server-sent events `entry`, whose id is
/// the cursor to resume after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeLog {
    /// Oldest first.
    pub entries: Vec<LogEntry>,
}

/// The data of an event `broken` among them: the node can't be read now, and is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogBroken {
    pub reason: String,
}

/// One of `GET /api/v1/checks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckStatus {
    /// A node by its name, or `etcd`.
    pub subject: String,
    /// What was tried.
    pub what: String,
    pub result: CheckResult,
    /// What came back.
    pub found: String,
    /// What to do; none when all is well.
    pub advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    Good,
    /// It is on its way by itself.
    Waiting,
    /// It works, and somebody should look at it.
    Attention,
    Failed,
}

/// One of `GET /api/v1/actions`: what the owner may want to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionStatus {
    /// `set-up`, `recover`, `shut-down`, `start`, `add-node` or `remove-node`.
    pub id: String,
    pub title: String,
    /// Why it makes no sense now; none when it is offered.
    pub refused: Option<String>,
}

/// `POST /api/v1/shutdown` and `POST /api/v1/start`: what will be done. The events of the job have this subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PowerResponse {
    pub subject: String,
    pub plan: Plan,
}

/// `POST /api/v1/nodes/{name}/blink` and `POST /api/v1/machines/{id}/blink`; the body may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlinkRequest {
    /// 1 to 60; 15 when left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 60)]
    pub seconds: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlinkResponse {
    /// What blinks, in words.
    pub light: String,
    pub seconds: u32,
}

/// `PUT /api/v1/nodes/{name}/next-boot` and `PUT /api/v1/machines/{id}/next-boot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NextBootRequest {
    pub start: NextBoot,
}
