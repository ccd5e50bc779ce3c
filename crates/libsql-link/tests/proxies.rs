//! The way to a server through an HTTP proxy.

use libsql_link::blocking::{Link, probe};
use libsql_link::{Error, Location, Options, Proxy, Retry, Step, Value};
use testkit::http_proxy::HttpProxy;
use testkit::sqld::Sqld;
use testkit::tls::{Authority, Certificate, TlsProxy};

fn through(proxy: &str) -> Options {
    Options::new().retry(Retry::NEVER).proxy(Proxy::parse(proxy).expect("an address"))
}

#[test]
fn a_server_whose_name_only_the_proxy_knows_is_reached_with_and_without_tls() {
    let sqld = Sqld::start();
    let authority = Authority::generate();
    let tls = TlsProxy::start(sqld.address(), &authority, Certificate::OtherHost);
    for (url, upstream) in [
        ("http://db.example:8080", sqld.address()),
        // The certificate is compared with the name of the server, not of the proxy.
        ("libsql://example.org", tls.address()),
    ] {
        let proxy = HttpProxy::start(upstream, "Proxy-Authorization: Basic bWU6czNjcmV0");
        let address = proxy.address();
        let location: Location = url.parse().unwrap();
        let with_password = through(&format!("http://me:s3cret@{address}"));
        let options = with_password.trust(authority.pem().as_bytes()).unwrap();
        let link = Link::open(&location, options.clone()).unwrap();
        let rows = link.query("SELECT 1", &[]).unwrap();
        assert_eq!(rows.single(), Some(&Value::Integer(1)));
        let target = if url.starts_with("http:") { "db.example:8080" } else { "example.org:443" };
        assert_eq!(proxy.asked(), [format!("CONNECT {target} HTTP/1.1")]);

        let steps = probe(location.url().unwrap(), &options).unwrap();
        assert!(steps.iter().all(|step| step.result.is_ok()), "{steps:?}");
        assert_eq!(steps[0].step, Step::Resolve);
        let resolved = steps[0].result.as_ref().unwrap();
        assert_eq!(*resolved, format!("127.0.0.1, of the proxy http://{address}"));

        let link = Link::open(&location, through(&address.to_string())).unwrap();
        let error = link.query("SELECT 1", &[]).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains("asks for a user and a password"), "{error}");
    }
}

#[test]
fn a_proxy_that_is_not_there_or_does_not_connect_is_named_without_its_password() {
    let sqld = Sqld::start();
    let location: Location = "http://db.example".parse().unwrap();
    let query = |proxy: &str| {
        let link = Link::open(&location, through(proxy)).unwrap();
        link.query("SELECT 1", &[]).unwrap_err().to_string()
    };
    let nobody = query("http://me:s3cret@127.0.0.1:1");
    assert!(nobody.contains("the proxy http://127.0.0.1:1 cannot be reached"), "{nobody}");
    // What answers there is a server, not a proxy.
    let no_proxy = query(&format!("http://me:s3cret@{}", sqld.address()));
    assert!(no_proxy.contains("does not connect to db.example:80"), "{no_proxy}");
    for text in [nobody, no_proxy] {
        assert!(text.contains("cannot reach http://db.example") && !text.contains("s3cret"));
    }
}
