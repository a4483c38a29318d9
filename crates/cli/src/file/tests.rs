use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;

use cairn_model::cluster::{Fingerprint, Role};
use clap::Parser;

use super::*;
use crate::exit;

const UUID: &str = "9d2d1e4c-6c0b-4a57-8f5e-2f6f1f0a7b11";
const PASSPHRASE: &str = "correct horse battery staple";

#[derive(Parser)]
struct Cairn {
    #[command(subcommand)]
    command: FileCommand,
}

/// A folder with a passphrase in `pass`, another in `other`, and perhaps a cluster file in `file`.
struct Desk {
    folder: tempfile::TempDir,
}

/// Sealing takes a second, so all tests that change a file begin with the same one.
fn made() -> &'static (ClusterFile, Sealed) {
    static MADE: OnceLock<(ClusterFile, Sealed)> = OnceLock::new();
    MADE.get_or_init(|| {
        let file = ClusterFile::new("home".parse().unwrap(), 3, 1, 0).unwrap();
        let sealed = seal(&file);
        (file, sealed)
    })
}

fn seal(file: &ClusterFile) -> Sealed {
    file.seal(&Passphrase::new(PASSPHRASE).unwrap()).unwrap()
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(desk.path("pass"), format!("{PASSPHRASE}\n")).unwrap();
        std::fs::write(desk.path("other"), "wrong\n").unwrap();
        desk
    }

    fn with_file() -> Self {
        let desk = Self::new();
        disk::create(&desk.path("file"), &made().1).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn parse(&self, line: &str) -> anyhow::Result<FileCommand> {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => word.to_owned(),
        };
        let arguments = std::iter::once("cairn".to_owned()).chain(line.split(' ').map(word));
        Ok(Cairn::try_parse_from(arguments)?.command)
    }

    fn cairn(&self, line: &str) -> anyhow::Result<String> {
        let mut out = Vec::new();
        run_to(self.parse(line)?, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    fn error(&self, line: &str) -> String {
        format!("{:#}", self.cairn(line).map(drop).unwrap_err())
    }

    /// `edit` with this command as the editor, and this answer to every question.
    fn edit(&self, line: &str, editor: &str, answer: Option<bool>) -> anyhow::Result<String> {
        let line = format!("edit @file --passphrase-file @pass{line}");
        let FileCommand::Edit(arguments) = self.parse(&line)? else { panic!() };
        let mut owner = edit::Owner { editor: editor.into(), answer: Box::new(move |_| answer) };
        let mut out = Vec::new();
        edit::run(&arguments, &mut owner, &mut out)?;
        Ok(String::from_utf8(out)?)
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
    let opened = desk.cairn("open @file --passphrase-file @pass").unwrap();
    assert!(opened.contains("0 of 3 etcd, 0 of 0 compute, 0 of 0 backup"), "{opened}");
}

#[test]
fn a_given_passphrase_is_never_printed() {
    let desk = Desk::new();
    let text = desk.cairn("new @file --name home --passphrase-file @pass").unwrap();
    assert!(!text.contains("battery"), "{text}");
}

#[test]
fn a_recovery_key_is_printed_alone_on_its_line() {
    let line = format!("recovery-key @file --passphrase-file @pass --luks-uuid {UUID}");
    let key = Desk::with_file().cairn(&line).unwrap();
    assert_eq!(key, format!("{}\n", made().0.keyring().recovery_key_of(UUID.parse().unwrap()).expose()));
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
    let desk = Desk::with_file();
    let whole = desk.read("file");
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

#[test]
fn a_passphrase_comes_from_an_open_file_descriptor_too_and_from_one_place_only() {
    let desk = Desk::with_file();
    let open = std::fs::File::open(desk.path("pass")).unwrap();
    let json = desk.cairn(&format!("open @file --json --passphrase-fd {}", open.as_raw_fd())).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["generation"], &json["hash"]), (&1.into(), &made().0.hash().into()));
    assert!(desk.error("open @file --passphrase-fd 4711").contains("4711 could not be read"));
    let both = desk.error("open @file --passphrase-fd 3 --passphrase-file @pass");
    assert!(both.contains("cannot be used with"), "{both}");
    assert!(desk.error("open @file --passphrase-file /dev/zero").contains("too long"));
}

#[test]
fn an_edit_shows_what_changes_and_is_sealed_as_the_next_generation_of_the_same_secrets() {
    let desk = Desk::with_file();
    let said = desk.edit(" --yes", "sed -i s/compute-1/attic/", None).unwrap();
    assert!(said.contains("node 'attic' is new: number 13") && said.contains("generation 2"), "{said}");
    let next =
        ClusterFile::open(&disk::load(&desk.path("file")).unwrap(), &Passphrase::new(PASSPHRASE).unwrap())
            .unwrap();
    assert_eq!(next.cluster().parent.as_deref(), Some(made().0.hash()));
    assert_eq!(next.keyring().k3s_token(), made().0.keyring().k3s_token());
}

/// Where an error says that the edited text was kept.
fn kept(error: &str) -> PathBuf {
    PathBuf::from(error.split("--from ").nth(1).unwrap().split(": ").next().unwrap())
}

fn forget(kept: &Path) {
    std::fs::remove_dir_all(kept.parent().unwrap()).unwrap();
}

#[test]
fn an_edit_that_can_not_be_sealed_is_explained_and_neither_file_nor_text_is_lost() {
    let desk = Desk::with_file();
    let before = desk.read("file");
    let mut last = String::new();
    for (editor, answer, expected) in [
        ("sed -i s/etcd-2/etcd-1/", None, "there is a node 'etcd-1' already"),
        ("sed -i s/etcd-2/attic/", Some(false), "not sealed, as you said"),
        ("sed -i s/etcd-2/attic/", None, "--yes"),
    ] {
        let error = format!("{:#}", desk.edit("", editor, answer).unwrap_err());
        assert!(error.contains(expected), "{error}");
        let kept = kept(&error);
        let text = std::fs::read_to_string(&kept).unwrap();
        assert!(text.contains("etcd-3") && !text.contains("seed ="), "{text}");
        last = text;
        forget(&kept);
    }
    assert_eq!(desk.edit("", "true", None).unwrap(), "Nothing was changed.\n");
    let failed = format!("{:#}", desk.edit("", "false", None).unwrap_err());
    assert!(failed.contains("'false' failed") && !failed.contains("--from"), "{failed}");
    assert_eq!(desk.read("file"), before);

    std::fs::write(desk.path("kept"), last).unwrap();
    assert!(desk.edit(" --yes --from @kept", "true", None).unwrap().contains("'attic'"));
}

#[test]
fn what_somebody_else_changed_meanwhile_is_not_overwritten() {
    let desk = Desk::with_file();
    let theirs = seal(&made().0.next(|cluster| cluster.with_node(Role::Backup, None)).unwrap());
    disk::create(&desk.path("theirs"), &theirs).unwrap();
    let copy = format!("cp {} {}", desk.path("theirs").display(), desk.path("file").display());
    let error = desk.edit(" --yes", &format!("{copy}; sed -i s/etcd-2/attic/"), None).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("changed by somebody else meanwhile"), "{error}");
    assert_eq!(desk.read("file"), theirs.as_str());
    forget(&kept(&error));
}

#[test]
fn a_new_passphrase_opens_the_same_generation_and_the_old_one_no_longer() {
    let desk = Desk::with_file();
    let said = desk.cairn("passphrase @file --passphrase-file @pass --new-passphrase-file @other").unwrap();
    assert!(said.contains("Copies from before still open") && !said.contains("wrong"), "{said}");
    assert!(desk.error("open @file --passphrase-file @pass").contains("passphrase does not open"));
    let json = desk.cairn("open @file --passphrase-file @other --json").unwrap();
    assert!(json.contains(made().0.hash()), "{json}");
}

#[test]
fn a_rotation_raises_one_epoch_and_says_what_it_does_not_do() {
    let desk = Desk::with_file();
    let said = desk.cairn("rotate @file join --passphrase-file @pass").unwrap();
    assert!(said.contains("Epoch 2") && said.contains("It does not:") && said.contains("The seed stays"));
    assert!(desk.error("rotate @file everything").contains("possible values: agents"));
}

#[test]
fn what_machines_would_not_follow_is_rotated_only_when_forced() {
    let desk = Desk::new();
    let key = Fingerprint::from_bytes([1; 32]);
    let joined = made().0.next(|it| it.with_enrolled(&"etcd-1".parse().unwrap(), key)).unwrap();
    disk::create(&desk.path("file"), &seal(&joined)).unwrap();
    let refused = desk.error("rotate @file agents --passphrase-file @pass");
    assert!(refused.contains("since machines have joined (1)") && refused.contains("unlock"), "{refused}");
    let forced = desk.cairn("rotate @file agents --passphrase-file @pass --force").unwrap();
    assert!(forced.contains("generation 3"), "{forced}");
}

#[test]
fn diverged_copies_are_named_listed_and_an_exit_code_of_their_own() {
    let desk = Desk::with_file();
    let first = &made().0;
    for (name, role) in [("left", Role::Compute), ("right", Role::Backup)] {
        let next = first.next(|cluster| cluster.with_node(role, None)).unwrap();
        disk::create(&desk.path(name), &seal(&next)).unwrap();
    }
    let run = |line: &str| {
        let mut out = Vec::new();
        let code = run_to(desk.parse(line).unwrap(), &mut out).unwrap();
        (format!("{code:?}"), String::from_utf8(out).unwrap())
    };
    let (code, said) = run("generations @file @left --passphrase-file @pass");
    assert_eq!(code, format!("{:?}", ExitCode::SUCCESS));
    assert!(said.contains("is the newest"), "{said}");
    let (code, said) = run("generations @file @left @right --passphrase-file @pass");
    assert_eq!(code, format!("{:?}", exit::not_well()));
    assert!(said.contains("went different ways"), "{said}");
    assert!(said.contains("node 'backup-1' is") && said.contains("node 'compute-2' is"), "{said}");
    let (code, json) = run("generations @nowhere --json --passphrase-file @pass");
    assert_eq!(code, format!("{:?}", ExitCode::FAILURE));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["not_opened"][0]["why"].as_str().unwrap().contains("could not be read"), "{json}");
}

#[test]
fn an_entry_is_for_its_owner_alone_and_takes_the_place_of_nothing() {
    let desk = Desk::with_file();
    let line = "entry @file --passphrase-file @pass --for bitwarden --output @import.json";
    desk.cairn(line).unwrap();
    assert_eq!(desk.path("import.json").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let json: serde_json::Value = serde_json::from_str(&desk.read("import.json")).unwrap();
    assert_eq!(json["items"][0]["login"]["password"], PASSPHRASE);
    assert!(desk.error(line).contains("could not be made"));
}

/// A terminal that is closed when this is said.
struct Closed(&'static str);

impl Write for Closed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match String::from_utf8_lossy(bytes).contains(self.0) {
            true => Err(std::io::ErrorKind::BrokenPipe.into()),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_generated_passphrase_that_could_not_be_shown_locks_nothing() {
    let desk = Desk::with_file();
    let change = desk.parse("passphrase @file --passphrase-file @pass --generate").unwrap();
    assert!(run_to(change, &mut Closed("shown this once")).is_err());
    desk.cairn("open @file --passphrase-file @pass").unwrap();

    let new = desk.parse("new @new --name home").unwrap();
    assert!(run_to(new, &mut Closed("shown this once")).is_err());
    assert!(!desk.path("new").exists());
}

#[test]
fn an_edit_that_was_sealed_is_not_taken_back_when_it_could_not_be_told() {
    let desk = Desk::with_file();
    let line = "edit @file --passphrase-file @pass --yes";
    let FileCommand::Edit(arguments) = desk.parse(line).unwrap() else { panic!() };
    let editor = "sed -i s/compute-1/attic/".into();
    let mut owner = edit::Owner { editor, answer: Box::new(|_| None) };
    let error = edit::run(&arguments, &mut owner, &mut Closed(", generation ")).unwrap_err();
    assert_eq!(disk::load(&desk.path("file")).unwrap().generation(), 2);
    assert!(!format!("{error:#}").contains("--from"), "{error:#}");
}
