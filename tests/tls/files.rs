//! The files of the certificate and the key, and what is wrong with them.

use crate::common::Folder;
use crate::common::tls::Certificate;
use hubbub::net::tls::TlsConfig;

/// A key whose passphrase is "x".
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
const OLD_ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                             DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let folder = Folder::new("tls-files");
    let (ours, other) = (Certificate::new(), Certificate::new());
    let (cert, key) = (ours.cert.as_str(), ours.key.as_str());
    let long = "x".repeat(300 * 1024);
    let broken_cert = cert.replace("-----END CERTIFICATE-----", "");
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_base64 = "-----BEGIN PRIVATE KEY-----\n####\n-----END PRIVATE KEY-----\n";
    let both = format!("{key}{cert}");
    let is_encrypted = "the key is encrypted with a passphrase; openssl pkey -in FILE -out NEW decrypts it";
    let cases: [(&str, &str, &str, &str); 13] = [
        ("", key, "cert", "has no certificate in PEM format"),
        (key, key, "cert", "has no certificate in PEM format"),
        (&long, key, "cert", "must be at most 262144 bytes long"),
        (&broken_cert, key, "cert", "is not in PEM format: an END line is missing"),
        (no_der, key, "cert", "the first certificate is not valid: BadEncoding"),
        (cert, "", "key", "has no private key in PEM format"),
        (cert, cert, "key", "has no private key in PEM format"),
        (cert, &long, "key", "must be at most 262144 bytes long"),
        (cert, ENCRYPTED, "key", is_encrypted),
        (cert, OLD_ENCRYPTED, "key", is_encrypted),
        (cert, no_base64, "key", "is not in PEM format: the text between BEGIN and END is broken"),
        (cert, no_key, "key", "the key cannot be used: "),
        (&both, &other.key, "key", "the key does not belong to the certificate in "),
    ];
    let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| folder.path(name));
    for (cert, key, option, why) in cases {
        std::fs::write(&cert_file, cert).unwrap();
        std::fs::write(&key_file, key).unwrap();
        let file = if option == "cert" { &cert_file } else { &key_file };
        let error = TlsConfig::read(&cert_file, &key_file).expect_err(why);
        let expected = format!("--tls-{option} \"{}\": {why}", file.display());
        assert!(error.starts_with(&expected), "{error}\nand not\n{expected}");
        assert!(!error.contains('\n') && error.len() < 300, "{error}");
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let folder = Folder::new("tls-missing");
    let (cert, none) = (folder.path("cert.pem"), folder.path("none.pem"));
    std::fs::write(&cert, Certificate::new().cert).unwrap();
    for (cert, key, option) in [(&none, &none, "cert"), (&cert, &none, "key")] {
        let error = TlsConfig::read(cert, key).unwrap_err();
        assert_eq!(error, format!("--tls-{option} \"{}\": No such file or directory", none.display()));
    }
}

#[test]
fn one_file_may_hold_the_chain_and_the_key() {
    let folder = Folder::new("tls-one-file");
    let file = folder.path("both.pem");
    let (ours, authority) = (Certificate::new(), Certificate::new());
    for parts in [[&ours.key, &ours.cert, &authority.cert], [&ours.cert, &authority.cert, &ours.key]] {
        std::fs::write(&file, parts.map(String::as_str).concat()).unwrap();
        TlsConfig::read(&file, &file).unwrap();
    }
}
