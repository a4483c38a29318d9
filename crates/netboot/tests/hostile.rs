//! A stranger on the cable who does what he can, all at once: nothing leaves but what is served, memory stays bounded,
//! and an honest machine gets its address and its file meanwhile. Needs root, iproute2, busybox, curl and atftp.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the whole server
mod common;
#[path = "common/wire.rs"]
#[allow(dead_code)]
mod wire;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use common::{House, SERVER};

const SECRET: &str = "not for the wire";
const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The stranger's addresses: .20 and up.
const ADDRESSES: u8 = 20;
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 20);
const MEMORY_KIB: u64 = 50_000;
/// The limit that most systems give to a program.
const OPEN_FILES: usize = 1024;
/// The honest machine's tries; each is a few questions of its own.
const TRIES: usize = 6;
/// Sent at once, as fast as the machine can; what follows comes at [`PACE`], since a link that is full keeps
/// everybody out, whatever the server does.
const AT_ONCE: usize = 40_000;
const PACE: Duration = Duration::from_millis(2);

/// One of his addresses; the first is left for the ways out, which are to be answered.
fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 21 + number % (ADDRESSES - 1))
}

/// Numbers that are the same in each run (xorshift64, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Waits for the next packet's turn, and tells when the many at once are out.
fn pace(sent: usize, out: &Sender<()>) {
    if sent == AT_ONCE {
        out.send(()).unwrap();
    }
    if sent >= AT_ONCE {
        thread::sleep(PACE);
    }
}

/// Questions from cards that do not exist, declined addresses, options that lie about their length, and packets too
/// short, too long and of no sense.
fn dhcp(mut numbers: Numbers, out: &Sender<()>) {
    let socket = wire::socket((Ipv4Addr::UNSPECIFIED, 6800));
    for sent in 0.. {
        let [a, b, c, d, kind, ..] = numbers.next().to_le_bytes();
        let mac = [2, 0x66, a, b, c, d];
        let address = [50, 4, 10, 77, 0, 100 + a % 100, 54, 4, 10, 77, 0, 1];
        let bytes = match kind % 8 {
            0 => wire::question(4, mac, false, &address),
            1 => wire::question(1, mac, true, &[61, 250, 1, 2, 3, 43, 255, 6, 82, 9]),
            2 => wire::question(1, mac, true, &vec![0; 1200]),
            3 => wire::question(1, mac, true, &[])[..usize::from(b)].to_vec(),
            4 => vec![a; 1400],
            _ => wire::question(1, mac, kind % 2 == 0, &[]),
        };
        let _ = socket.send_to(&bytes, wire::everybody());
        pace(sent, out);
    }
}

/// Requests that are never acknowledged, for a file that is there and for files that are not.
fn requests(mut numbers: Numbers, out: &Sender<()>) {
    let open: Vec<UdpSocket> =
        (0..400_u16).map(|number| wire::socket((address(number as u8), 20_000 + number))).collect();
    let to = SocketAddrV4::new(US, 69);
    for sent in 0.. {
        let number = numbers.next();
        let socket = &open[number as usize % open.len()];
        let bytes: &[u8] = match (number >> 32) % 6 {
            0 => b"\0\x01missing\0octet\0",
            1 => b"\0\x01big\0octet\0blksize\x001468\0windowsize\x0064\0timeout\x00255\0",
            2 => b"\0\x01big\0octet\0blksize\x0065464\0windowsize\x0065535\0tsize\x000\0",
            3 => b"\0\x02big\0octet\0",
            _ => b"\0\x01big\0octet\0",
        };
        let _ = socket.send_to(bytes, to);
        pace(sent, out);
    }
}

/// Ways out of the folder, by TFTP; ends the program if one leads anywhere.
fn escapes_by_tftp() {
    let names = [
        "../secret",
        "/../secret",
        "..\\secret",
        "/etc/passwd",
        "//etc/passwd",
        "./../secret",
        "a/../../secret",
        "%2e%2e/secret",
        "secret",
    ];
    let socket = wire::socket((FIRST, 0));
    for name in names {
        let request = [b"\0\x01".as_slice(), name.as_bytes(), b"\0octet\0"].concat();
        let answer = wire::ask(&socket, (US, 69).into(), &request, |_| true);
        let refused = answer.as_ref().is_some_and(|bytes| bytes.starts_with(&[0, 5]));
        assert!(
            refused,
            "{name} led to {:?}",
            answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        );
    }
    println!("no way out by TFTP");
}

/// The same by HTTP.
fn escapes_by_http() {
    for path in [
        "/../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "//secret",
        "/etc/passwd",
        "/cairn.efi/../../secret",
        "/\\..\\secret",
        "*",
        "http://10.77.0.1/../secret",
    ] {
        // From the first address, which holds no other connections.
        let mut stream = TcpStream::connect((US, 4280)).unwrap();
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let refused = said.starts_with("HTTP/1.1 4");
        assert!(refused && !said.contains(SECRET) && !said.contains("root:"), "{path} led to {said}");
    }
    println!("no way out by HTTP");
}

/// Connections that ask a letter at a time and never to the end, and some that ask for much and take nothing.
fn slow(out: &Sender<()>) {
    let mut first = Some(out);
    let connect = |number: u16| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let from = SocketAddrV4::new(address((number % 3) as u8), 0);
        socket.bind(&from.into()).ok()?;
        socket.connect_timeout(&SocketAddrV4::new(US, 4280).into(), Duration::from_secs(1)).ok()?;
        let mut stream = TcpStream::from(socket);
        let all = number.is_multiple_of(2);
        let begin = if all { "GET /big HTTP/1.1\r\nHost: x\r\n\r\n" } else { "GET /big HTT" };
        stream.write_all(begin.as_bytes()).ok()?;
        Some(stream)
    };
    loop {
        let mut held: Vec<TcpStream> = (0..300).filter_map(connect).collect();
        if let Some(out) = first.take() {
            out.send(()).unwrap();
        }
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(100));
            held.retain_mut(|stream| stream.write_all(b"X").is_ok());
        }
    }
}

/// All of it until standard input ends.
fn storm() {
    for number in 0..ADDRESSES {
        let of = format!("10.77.0.{}/24", 20 + number);
        assert!(
            std::process::Command::new("ip")
                .args(["addr", "add", &of, "dev", "eth0"])
                .status()
                .unwrap()
                .success()
        );
    }
    let (sent, out) = channel();
    let (questions, reads, held) = (sent.clone(), sent.clone(), sent);
    thread::spawn(move || dhcp(Numbers(0x9e37_79b9_7f4a_7c15), &questions));
    thread::spawn(move || requests(Numbers(0x2545_f491_4f6c_dd1d), &reads));
    thread::spawn(move || slow(&held));
    println!("storming");
    let escapes = [thread::spawn(escapes_by_tftp), thread::spawn(escapes_by_http)];
    let found = escapes.map(|thread| thread.join().is_err());
    if found.contains(&true) {
        std::process::exit(1);
    }
    for _ in 0..3 {
        out.recv().unwrap();
    }
    println!("nothing got out");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}

#[test]
fn a_stranger_on_the_cable_gets_nothing_out_and_keeps_nobody_out() {
    const NAME: &str = "a_stranger_on_the_cable_gets_nothing_out_and_keeps_nobody_out";
    if wire::part().is_some() {
        return storm();
    }
    let (house, above) = (House::new("storm"), tempfile::tempdir().unwrap());
    let folder = above.path().join("served");
    fs::create_dir(&folder).unwrap();
    fs::write(above.path().join("secret"), SECRET).unwrap();
    fs::write(folder.join("cairn.efi"), "0123456789abcdef").unwrap();
    fs::File::create(folder.join("big")).unwrap().set_len(200_000_000).unwrap();
    let server = house.cable.netbootd(&folder, &["--wait", "0.3"]);
    server.until("running").unwrap();

    let stranger = house.another();
    let storm = stranger.start(&wire::again(NAME, "storm"));
    storm.until("storming").unwrap();
    let lease =
        (0..TRIES).find_map(|_| house.lease("52:54:00:00:77:31", &[])).expect("an address in the storm");
    house.machine_ok(&["ip", "addr", "add", &format!("{lease}/24"), "dev", "eth0"]);
    let got = above.path().join("got");
    let got = got.to_str().unwrap();
    let (tftp, http) = (format!("tftp://{SERVER}/cairn.efi"), format!("http://{SERVER}:4280/cairn.efi"));
    let ways: [&[&str]; 3] = [
        &["curl", "-sS", "-m", "20", "-o", got, &http],
        &["curl", "-sS", "-m", "20", "-o", got, &tftp],
        &[
            "atftp",
            "--get",
            "--tftp-timeout",
            "1",
            "--option",
            "timeout 1",
            "-r",
            "cairn.efi",
            "-l",
            got,
            SERVER,
        ],
    ];
    for way in ways {
        let fetched = (0..TRIES).any(|_| {
            let _ = fs::remove_file(got);
            house.machine(way).status.success() && fs::read(got).is_ok_and(|it| it == b"0123456789abcdef")
        });
        assert!(fetched, "{way:?} in the storm");
    }
    storm.within(common::LONG, "nothing got out").expect("every way out was refused");
    let memory = server.memory_kib();
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    let open = server.open_files();
    assert!(open < OPEN_FILES, "{open} open files");
    eprintln!("{memory} KiB at most, {open} open files");
    storm.stop();
    server.stop();
}
