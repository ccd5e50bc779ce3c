//! TLS, and the connection looked at step by step.

use std::time::Duration;

use libsql_link::blocking::{Link, probe};
use libsql_link::{Error, Location, Options, Probed, RemoteUrl, Retry, Step, Token, Value};
use testkit::jwt::{Access, Keys};
use testkit::proxy::Proxy;
use testkit::sqld::{Nobody, Settings, Sqld};
use testkit::tls::{Authority, Certificate, TlsProxy};

fn steps(url: &str, options: &Options) -> Vec<Probed> {
    let url: RemoteUrl = url.parse().expect("an address");
    probe(&url, options).expect("a thread")
}

/// The steps that succeeded, and the one that did not.
fn ends(probed: &[Probed]) -> (Vec<Step>, Option<(Step, &Error)>) {
    let succeeded = probed.iter().filter(|one| one.result.is_ok()).map(|one| one.step).collect();
    let mut failed = probed.iter().filter_map(|one| Some((one.step, one.result.as_ref().err()?)));
    let first = failed.next();
    assert!(failed.next().is_none(), "{probed:?}");
    (succeeded, first)
}

const WITHOUT_TLS: [Step; 7] = [
    Step::Resolve,
    Step::Connect,
    Step::Version,
    Step::Authenticate,
    Step::Read,
    Step::Write,
    Step::RoundTrip,
];

#[test]
fn a_good_connection_passes_every_step_and_leaves_nothing_behind() {
    let sqld = Sqld::start();
    let probed = steps(&sqld.url(), &Options::new());
    assert_eq!(ends(&probed).0, WITHOUT_TLS);
    let said = |step| {
        let one = probed.iter().find(|one| one.step == step).unwrap();
        one.result.clone().unwrap()
    };
    assert_eq!(said(Step::Resolve), "127.0.0.1");
    assert!(said(Step::Version).starts_with("sqld 0."));
    assert_eq!(said(Step::Read), "tables: 0");
    assert_eq!(steps(&sqld.url(), &Options::new()).len(), 7, "a second time");
}

#[test]
fn a_bad_connection_ends_at_the_step_that_is_to_blame() {
    let keys = Keys::generate();
    let settings = Settings { jwt_public_key: Some(keys.public()), ..Settings::default() };
    let sqld = Sqld::start_with(settings);
    let proxy = Proxy::start(sqld.address());
    let probed = steps("http://no-such-host.invalid", &Options::new());
    let (succeeded, failed) = ends(&probed);
    assert_eq!(succeeded, []);
    assert!(
        matches!(failed, Some((Step::Resolve, Error::Unreachable { .. } | Error::TimedOut { .. }))),
        "{failed:?}"
    );

    let probed = steps(&Nobody::new().url(), &Options::new());
    let (succeeded, failed) = ends(&probed);
    assert_eq!(succeeded, [Step::Resolve]);
    assert!(matches!(failed, Some((Step::Connect, Error::Unreachable { .. }))), "{failed:?}");

    let probed = steps(&proxy.url().replace("http:", "https:"), &Options::new());
    let (succeeded, failed) = ends(&probed);
    assert_eq!(succeeded, [Step::Resolve, Step::Connect]);
    assert!(matches!(failed, Some((Step::Encrypt, Error::Unreachable { .. }))), "{failed:?}");

    proxy.answer_nothing();
    // Enough to connect on a busy machine.
    let hasty = Options::new().call_timeout(Duration::from_secs(3));
    let probed = steps(&proxy.url(), &hasty);
    let (succeeded, failed) = ends(&probed);
    assert_eq!(succeeded, [Step::Resolve, Step::Connect]);
    assert!(matches!(failed, Some((Step::Version, Error::TimedOut { .. }))), "{failed:?}");
    proxy.resume();

    let probed = steps(&proxy.url(), &Options::new());
    let (succeeded, failed) = ends(&probed);
    assert_eq!(succeeded, WITHOUT_TLS[..3]);
    assert!(matches!(failed, Some((Step::Authenticate, Error::Refused { .. }))), "{failed:?}");

    let token = Token::new(keys.token(Access::ReadWrite)).unwrap();
    assert_eq!(ends(&steps(&proxy.url(), &Options::new().token(token))).0, WITHOUT_TLS);
}

#[test]
fn tls_works_with_a_trusted_certificate_and_with_no_other() {
    let sqld = Sqld::start();
    let authority = Authority::generate();
    let trusting = Options::new().retry(Retry::NEVER).trust(authority.pem().as_bytes()).unwrap();
    let proxy = TlsProxy::start(sqld.address(), &authority, Certificate::Good);

    let folder = tempfile::tempdir().unwrap();
    let url: RemoteUrl = proxy.url().parse().unwrap();
    let link = Link::open(&Location::Remote(url.clone()), trusting.clone()).unwrap();
    link.batch(&["CREATE TABLE t (a)".into(), "INSERT INTO t VALUES (1)".into()]).unwrap();
    let replica = Location::Replica { path: folder.path().join("a.db"), url };
    let replica = Link::open(&replica, trusting.clone()).unwrap();
    let rows = replica.query("SELECT a FROM t", &[]).unwrap();
    assert_eq!(rows.single(), Some(&Value::Integer(1)));
    let probed = steps(&proxy.url(), &trusting);
    assert!(probed.iter().any(|one| one.step == Step::Encrypt && one.result.is_ok()));
    assert_eq!(probed.len(), 8);

    for (what, options, certificate) in [
        ("unknown", Options::new().retry(Retry::NEVER), Certificate::Good),
        ("expired", trusting.clone(), Certificate::Expired),
        ("for another host", trusting.clone(), Certificate::OtherHost),
    ] {
        let proxy = TlsProxy::start(sqld.address(), &authority, certificate);
        let link = Link::open(&proxy.url().parse().unwrap(), options).unwrap();
        let error = link.execute("INSERT INTO t VALUES (2)", &[]).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains("certificate"), "{what}: {error}");
    }
}

#[test]
fn what_is_no_certificate_is_said_to_be_none() {
    for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"] {
        let error = Options::new().trust(pem.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::BadLocation { .. }), "{pem}: {error:?}");
    }
}
