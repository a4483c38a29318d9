//! What is only worth counting.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    malformed_dhcp: AtomicU64,
    malformed_tftp: AtomicU64,
    refused_transfers: AtomicU64,
}

/// A copy of the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Packets on the DHCP port that were no DHCP.
    pub malformed_dhcp: u64,
    /// Packets on the TFTP port that were no TFTP.
    pub malformed_tftp: u64,
    /// TFTP requests beyond the number of transfers that may run at once.
    pub refused_transfers: u64,
}

impl Counters {
    pub fn malformed_dhcp(&self) {
        self.malformed_dhcp.fetch_add(1, Ordering::Relaxed);
    }

    pub fn malformed_tftp(&self) {
        self.malformed_tftp.fetch_add(1, Ordering::Relaxed);
    }

    pub fn refused_transfer(&self) {
        self.refused_transfers.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Counts {
        Counts {
            malformed_dhcp: self.malformed_dhcp.load(Ordering::Relaxed),
            malformed_tftp: self.malformed_tftp.load(Ordering::Relaxed),
            refused_transfers: self.refused_transfers.load(Ordering::Relaxed),
        }
    }
}
