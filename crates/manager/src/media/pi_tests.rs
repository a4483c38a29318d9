//! A card for a Raspberry Pi, of an image in a folder, and read with mtools as somebody else would.

use super::*;
use crate::simulation::{Lab, name, new_file};
use cairn_layout::Arch;
use std::process::Command;

/// An arm64 image of the right form: the parts of its UKI say their names.
fn fake_image(folder: &Path) {
    image::tests::fake_for(folder, Arch::Arm64);
    let (folder, pi) = (folder.join("arm64"), folder.join("arm64/pi"));
    let sections: [(&str, &[u8]); 3] =
        [(".cmdline", b"ro console=tty0 roothash=ab"), (".initrd", b"initrd"), (".linux", b"kernel")];
    let uki = cairn_uki::sample::image(&sections);
    std::fs::write(folder.join(UKI), &uki).unwrap();
    std::fs::create_dir(&pi).unwrap();
    let manifest = folder.join("manifest.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    json["files"][UKI]["size"] = uki.len().into();
    let boards = ["zero-2-w", "3-a-plus", "3-b", "3-b-plus"].map(|board| format!("bcm2837-rpi-{board}.dtb"));
    for file in ["bootcode.bin", "start.elf", "fixup.dat"].map(str::to_owned).into_iter().chain(boards) {
        std::fs::write(pi.join(&file), &file).unwrap();
        json["files"][format!("pi/{file}")] = serde_json::json!({"size": file.len(), "sha256": ""});
    }
    std::fs::write(manifest, json.to_string()).unwrap();
}

fn own(join: &[u8]) -> Own {
    let wifi = Some(Zeroizing::new(b"{\"ssid\":\"home\"}".to_vec()));
    let join = Zeroizing::new(join.to_vec());
    Own { join, wifi, address: None, onto: Onto::Medium, board: Board::PiZero2W, seed: Seed([7; 16]) }
}

fn card(folder: &Path, join: &[u8]) -> (File, String) {
    let image = Image::load(folder, Arch::Arm64).unwrap();
    let (file, length) = write(&image, folder, &own(join)).unwrap();
    let sum = sparse::sha256(&file, length).unwrap();
    (file, sum)
}

/// A file of the boot partition, or the list of all.
fn mtools(card: &File, program: &str, arguments: &[&str]) -> String {
    use std::os::fd::AsRawFd as _;
    // The card has no name but this one.
    let path = format!("/proc/{}/fd/{}@@1M", std::process::id(), card.as_raw_fd());
    let output = Command::new(program).args(["-i", &path]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_card_holds_firmware_the_versions_parts_the_join_key_and_the_wifi() {
    let folder = tempfile::tempdir().unwrap();
    fake_image(folder.path());
    let (card, _) = card(folder.path(), b"{}");
    let text = |file: &str| mtools(&card, "mtype", &[&format!("::{file}")]);
    assert_eq!(text("cairn-a/linux"), "kernel");
    assert_eq!(text("cairn-a/initrd"), "initrd");
    assert_eq!(
        text("cairn-a/cmdline.txt"),
        "ro roothash=ab console=tty1 console=ttyS1,115200 cairn.pi=cairn_0.1.0-abababab\n"
    );
    assert_eq!(text("cairn-a/bcm2837-rpi-zero-2-w.dtb"), "bcm2837-rpi-zero-2-w.dtb");
    assert_eq!(text("bootcode.bin"), "bootcode.bin");
    assert!(text("config.txt").contains("\nos_prefix=cairn-a/\n"));
    assert_eq!(text("cairn/join.json"), "{}");
    assert_eq!(text(WIFI_FILE), "{\"ssid\":\"home\"}");
    let all = mtools(&card, "mdir", &["-b", "-/", "::"]);
    assert!(!all.to_lowercase().contains(".efi"), "{all}");
}

#[test]
fn a_medium_for_an_arm64_machine_with_uefi_holds_its_boot_loader_and_nothing_of_a_raspberry_pi() {
    let folder = tempfile::tempdir().unwrap();
    fake_image(folder.path());
    let image = Image::load(folder.path(), Arch::Arm64).unwrap();
    let own = Own { board: Board::UefiArm64, ..own(b"{}") };
    let (medium, _) = write(&image, folder.path(), &own).unwrap();
    let all = mtools(&medium, "mdir", &["-b", "-/", "::"]);
    assert!(all.contains("EFI/BOOT/BOOTAA64.EFI") && all.contains("EFI/Linux/cairn_"), "{all}");
    assert!(!all.contains("BOOTX64") && !all.contains("config.txt") && !all.contains("bootcode"), "{all}");
    assert_eq!(mtools(&medium, "mtype", &["::cairn/join.json"]), "{}");
}

#[test]
fn the_same_image_join_key_and_seed_give_the_same_card() {
    let folder = tempfile::tempdir().unwrap();
    fake_image(folder.path());
    assert_eq!(card(folder.path(), b"{}").1, card(folder.path(), b"{}").1);
    assert_ne!(card(folder.path(), b"{}").1, card(folder.path(), b"[]").1);
}

#[tokio::test]
async fn an_image_without_these_files_and_an_installer_stick_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    new_file(folder.path());
    let lab = Lab::start(folder.path(), "work");
    let wish = |kind| Wish {
        node: name("etcd-1"),
        kind,
        board: Board::PiZero2W,
        valid: None,
        wifi: None,
        address: None,
    };
    let images = folder.path().join("image");
    image::tests::fake_for(&images, Arch::Arm64);
    let error = prepare(&lab.core, wish(MediumKind::Sd)).await.err().unwrap();
    assert!(error.to_string().contains("no files for a Raspberry Pi"), "{error}");
    let error = prepare(&lab.core, wish(MediumKind::Installer)).await.err().unwrap();
    assert!(error.to_string().contains("no inner disk"), "{error}");
    std::fs::remove_dir_all(images.join("arm64")).unwrap();
    fake_image(&images);
    prepare(&lab.core, wish(MediumKind::Usb)).await.unwrap();
    let kinds: Vec<_> = lab.core.book.journal(|journal| journal.media.values().map(|m| m.kind).collect());
    assert_eq!(kinds, [MediumKind::Sd]);
}

/// With the real image: `CAIRN_IMAGE=FOLDER CAIRN_CARD=FILE cargo test -p cairn-manager -- --ignored a_card_of_the_real`
#[test]
#[ignore = "wants the arm64 image (make arm64) and some 450 MB"]
fn a_card_of_the_real_image_is_left_for_an_emulator() {
    let image = std::env::var("CAIRN_IMAGE").unwrap_or_else(|_| ".state/image".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let image = Image::load(Path::new(&image), Arch::Arm64).unwrap();
    let (mut card, _) = write(&image, folder.path(), &own(b"{}")).unwrap();
    assert!(mtools(&card, "mtype", &["::cairn-a/cmdline.txt"]).contains("roothash="));
    if let Ok(path) = std::env::var("CAIRN_CARD") {
        io::Seek::rewind(&mut card).unwrap();
        io::copy(&mut card, &mut File::create(path).unwrap()).unwrap();
    }
}
