//! Ports and health checks on this machine.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const HEALTH_TIMEOUT: Duration = Duration::from_millis(500);

/// Ports that systems do not give to outgoing connections, or to servers that ask for any port: Linux gives them ports
/// from 32768 on, and macOS from 49152 on. So a port that is free stays free until its server starts.
const PORTS: Range<u16> = 20_000..32_000;

/// A port that is free at the moment. Each call of this process returns another one, so that local AWSs that start at
/// the same time do not choose the same.
///
/// # Errors
/// If no port is free.
pub fn free_port() -> Result<u16> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Each process begins at another place.
    let first = std::process::id().wrapping_mul(97);
    let mut ports = (0..count).map(|_| first.wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed)) % count);
    let free = ports.find_map(|offset| {
        let port = PORTS.start + u16::try_from(offset).ok()?;
        (!is_taken(port)).then_some(port)
    });
    free.context("no free port")
}

/// `true` if a program already listens on this port.
pub fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

/// `true` if a program accepts connections on this port.
pub fn is_listened_on(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), HEALTH_TIMEOUT).is_ok()
}

/// The base URL of a server on this machine.
pub fn local_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// `true` if the answer to `GET path` has status 200.
pub fn is_healthy(port: u16, path: &str) -> bool {
    status_line(port, path).is_ok_and(|line| line.split(' ').nth(1) == Some("200"))
}

fn status_line(port: u16, path: &str) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_listened_on_is_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(is_taken(listener.local_addr().unwrap().port()));
    }

    #[test]
    fn each_call_finds_another_free_port_in_the_range() {
        let ports: Vec<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        let different: std::collections::BTreeSet<&u16> = ports.iter().collect();
        assert_eq!(different.len(), ports.len());
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }

    #[test]
    fn nobody_home_is_not_healthy() {
        assert!(!is_healthy(free_port().unwrap(), "/"));
    }
}
