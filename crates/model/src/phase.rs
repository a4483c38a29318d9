//! Where a node stands on its way from power-on to running, and what is worth telling about it.

use serde::{Deserialize, Serialize};

/// The one-word state of a machine. A fault of a running node is a [`Condition`], not a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In the cluster file, never seen since the manager started.
    Absent,
    /// Started from the network, unknown, waits for the owner's approval.
    Discovered,
    /// Started from a prepared medium, enrols by its join key.
    Joining,
    /// Approved; the agent writes disks.
    Installing,
    /// Restarts after the installation.
    Restarting,
    /// Waits for the key of its data partition.
    Locked,
    /// Unlocked, on its way from the initrd to the running system.
    Starting,
    Running,
    /// Was seen and does not answer any more.
    Unreachable,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::Discovered => "discovered",
            Self::Joining => "joining",
            Self::Installing => "installing",
            Self::Restarting => "restarting",
            Self::Locked => "locked",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Unreachable => "unreachable",
        })
    }
}

/// Something about a node that the owner may want to know or has to act on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Condition {
    pub kind: ConditionKind,
    /// What a person reads, such as `waiting for artifact k3s v1.33.1+k3s1`.
    pub message: String,
}

/// Whether a condition is in the way of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// Something is still to come; nothing is wrong.
    Waiting,
    /// Something is wrong and does not go away by itself.
    Fault,
}

impl Condition {
    pub fn waiting(message: impl Into<String>) -> Self {
        Self { kind: ConditionKind::Waiting, message: message.into() }
    }

    pub fn fault(message: impl Into<String>) -> Self {
        Self { kind: ConditionKind::Fault, message: message.into() }
    }
}
