//! TLS to an engine, by the rules of the Docker CLI: its server is who the CA file says, or, without verification,
//! whoever answers; a client certificate is shown where there is one.

use std::{fmt::Display, path::Path, sync::Arc};

use bollard::{Docker, errors::Error};
use futures::FutureExt;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::transport::{Stream, over};
use crate::engine::{
    EngineError, EngineErrorKind,
    docker::{context::Tls, error::classify},
};

/// An engine at `address`, `host:port`.
pub(super) fn connect(address: &str, tls: &Tls, limit: u64) -> Result<Docker, EngineError> {
    let connector = TlsConnector::from(Arc::new(configuration(tls)?));
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|e| invalid(format!("`{host}` is no name of a TLS server: {e}")))?;
    let address = address.to_owned();
    let open = move || {
        let (connector, name, address) = (connector.clone(), name.clone(), address.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            let stream: Box<dyn Stream> = Box::new(connector.connect(name, stream).await?);
            Ok(stream)
        }
        .boxed()
    };
    over(Box::new(open), limit).map_err(|e: Error| classify(e))
}

fn configuration(tls: &Tls) -> Result<ClientConfig, EngineError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| invalid(format!("no TLS: {e}")))?;
    let builder = match &tls.ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(ca)?);
            if roots.is_empty() {
                return Err(unreadable(ca, &"it has no certificate"));
            }
            builder.with_root_certificates(roots)
        }
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
    };
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let own = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, &e))?;
            builder.with_client_auth_cert(certificates(cert)?, own).map_err(|e| unreadable(key, &e))
        }
        (Some(alone), None) | (None, Some(alone)) => Err(invalid(format!(
            "{} stands alone: a client needs a certificate and its key",
            alone.display()
        ))),
        (None, None) => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EngineError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|e| unreadable(path, &e))?;
    found.collect::<Result<_, _>>().map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, why: &dyn Display) -> EngineError {
    invalid(format!("cannot use {} for TLS: {why}", path.display()))
}

fn invalid(message: String) -> EngineError {
    EngineError::new(EngineErrorKind::Invalid, message)
}

/// Takes any server for the right one, which the user asked for; it still has to hold the key of its certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
