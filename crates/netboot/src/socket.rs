//! Sockets that belong to one interface.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 256;

/// A UDP socket on `interface` that nobody else on this machine may share.
pub fn udp(interface: &str, address: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let socket = bare_udp(interface)?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    UdpSocket::from_std(socket.into())
}

/// A pair on `port`: one that hears broadcasts, and one bound to `address` from which to answer, so that
/// the answers name this address as their source whichever others the interface has. The first is bound
/// before it allows to be shared, so that a server that is already there is an error.
pub fn udp_pair(interface: &str, address: Ipv4Addr, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
    let heard = bare_udp(interface)?;
    heard.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    heard.set_reuse_address(true)?;
    let own = bare_udp(interface)?;
    own.set_reuse_address(true)?;
    own.bind(&SocketAddr::from((address, port)).into())?;
    Ok((UdpSocket::from_std(heard.into())?, UdpSocket::from_std(own.into())?))
}

/// A listening TCP socket on `interface`.
pub fn tcp(interface: &str, address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_nonblocking(true)?;
    // Only so that a restart need not wait for old connections to time out.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((address, port)).into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bare_udp(interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
