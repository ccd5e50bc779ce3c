//! An HTTP proxy as companies have them, of which a client asks a tunnel.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A proxy on a free port of this machine. Whatever name it is asked for, it connects to one server.
#[derive(Debug)]
pub struct HttpProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HttpProxy {
    /// Connects everybody to `server`, who sends this header, such as
    /// `Proxy-Authorization: Basic bWU6c0BjcmV0`; everybody, if it is empty.
    pub fn start(server: SocketAddr, header: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no free port");
        let address = listener.local_addr().expect("a listener has an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heads, header) = (Arc::clone(&asked), header.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (heads, header) = (Arc::clone(&heads), header.clone());
                std::thread::spawn(move || serve(client, server, &heads, &header));
            }
        });
        Self { address, asked }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first lines of all requests so far, such as `CONNECT db.example:443 HTTP/1.1`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a thread panicked").clone()
    }
}

fn serve(mut client: TcpStream, server: SocketAddr, asked: &Mutex<Vec<String>>, header: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    asked
        .lock()
        .expect("a thread panicked")
        .push(head.lines().next().unwrap_or_default().to_owned());
    let refuse = |mut client: TcpStream, status: &str| {
        // A client that has gone need not be told.
        let _ = write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    };
    if !head.starts_with("CONNECT ") {
        return refuse(client, "405 Method Not Allowed");
    }
    if !header.is_empty() && !head.lines().any(|line| line == header) {
        return refuse(client, "407 Proxy Authentication Required");
    }
    let Ok(server) = TcpStream::connect(server) else {
        return refuse(client, "502 Bad Gateway");
    };
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_err() {
        return;
    }
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        // An end is an end, however it came.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    if let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) {
        std::thread::spawn(move || pump(from, to));
        pump(server, client);
    }
}
