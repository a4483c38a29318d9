//! Keeps the manager's cluster address on its interfaces, whatever else they are given.

use crate::core::Core;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::interval;

/// An interface that was made anew has its address back after so long.
const EVERY: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("`ip` could not be run; install iproute2")]
    Run(#[source] std::io::Error),
    #[error(
        "the manager's cluster address {address} could not be put on '{interface}', so that nodes don't reach it there: {said} (it needs root or CAP_NET_ADMIN)"
    )]
    Refused { address: Ipv4Addr, interface: String, said: String },
}

async fn put(interface: &str, address: Ipv4Addr, prefix: u8) -> Result<(), AddressError> {
    let output = Command::new("ip")
        .args(["address", "replace", &format!("{address}/{prefix}"), "dev", interface])
        .output()
        .await
        .map_err(AddressError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(AddressError::Refused { address, interface: interface.to_owned(), said })
}

pub async fn keep(core: Arc<Core>, interfaces: Vec<String>) {
    let file = core.book.file();
    let (address, prefix) = (file.cluster().manager_address(), file.cluster().network.prefix_length());
    let mut tick = interval(EVERY);
    while !interfaces.is_empty() {
        tick.tick().await;
        let mut wrong = Vec::new();
        for interface in &interfaces {
            if let Err(error) = put(interface, address, prefix).await {
                wrong.push(cairn_workflow::log::chain(&error));
            }
        }
        let wrong = Some(wrong.join("; ")).filter(|text| !text.is_empty());
        let mut network = core.network();
        if network.address_error != wrong {
            if let Some(words) = &wrong {
                tracing::warn!("{words}");
            }
            network.address_error = wrong;
        }
    }
}
