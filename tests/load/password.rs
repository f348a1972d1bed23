//! The load tool against a room with a password.

use crate::common::{Folder, Server};
use crate::{expect_error, expect_fine, listen};
use std::io::{BufRead, BufReader, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

/// Asks each client for a password, and connects it to `server` if it is `secret`.
fn password_front(server: SocketAddr) -> String {
    let (listener, address) = listen();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // A client that leaves early is no concern of the front.
            thread::spawn(move || admit(client, server));
        }
    });
    address
}

fn admit(mut client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    client.write_all(b"* password:\n")?;
    let (mut input, mut line) = (BufReader::new(client.try_clone()?), String::new());
    input.read_line(&mut line)?;
    if line != "secret\n" {
        return client.write_all(b"* wrong password\n");
    }
    let mut inner = TcpStream::connect(server)?;
    let mut output = inner.try_clone()?;
    let sender = thread::spawn(move || {
        copy(&mut input, &mut output)?;
        output.shutdown(Shutdown::Write)
    });
    copy(&mut inner, &mut client)?;
    client.shutdown(Shutdown::Write)?;
    _ = sender.join();
    Ok(())
}

#[test]
fn each_client_sends_the_password_before_its_first_line() {
    let folder = Folder::new("load-password");
    std::fs::write(folder.path("secret"), "secret\n").unwrap();
    let path = folder.path("secret").display().to_string();
    for options in [&[][..], &["-w", ""]] {
        let server = Server::start(options);
        let address = password_front(server.address());
        let load = format!("-c 20 -s 4 -n 200 --verify --password-file {path}");
        expect_fine(&address, &load, 19 * 200);
    }
}

#[test]
fn a_wrong_or_missing_password_is_reported() {
    let folder = Folder::new("load-wrong-password");
    std::fs::write(folder.path("guess"), "guess\n").unwrap();
    let path = folder.path("guess").display().to_string();
    let server = Server::start(&[]);
    let address = password_front(server.address());
    let error = expect_error(&address, &format!("-c 2 --password-file {path}"), 1);
    assert!(error.contains("and sent \"* wrong password\""), "{error}");
    let error = expect_error(&address, "-c 2 --password-file /nowhere/secret", 1);
    assert!(error.contains("--password-file \"/nowhere/secret\": No such file or directory"), "{error}");
    let error = expect_error(&address, &format!("--stuck 1 --password-file {path}"), 2);
    assert!(error.contains("--password-file cannot be used with --stuck"), "{error}");
}
