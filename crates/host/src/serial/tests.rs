//! Real terminals: the far end of a pseudo-terminal is the machine.

use super::*;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, LocalModes, tcgetattr};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
/// A stand-in for what udev calls an adapter.
const NAME: &str = "usb-FTDI_FT232R_USB_UART_A9-if00-port0";

struct Machine {
    far: File,
    consoles: Consoles,
    device: PathBuf,
    folder: tempfile::TempDir,
}

/// A folder like `/dev` with one adapter in it, under both of its names.
fn machine(linger: Duration) -> Machine {
    let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&far).unwrap();
    unlockpt(&far).unwrap();
    let device = PathBuf::from(ptsname(&far, Vec::new()).unwrap().into_string().unwrap());
    let folder = tempfile::tempdir().unwrap();
    symlink(&device, folder.path().join("ttyUSB0")).unwrap();
    let by_id = folder.path().join("serial/by-id");
    std::fs::create_dir_all(&by_id).unwrap();
    symlink(folder.path().join("ttyUSB0"), by_id.join(NAME)).unwrap();
    let consoles = Consoles::new(folder.path().to_path_buf(), linger);
    Machine { far: far.into(), consoles, device, folder }
}

async fn until(reader: &mut Reader, words: &str) -> u64 {
    let mut seen = Vec::new();
    loop {
        let chunk = timeout(PATIENCE, reader.next()).await.expect(words).expect(words);
        seen.extend(chunk.bytes);
        if String::from_utf8_lossy(&seen).contains(words) {
            return chunk.end;
        }
    }
}

#[tokio::test]
async fn an_adapter_is_listed_once_by_udevs_name_and_no_other_file_is_opened() {
    let machine = machine(LINGER);
    std::fs::write(machine.folder.path().join("ttyUSB9"), "a file").unwrap();
    symlink("/dev/null", machine.folder.path().join("sda")).unwrap();
    let expected = Adapter { name: NAME.into(), device: machine.device.clone(), problem: None };
    assert_eq!(machine.consoles.list(), [expected]);
    for name in ["ttyUSB0", "ttyUSB9", "sda", "../ttyUSB0", "serial/by-id", "/dev/null", "..", ""] {
        let refused = machine.consoles.read(name, None).unwrap_err();
        assert!(matches!(refused, SerialError::NoAdapter(_)), "{name}: {refused}");
    }
}

#[tokio::test]
async fn two_readers_share_one_adapter_that_is_raw_and_takes_input() {
    let mut machine = machine(LINGER);
    let mut one = machine.consoles.read(NAME, None).unwrap();
    let mut other = machine.consoles.read(NAME, None).unwrap();
    let termios = tcgetattr(&machine.far).unwrap();
    assert_eq!((termios.input_speed(), termios.output_speed()), (115_200, 115_200));
    assert!(!termios.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON));
    assert_eq!(termios.control_modes & ControlModes::CSIZE, ControlModes::CS8);
    machine.far.write_all(b"locked; waiting for its key\r\n").unwrap();
    until(&mut one, "its key\r\n").await;
    until(&mut other, "its key\r\n").await;
    one.write(b"ABCD\r".to_vec()).await.unwrap();
    let mut far = machine.far.try_clone().unwrap();
    let typed = tokio::task::spawn_blocking(move || {
        let mut typed = [0; 5];
        far.read_exact(&mut typed).map(|()| typed)
    });
    assert_eq!(&timeout(PATIENCE, typed).await.unwrap().unwrap().unwrap(), b"ABCD\r");
}

#[tokio::test]
async fn a_reader_that_comes_back_sees_what_was_before_or_only_what_it_missed() {
    let mut machine = machine(Duration::ZERO);
    let mut reader = machine.consoles.read(NAME, None).unwrap();
    machine.far.write_all(b"first ").unwrap();
    let there = until(&mut reader, "first ").await;
    drop(reader);
    closed(&machine).await;
    let mut anew = machine.consoles.read(NAME, None).unwrap();
    let mut resumed = machine.consoles.read(NAME, Some(there)).unwrap();
    machine.far.write_all(b"second").unwrap();
    until(&mut anew, "first second").await;
    let chunk = timeout(PATIENCE, resumed.next()).await.unwrap().unwrap();
    assert!(b"second".starts_with(&chunk.bytes), "{chunk:?}");
}

/// Waits until this program has the adapter open no more.
async fn closed(machine: &Machine) {
    let open = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        links.filter_map(|it| std::fs::read_link(it.path()).ok()).any(|link| link == machine.device)
    };
    timeout(PATIENCE, async {
        while open() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the adapter stays open though nobody reads");
}

#[tokio::test]
async fn a_reader_is_told_when_the_adapter_is_pulled_out() {
    let mut machine = machine(LINGER);
    let mut reader = machine.consoles.read(NAME, None).unwrap();
    machine.far.write_all(b"last words").unwrap();
    until(&mut reader, "last words").await;
    drop(machine.far);
    assert_eq!(timeout(PATIENCE, reader.next()).await.unwrap(), None);
}

#[tokio::test]
async fn an_adapter_that_another_program_reads_is_not_opened_and_the_program_is_named() {
    let machine = machine(LINGER);
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .stdin(File::options().read(true).write(true).open(&machine.device).unwrap())
        .spawn()
        .unwrap();
    let listed = machine.consoles.list();
    let refused = machine.consoles.read(NAME, None).map(drop);
    child.kill().unwrap();
    child.wait().unwrap();
    let words = format!("in use by sleep (process {})", child.id());
    assert!(listed[0].problem.as_ref().unwrap().contains(&words), "{listed:?}");
    assert!(refused.unwrap_err().to_string().contains(&words));
}
