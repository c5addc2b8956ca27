//! The sockets, bound before anything else starts, so that a port in use fails early and by name.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::Addresses;
use crate::config::Config;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;
/// Queries that the kernel keeps for a worker that is busy: a burst of some thousands.
const UDP_BUFFER_BYTES: usize = 4 << 20;
/// How often a pair of UDP and TCP ports is looked for, where any free one will do.
const PAIR_ATTEMPTS: usize = 16;

/// Every socket of the program; empty or `None` for a role that is off.
#[derive(Debug, Default)]
pub struct Listeners {
    /// One for each worker, all on the same address.
    pub gateway: Vec<TcpListener>,
    /// One for each worker, all on the same address.
    pub aws: Vec<TcpListener>,
    /// The admin port.
    pub admin: Option<TcpListener>,
    /// UDP and TCP of the DNS port, one pair for each worker, all on the same address.
    pub dns: Vec<(UdpSocket, TcpListener)>,
}

/// A port that cannot be had.
#[derive(Debug)]
pub struct BindError {
    role: &'static str,
    address: SocketAddr,
    error: Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { role, address, error } = self;
        write!(f, "cannot listen on {address} (--{role}): ")?;
        match error.kind() {
            ErrorKind::AddrInUse => write!(
                f,
                "the port is in use; stop the program that holds it, or choose another port with --{role}"
            ),
            ErrorKind::PermissionDenied => {
                write!(f, "ports below 1024 need a privilege; choose a higher one")
            }
            ErrorKind::AddrNotAvailable => write!(f, "this machine does not have that address"),
            _ => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BindError {}

impl Listeners {
    /// Binds every role of `config`.
    pub fn bind(config: &Config) -> Result<Listeners, BindError> {
        let listen = &config.listen;
        let shared = |role, address: Option<SocketAddr>| match address {
            None => Ok(Vec::new()),
            Some(address) => {
                shared(address, config.workers).map_err(|error| BindError { role, address, error })
            }
        };
        let one = |role, address: SocketAddr| {
            tcp(address, false).map_err(|error| BindError { role, address, error })
        };
        let pairs = |address| {
            pairs(address, config.workers).map_err(|error| BindError {
                role: "dns",
                address,
                error,
            })
        };
        Ok(Listeners {
            gateway: shared("gateway", listen.gateway)?,
            aws: shared("aws", listen.aws)?,
            admin: listen.admin.map(|address| one("admin", address)).transpose()?,
            dns: listen.dns.map(pairs).transpose()?.unwrap_or_default(),
        })
    }

    /// Where they listen: the real ports where any free one was asked for.
    pub fn addresses(&self) -> Result<Addresses, Error> {
        let first = |listeners: &[TcpListener]| listeners.first().map(TcpListener::local_addr).transpose();
        Ok(Addresses {
            gateway: first(&self.gateway)?,
            aws: first(&self.aws)?,
            admin: self.admin.as_ref().map(TcpListener::local_addr).transpose()?,
            dns: self.dns.first().map(|(udp, _)| udp.local_addr()).transpose()?,
        })
    }
}

/// One listener for each worker on one address. The kernel spreads connections over them (`SO_REUSEPORT`).
fn shared(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, Error> {
    if !cfg!(target_os = "linux") {
        // Elsewhere the last one to bind would get every connection: let the workers share one socket.
        let first = tcp(address, false)?;
        return (0..workers).map(|_| first.try_clone()).collect();
    }
    if address.port() != 0 {
        // Another tsugite of the same user could share the port unnoticed: without the option it cannot.
        drop(tcp(address, false)?);
    }
    let first = tcp(address, true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    while all.len() < workers {
        all.push(tcp(address, true)?);
    }
    Ok(all)
}

fn tcp(address: SocketAddr, share: bool) -> Result<TcpListener, Error> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A pair of UDP and TCP sockets for each worker, all on one port.
fn pairs(address: SocketAddr, workers: usize) -> Result<Vec<(UdpSocket, TcpListener)>, Error> {
    let mut attempts = if address.port() == 0 { PAIR_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let udp = shared_udp(address, workers)?;
        let bound = udp.first().map_or(Ok(address), UdpSocket::local_addr)?;
        match shared(bound, workers) {
            Ok(tcp) => return Ok(udp.into_iter().zip(tcp).collect()),
            Err(error) if error.kind() == ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// As [`shared`], of UDP sockets.
fn shared_udp(address: SocketAddr, workers: usize) -> Result<Vec<UdpSocket>, Error> {
    if !cfg!(target_os = "linux") {
        let first = udp(address, false)?;
        return (0..workers).map(|_| first.try_clone()).collect();
    }
    if address.port() != 0 {
        drop(udp(address, false)?);
    }
    let first = udp(address, true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    while all.len() < workers {
        all.push(udp(address, true)?);
    }
    Ok(all)
}

fn udp(address: SocketAddr, share: bool) -> Result<UdpSocket, Error> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    #[cfg(unix)]
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    // Where the host grants less, it is less.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    #[test]
    fn workers_share_one_port_and_strangers_do_not() {
        let ours = shared(local(), 3).unwrap();
        let address = ours[0].local_addr().unwrap();
        assert!(
            ours.iter()
                .all(|listener| listener.local_addr().unwrap() == address)
        );
        let error = shared(address, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_that_was_just_left_can_be_had_again() {
        let address = shared(local(), 1).unwrap()[0].local_addr().unwrap();
        assert!(shared(address, 2).is_ok());
    }

    #[test]
    fn dns_has_one_port_for_both_transports_of_all_workers() {
        let all = pairs(local(), 3).unwrap();
        let address = all[0].0.local_addr().unwrap();
        for (udp, tcp) in &all {
            assert_eq!(
                (udp.local_addr().unwrap(), tcp.local_addr().unwrap()),
                (address, address)
            );
        }
        let error = pairs(address, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
