//! Connections with TLS, passed on without it.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::Failure;

/// Time limit of a handshake. Clients are on this machine.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, for example because the process has too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections on `port`, and passes on their bytes to the port `to`, and back. It ends only with an error.
///
/// # Errors
/// If `port` is not free.
pub async fn serve(port: u16, to: u16, acceptor: TlsAcceptor) -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| Failure::Port(port, error))?;
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(tokio::spawn(pass_on(client, to, acceptor.clone()))),
            Err(error) => {
                eprintln!("local-tls: a connection could not be accepted: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Passes on one connection until both sides have closed it.
async fn pass_on(client: TcpStream, to: u16, acceptor: TlsAcceptor) {
    // Events of a stream are small, and each must arrive at once.
    let _ = client.set_nodelay(true);
    let mut client = match timeout(HANDSHAKE, acceptor.accept(client)).await {
        Ok(Ok(client)) => client,
        // A client that only looks if somebody listens.
        Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => return,
        Ok(Err(error)) => return eprintln!("local-tls: no handshake: {error}"),
        Err(_) => return eprintln!("local-tls: no handshake in {} seconds", HANDSHAKE.as_secs()),
    };
    let mut server = match TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await {
        Ok(server) => server,
        Err(error) => return eprintln!("local-tls: no server on port {to}: {error}"),
    };
    let _ = server.set_nodelay(true);
    // A side that breaks off is not this program's failure. The other side sees that its connection ends.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
