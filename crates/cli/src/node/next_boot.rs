//! `cairn node next-boot`: what a machine starts once, when it next boots from the network.

use super::path;
use crate::client::Client;
use crate::say;
use anyhow::Result;
use cairn_manager::api::{NextBoot, NextBootRequest};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Start {
    /// A menu of rescue systems (netboot.xyz), which come from the internet
    Rescue,
    /// memtest86+, on x86-64 machines with UEFI
    MemoryTest,
    /// Nothing else after all
    Usual,
}

impl Start {
    fn wanted(self) -> Option<NextBoot> {
        match self {
            Self::Rescue => Some(NextBoot::Rescue),
            Self::MemoryTest => Some(NextBoot::MemoryTest),
            Self::Usual => None,
        }
    }
}

pub fn run(client: &Client, machine: &str, start: Start) -> Result<()> {
    let path = format!("{}/next-boot", path(client, machine)?);
    match start.wanted() {
        Some(start) => {
            client.put(&path, &NextBootRequest { start })?;
            say!(
                "{machine} starts {start} when it next boots from the network, once; restart it, or switch it off and on"
            )
        }
        None => {
            client.delete(&path)?;
            say!("{machine} starts what is usual when it next boots from the network")
        }
    }
}
