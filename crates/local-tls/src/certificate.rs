//! The certificate of a server on this machine, and the authority that clients trust.

use std::path::Path;
use std::sync::Arc;

use chrono::{Datelike, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Failure;

/// The certificate that clients trust.
const AUTHORITY: &str = "ca.pem";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server-key.pem";
/// The names of this machine.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];
/// The protocols of the server, by their names in ALPN. The first one that the client also has is used.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Validity of the certificates, in years.
const YEARS: i32 = 10;

/// Makes the certificates in `folder`, unless all are there.
///
/// # Errors
/// If a certificate cannot be made or written.
pub fn ensure(folder: &Path) -> Result<(), Failure> {
    if [AUTHORITY, SERVER, SERVER_KEY].iter().all(|name| folder.join(name).exists()) {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|error| Failure::File(folder.into(), error))?;
    let authority = CertifiedIssuer::self_signed(authority()?, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let server = server()?.signed_by(&key, &authority)?;
    write(folder, SERVER_KEY, &key.serialize_pem(), 0o600)?;
    write(folder, SERVER, &server.pem(), 0o644)?;
    write(folder, AUTHORITY, &authority.pem(), 0o644)
}

fn authority() -> Result<CertificateParams, Failure> {
    let mut params = named("Cost sentry on this machine: authority", Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server() -> Result<CertificateParams, Failure> {
    let mut params = named("Cost sentry on this machine", NAMES.map(str::to_owned).to_vec())?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A certificate for `names`, valid from the beginning of this year.
fn named(title: &str, names: Vec<String>) -> Result<CertificateParams, Failure> {
    let year = Utc::now().year();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, title);
    params.not_before = date_time_ymd(year, 1, 1);
    params.not_after = date_time_ymd(year + YEARS, 1, 1);
    Ok(params)
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let path = folder.join(name);
    let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::File(path, error))
}

/// The server's side of TLS 1.2 and 1.3 with the certificate in `folder`. It offers HTTP/2 and HTTP/1.1: the AWS SDK for
/// JavaScript speaks only HTTP/2 to Bedrock, and boto3 only HTTP/1.1. The server behind it must understand both.
///
/// # Errors
/// If the certificate or its key cannot be read, or if they do not belong together.
pub fn acceptor(folder: &Path) -> Result<TlsAcceptor, Failure> {
    let unusable = |problem: &dyn std::fmt::Display| Failure::Used(folder.into(), problem.to_string());
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(folder.join(SERVER)).map_err(|error| unusable(&error))?.collect();
    let key = PrivateKeyDer::from_pem_file(folder.join(SERVER_KEY)).map_err(|error| unusable(&error))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain.map_err(|error| unusable(&error))?, key)
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn certificates_are_made_once_and_used_again() {
        let folder = std::env::temp_dir().join(format!("local-tls-{}", std::process::id()));
        ensure(&folder).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let first = read(AUTHORITY);
        ensure(&folder).unwrap();
        assert_eq!(read(AUTHORITY), first);
        assert!(acceptor(&folder).is_ok());
        let mode = std::fs::metadata(folder.join(SERVER_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_file(folder.join(SERVER)).unwrap();
        ensure(&folder).unwrap();
        assert_ne!(read(AUTHORITY), first, "the key of the authority is not kept");
        std::fs::write(folder.join(SERVER_KEY), "x").unwrap();
        assert!(acceptor(&folder).err().unwrap().to_string().contains("delete the folder"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
