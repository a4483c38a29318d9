//! Keeps the manager's cluster address on its interfaces, whatever else they are given.

use crate::core::Core;
use cairn_netboot::link::{self, LinkError};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::interval;

/// An interface that was made anew has its address back after so long.
const EVERY: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
#[error(
    "the manager's cluster address {address} could not be put on '{interface}', so that nodes don't reach it there"
)]
pub struct AddressError {
    address: Ipv4Addr,
    interface: String,
    source: LinkError,
}

pub async fn keep(core: Arc<Core>, interfaces: Vec<String>) {
    let file = core.book.file();
    let (address, prefix) = (file.cluster().manager_address(), file.cluster().network.prefix_length());
    let mut tick = interval(EVERY);
    while !interfaces.is_empty() {
        tick.tick().await;
        let mut wrong = Vec::new();
        for interface in &interfaces {
            if let Err(source) = link::put(interface, address, prefix).await {
                let error = AddressError { address, interface: interface.clone(), source };
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
