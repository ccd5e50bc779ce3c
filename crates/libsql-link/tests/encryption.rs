//! Encrypted local files. Empty unless the feature `encryption` is on, which needs cmake; the gate's
//! step `test` runs it: `cargo test -p libsql-link --features encryption --test encryption`.
#![cfg(feature = "encryption")]

use libsql_link::blocking::Link;
use libsql_link::{EncryptionKey, Error, Location, Options, Value};

fn with(key: &str) -> Options {
    Options::new().encryption_key(EncryptionKey::new(key).expect("a key"))
}

#[test]
fn only_the_right_key_opens_the_file_and_nothing_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let location = Location::Local(path.clone());
    let link = Link::open(&location, with("s3cret 'key'")).unwrap();
    link.execute("CREATE TABLE plain_words (a)", &[]).unwrap();
    link.execute("INSERT INTO plain_words VALUES ('more plain words')", &[]).unwrap();
    let mut snapshot = link.read_transaction().unwrap();
    assert_eq!(snapshot.query("SELECT a FROM plain_words", &[]).unwrap().len(), 1);
    drop((snapshot, link));

    let bytes = std::fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("plain"));
    for options in [with("wrong"), Options::new()] {
        let shown = format!("{options:?}");
        assert!(!shown.contains("wrong"), "{shown}");
        let error = Link::open(&location, options).unwrap_err();
        assert!(matches!(error, Error::Refused { .. } | Error::Sqlite { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("wrong\""));
    }
    let link = Link::open(&location, with("s3cret 'key'")).unwrap();
    let rows = link.query("SELECT a FROM plain_words", &[]).unwrap();
    assert_eq!(rows.single(), Some(&Value::Text("more plain words".into())));
}

#[tokio::test]
async fn the_libsql_crate_opens_the_same_file_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let location = Location::Local(path.clone());
    let link = libsql_link::Link::open(&location, with("s3cret")).await.unwrap();
    link.execute("CREATE TABLE t (a)", &[]).await.unwrap();
    drop(link);
    let config = libsql::EncryptionConfig::new(libsql::Cipher::Aes256Cbc, "s3cret".into());
    let database =
        libsql::Builder::new_local(&path).encryption_config(config).build().await.unwrap();
    database.connect().unwrap().execute("INSERT INTO t VALUES (1)", ()).await.unwrap();
    let link = libsql_link::Link::open(&location, with("s3cret")).await.unwrap();
    assert_eq!(link.query("SELECT a FROM t", &[]).await.unwrap().single(), Some(&1.into()));
}

#[test]
fn an_empty_key_is_none() {
    assert!(matches!(EncryptionKey::new(""), Err(Error::BadLocation { .. })));
}
