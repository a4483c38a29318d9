//! An interface's switch and its addresses, by rtnetlink(7).
//!
//! Not by iproute2's `ip`: the capabilities that a program's file carries are not handed on to what it starts,
//! and a container made from nothing has no `ip`.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec, new_connection};
use tokio::task::JoinHandle;

use crate::link::LinkError;

/// What the kernel is asked about one interface.
pub struct Kernel {
    interface: String,
    index: u32,
    handle: Handle,
    /// Carries questions and answers.
    connection: JoinHandle<()>,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Kernel {
    /// Needs a Tokio runtime.
    pub fn ask(interface: &str) -> Result<Self, LinkError> {
        let index = nix::net::if_::if_nametoindex(interface)
            .map_err(|_| LinkError::NoInterface(interface.to_owned()))?;
        let (connection, handle, _) =
            new_connection().map_err(|source| LinkError::Ask { interface: interface.to_owned(), source })?;
        Ok(Self { interface: interface.to_owned(), index, handle, connection: tokio::spawn(connection) })
    }

    pub async fn up(&self) -> Result<(), LinkError> {
        let on = LinkUnspec::new_with_index(self.index).up().build();
        self.told("switch the link on", self.handle.link().set(on).execute().await)
    }

    /// Gives it an address, or prolongs one that it has. Without a lifetime it is for good.
    pub async fn put(
        &self,
        address: Ipv4Addr,
        prefix: u8,
        lifetime: Option<Duration>,
    ) -> Result<(), LinkError> {
        let mut request = self.handle.address().add(self.index, address.into(), prefix).replace();
        if let Some(lifetime) = lifetime {
            let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
            let mut info = CacheInfo::default();
            (info.ifa_valid, info.ifa_preferred) = (seconds, seconds);
            request.message_mut().attributes.push(AddressAttribute::CacheInfo(info));
        }
        self.told(&format!("put the address {address}/{prefix}"), request.execute().await)
    }

    pub async fn take(&self, address: Ipv4Addr, prefix: u8) -> Result<(), LinkError> {
        let which =
            AddressMessageBuilder::<Ipv4Addr>::new().index(self.index).address(address, prefix).build();
        let told = self.handle.address().del(which).execute().await;
        self.told(&format!("take the address {address}/{prefix} away"), told)
    }

    /// Whether somebody gave it this address without an end.
    pub async fn has_for_good(&self, address: Ipv4Addr, prefix: u8) -> Result<bool, LinkError> {
        let all =
            self.handle.address().get().set_link_index_filter(self.index).set_prefix_length_filter(prefix);
        let found: Result<Vec<AddressMessage>, _> =
            all.set_address_filter(address.into()).execute().try_collect().await;
        let found = self.told("tell the addresses", found)?;
        let for_good = |attribute: &AddressAttribute| matches!(attribute, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Permanent));
        Ok(found.iter().any(|message| message.attributes.iter().any(for_good)))
    }

    fn told<T>(&self, what: &str, answer: Result<T, rtnetlink::Error>) -> Result<T, LinkError> {
        answer.map_err(|error| LinkError::Refused {
            what: what.to_owned(),
            interface: self.interface.clone(),
            source: match error {
                rtnetlink::Error::NetlinkError(message) => message.to_io(),
                other => io::Error::other(other),
            },
        })
    }
}
