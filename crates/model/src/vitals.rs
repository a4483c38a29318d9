//! How a machine does: what changes from one look to the next.

use crate::etcd::EtcdVitals;
use serde::{Deserialize, Serialize};

/// What an older agent does not tell is zero, empty or absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Vitals {
    /// Bytes.
    pub memory_total: u64,
    /// Bytes that no new program can have.
    pub memory_used: u64,
    /// Load averages over 1, 5 and 15 minutes in hundredths (proc_loadavg(5)).
    pub load_hundredths: [u32; 3],
    pub uptime_seconds: u64,
    /// Seconds since 1970 by its own clock. Certificates do not depend on it; applications do.
    pub clock: u64,
    /// Whether that clock was set since the start, or went on while the machine was off.
    pub clock_known: Option<bool>,
    /// The data partition, once it is open.
    pub data: Option<Space>,
    /// Bytes that went to the data partition since the start, where the kernel counts them.
    pub data_written: Option<u64>,
    /// Of a member of etcd that answers.
    pub etcd: Option<EtcdVitals>,
    /// Those that matter, and all that failed.
    pub services: Vec<Service>,
}

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Space {
    pub total: u64,
    pub free: u64,
}

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Service {
    pub unit: String,
    pub state: ServiceState,
    /// The finer state, such as `running`, `auto-restart` or `exited`, in systemd's word.
    pub detail: String,
}

/// `ActiveState` of org.freedesktop.systemd1(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    Active,
    Reloading,
    Inactive,
    Failed,
    Activating,
    Deactivating,
    #[serde(other)]
    Unknown,
}

impl std::fmt::Display for ServiceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "starting",
            Self::Deactivating => "stopping",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_tells_less_or_more_is_understood() {
        let less: Vitals = serde_json::from_str(r#"{"memory_total":5}"#).unwrap();
        assert_eq!(less, Vitals { memory_total: 5, ..Vitals::default() });
        let more: Vitals = serde_json::from_str(
            r#"{"temperature":40,"services":[{"unit":"a.service","state":"refreshing","detail":""}]}"#,
        )
        .unwrap();
        assert_eq!(more.services.first().map(|service| service.state), Some(ServiceState::Unknown));
    }
}
