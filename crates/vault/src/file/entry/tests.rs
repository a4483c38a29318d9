use proptest::prelude::*;

use super::super::tests::{largest, passphrase, sealed};
use super::*;

fn entry_with(passphrase: &Passphrase) -> Entry {
    Entry::new(Sealed::parse(sealed()).unwrap(), passphrase)
}

fn entry() -> Entry {
    entry_with(&passphrase())
}

/// What a reader of the XML finds below a key.
fn value(xml: &str, key: &str) -> String {
    let document = roxmltree::Document::parse(xml).unwrap();
    let strings = document.descendants().filter(|node| node.has_tag_name("String"));
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        let found = node.children().find(|it| it.has_tag_name(name));
        found.and_then(|it| it.text().map(str::to_owned)).unwrap_or_default()
    };
    strings.filter(|it| child(*it, "Key") == key).map(|it| child(it, "Value")).next().unwrap()
}

#[test]
fn bitwardens_file_has_one_login_with_passphrase_and_whole_file() {
    let json = entry().bitwarden().unwrap();
    let json: serde_json::Value = serde_json::from_str(json.expose()).unwrap();
    assert_eq!((&json["encrypted"], json["items"].as_array().unwrap().len()), (&false.into(), 1));
    assert!(json["folders"].as_array().unwrap().is_empty());
    let item = &json["items"][0];
    assert_eq!((&item["type"], &item["name"]), (&1.into(), &"Cairn cluster grandmothers-house".into()));
    assert_eq!(item["login"]["password"], "correct horse battery staple");
    assert_eq!(item["notes"], sealed());
    assert!(item["login"].get("totp").is_none());
}

#[test]
fn the_notes_stay_below_what_bitwarden_keeps() {
    let entry = entry();
    // its encryption (type 2) gives base64 of the padded text, of 16 bytes and of 32
    let encrypted = 2 + (entry.notes().len() / 16 + 1) * 16 * 4 / 3 + 2 * 4 + 24 + 44 + 2;
    assert!(encrypted <= 10_000, "{encrypted}");
    assert_eq!(entry.characters() + entry.room().left(), NOTE_CHARACTERS);
    assert_eq!(entry.characters(), entry.notes().chars().count());
}

#[test]
fn an_import_file_for_bitwarden_that_would_be_cut_is_refused_and_keepass_takes_it() {
    let entry = Entry::new(Sealed::parse(largest()).unwrap(), &passphrase());
    assert_eq!(entry.bitwarden().err(), Some(ImportError::TooLong(largest().chars().count())));
    assert_eq!(value(entry.keepass().unwrap().expose(), "Notes"), largest());
}

#[test]
fn what_was_stored_is_compared_with_what_is_pasted_back() {
    let entry = entry();
    let pasted = sealed().replace('\n', "\r\n");
    assert_eq!(entry.compare(" correct horse battery staple\n", &pasted), Ok(()));
    assert_eq!(entry.compare("correct horse", &pasted), Err(PasteError::Password));
    for notes in ["", &sealed()[..4_000], &sealed().replacen("cluster: g", "cluster: h", 1)] {
        assert_eq!(entry.compare("correct horse battery staple", notes), Err(PasteError::Notes));
    }
}

#[test]
fn a_passphrase_that_xml_cannot_hold_is_refused_and_not_changed() {
    let entry = entry_with(&Passphrase::new("bell\u{7}bell").unwrap());
    assert_eq!(entry.keepass().err(), Some(ImportError::ControlCharacter));
    assert!(entry.bitwarden().is_ok());
}

/// A second opinion.
#[test]
fn keepassxc_imports_the_entry_with_all_lines_of_its_notes() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let (xml, database) = (folder.path().join("entry.xml"), folder.path().join("new.kdbx"));
    let own = Passphrase::new("<&>\"' ü ]]> correct").unwrap();
    std::fs::write(&xml, entry_with(&own).keepass().unwrap().expose()).unwrap();
    let run = |arguments: &[&str], input: &str| {
        let mut command = Command::new("keepassxc-cli");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (xml, database) = (xml.to_str().unwrap(), database.to_str().unwrap());
    run(&["import", "-p", xml, database], "database\ndatabase\n");
    let show = |attribute: &str| {
        let title = "Cairn cluster grandmothers-house";
        run(&["show", "-q", "-s", "-a", attribute, database, title], "database\n")
    };
    assert_eq!(show("Notes").trim_end(), sealed().trim_end());
    assert_eq!(show("Password").trim_end(), "<&>\"' ü ]]> correct");
}

proptest! {
    #[test]
    fn any_passphrase_comes_back_out_of_both_files(text in "\\PC{1,40}") {
        prop_assume!(!text.trim().is_empty());
        let entry = entry_with(&Passphrase::new(&text).unwrap());
        let json: serde_json::Value = serde_json::from_str(entry.bitwarden().unwrap().expose()).unwrap();
        prop_assert_eq!(&json["items"][0]["login"]["password"], text.trim());
        let xml = entry.keepass().unwrap();
        prop_assert_eq!(value(xml.expose(), "Password"), text.trim());
        prop_assert_eq!(value(xml.expose(), "Notes"), sealed());
    }
}
