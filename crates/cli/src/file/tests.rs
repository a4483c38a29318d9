use clap::Parser;

use super::*;

const UUID: &str = "9d2d1e4c-6c0b-4a57-8f5e-2f6f1f0a7b11";

#[derive(Parser)]
struct Cairn {
    #[command(subcommand)]
    command: FileCommand,
}

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(desk.path("pass"), "correct horse battery staple\n").unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cairn(&self, line: &str) -> anyhow::Result<String> {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => word.to_owned(),
        };
        let arguments = std::iter::once("cairn".to_owned()).chain(line.split(' ').map(word));
        let mut out = Vec::new();
        run_to(Cairn::try_parse_from(arguments)?.command, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    fn error(&self, line: &str) -> String {
        format!("{:#}", self.cairn(line).map(drop).unwrap_err())
    }
}

#[test]
fn a_new_file_is_made_and_shown() {
    let desk = Desk::new();
    desk.cairn("new @file --name home --etcd 3 --compute 10 --backup 2 --passphrase-file @pass").unwrap();
    let text = desk.cairn("show @file --passphrase-file @pass").unwrap();
    assert!(text.contains("cluster     home") && text.contains("compute-10"), "{text}");
    let json = desk.cairn("show @file --passphrase-file @pass --json").unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["name"], json["nodes"].as_array().unwrap().len()), (&"home".into(), 15));
}

#[test]
fn a_generated_passphrase_is_printed_and_opens_the_file() {
    let desk = Desk::new();
    let text = desk.cairn("new @file --name home").unwrap();
    let passphrase = text.lines().find(|line| line.starts_with("    ")).unwrap();
    std::fs::write(desk.path("pass"), passphrase).unwrap();
    desk.cairn("show @file --passphrase-file @pass").unwrap();
}

#[test]
fn a_given_passphrase_is_never_printed() {
    let desk = Desk::new();
    let text = desk.cairn("new @file --name home --passphrase-file @pass").unwrap();
    assert!(!text.contains("battery"), "{text}");
}

#[test]
fn a_recovery_key_is_printed_alone_on_its_line() {
    let desk = Desk::new();
    desk.cairn("new @file --name home --passphrase-file @pass").unwrap();
    let line = format!("recovery-key @file --passphrase-file @pass --luks-uuid {UUID}");
    let key = desk.cairn(&line).unwrap();
    let file = open(&desk.path("file"), Some(&desk.path("pass"))).unwrap();
    assert_eq!(key, format!("{}\n", file.keyring().recovery_key_of(UUID.parse().unwrap()).expose()));
}

#[test]
fn nothing_shown_is_the_seed_or_derived_from_it() {
    let file = ClusterFile::new("home".parse().unwrap(), 3, 1, 0).unwrap();
    let view = show::View::of(&file);
    let shown = format!("{}{view}", serde_json::to_string(&view).unwrap());
    assert!(!shown.contains("seed"));
    assert!(!shown.contains(file.keyring().k3s_token().expose()));
    no_word_is_as_long_as_a_seed(&shown);
}

/// No value is longer than a fingerprint, 43 characters in which a seed of 43 would have to hide: there is none
/// before a machine is enrolled.
fn no_word_is_as_long_as_a_seed(shown: &str) {
    let longest =
        shown.split(|c: char| !c.is_ascii_alphanumeric() && !"+/_-".contains(c)).map(str::len).max();
    assert!(longest.unwrap() < 43, "{shown}");
}

#[test]
fn an_existing_file_is_not_replaced() {
    let desk = Desk::new();
    let before = std::fs::read(desk.path("pass")).unwrap();
    let error = desk.error("new @pass --name home --passphrase-file @pass");
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(std::fs::read(desk.path("pass")).unwrap(), before);
}

#[test]
fn a_missing_passphrase_file_makes_no_cluster_file() {
    let desk = Desk::new();
    let error = desk.error("new @file --name home --passphrase-file @nowhere");
    assert!(error.contains("could not be read"), "{error}");
    assert!(!desk.path("file").exists());
}

#[test]
fn a_wrong_passphrase_and_a_damaged_file_are_different_sentences() {
    let desk = Desk::new();
    desk.cairn("new @file --name home --passphrase-file @pass").unwrap();
    let whole = std::fs::read_to_string(desk.path("file")).unwrap();

    std::fs::write(desk.path("other"), "wrong\n").unwrap();
    let wrong = desk.error("show @file --passphrase-file @other");
    assert!(wrong.contains("passphrase does not open"), "{wrong}");

    for (text, expected) in [
        (whole[..900].to_owned(), "cut off"),
        (whole.replace("# cluster: home", "# cluster: hone"), "was changed"),
        ("hello".to_owned(), "not a Cairn cluster file"),
    ] {
        std::fs::write(desk.path("file"), &text).unwrap();
        let error = desk.error("show @file --passphrase-file @pass");
        assert!(error.contains(expected), "{error}");
        assert_eq!(std::fs::read_to_string(desk.path("file")).unwrap(), text, "left as it was");
    }
}

#[test]
fn an_even_number_of_etcd_machines_is_refused() {
    let desk = Desk::new();
    assert!(desk.error("new @file --name home --etcd 2").contains("1, 3 or 5"));
}
