//! TLS before a server that has none, with certificates made for one test.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority that signs certificates, and the only one that trusts it is the test.
pub struct Authority {
    certificate: rcgen::Certificate,
    keys: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// What may be wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// For `localhost`, valid for centuries.
    Good,
    /// Valid until 2001.
    Expired,
    /// For `example.org`.
    OtherHost,
}

impl Authority {
    pub fn generate() -> Self {
        let keys = KeyPair::generate().expect("no randomness");
        let mut params = CertificateParams::new(vec![]).expect("no names are fine names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&keys).expect("it can be signed");
        Authority { certificate, keys }
    }

    /// What a client has to trust, in PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn server_config(&self, kind: Certificate) -> ServerConfig {
        let host = if kind == Certificate::OtherHost { "example.org" } else { "localhost" };
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a host name");
        params.not_before = date_time_ymd(2000, 1, 1);
        let year = if kind == Certificate::Expired { 2001 } else { 2500 };
        params.not_after = date_time_ymd(year, 1, 1);
        let keys = KeyPair::generate().expect("no randomness");
        let signed = params.signed_by(&keys, &self.certificate, &self.keys).expect("it signs");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(keys.serialize_der()));
        ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], key)
            .expect("the key belongs to the certificate")
    }
}

/// Takes TLS off and passes the rest on.
#[derive(Debug)]
pub struct TlsProxy {
    port: u16,
    /// Ends with this.
    _runtime: Runtime,
}

impl TlsProxy {
    pub fn start(upstream: SocketAddr, authority: &Authority, certificate: Certificate) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread");
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config(certificate)));
        let listener =
            runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("no free port");
        let port = listener.local_addr().expect("a listener has an address").port();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate says so and goes.
                    let mut client = acceptor.accept(client).await.ok()?;
                    let mut server = TcpStream::connect(upstream).await.ok()?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()
                });
            }
        });
        TlsProxy { port, _runtime: runtime }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `https://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}
