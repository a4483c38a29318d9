//! What can happen to a cluster file on its way through a password manager. Opening costs half a second of
//! scrypt, so one sealed file serves all; what does not need the passphrase is tried many times.

use std::sync::OnceLock;

use cairn_model::cluster::{Fingerprint, Role, SecretClass};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const PASSPHRASE: &str = "correct horse battery staple";

pub(super) fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A file as full as a note is wanted to be able to hold: every node with everything known of it, long names, a
/// long history.
fn full() -> ClusterFile {
    enrolled([(Role::Etcd, 3), (Role::Compute, 10), (Role::Backup, 2)], "in-the-cellar")
}

/// Every number that a /24 has for nodes, with the longest names.
pub(super) fn largest() -> &'static str {
    static SEALED: OnceLock<String> = OnceLock::new();
    let place = "in-the-cellar-of-the-old-house-behind-the-large-oak";
    let roles = [(Role::Etcd, 3), (Role::Compute, 240), (Role::Backup, 2)];
    SEALED.get_or_init(|| enrolled(roles, place).seal(&passphrase()).unwrap().as_str().to_owned())
}

fn enrolled(roles: [(Role, u8); 3], place: &str) -> ClusterFile {
    let seed = RootSeed::from_bytes(Zeroizing::new([0xa7; 32]));
    let mut cluster = Cluster::new(name("grandmothers-house"), Network::choose(&[77; 32]), 0, 0, 0).unwrap();
    for (role, count) in roles {
        for index in 0..count {
            let place = name(&format!("{role}-{place}-{index}"));
            cluster = cluster.with_node(role, Some(place)).unwrap();
        }
    }
    for class in SecretClass::ALL {
        for _ in 0..120 {
            cluster = cluster.with_rotated(class);
        }
    }
    for (index, node) in (0u8..).zip(cluster.nodes.clone()) {
        let key = |which: u8| {
            Fingerprint::from_bytes(std::array::from_fn(|at| if at == 0 { which } else { index }))
        };
        cluster = cluster.with_enrolled(&node.name, key(1)).unwrap();
        cluster = cluster.with_node_key(&node.name, key(2)).unwrap();
        cluster = cluster.with_volume(&node.name, Uuid::from_u128(u128::MAX - u128::from(index))).unwrap();
    }
    cluster = cluster.with_etcd_formed();
    cluster.generation = 123_456;
    cluster.parent = Some("0123456789abcdef0123456789abcdef".to_owned());
    ClusterFile::with_hash(seed, cluster).unwrap()
}

pub(super) fn sealed() -> &'static str {
    static SEALED: OnceLock<String> = OnceLock::new();
    SEALED.get_or_init(|| full().seal(&passphrase()).unwrap().as_str().to_owned())
}

fn parsed(text: &str) -> Result<(), OpenError> {
    Sealed::parse(text).map(|_| ())
}

#[test]
fn three_etcd_ten_compute_and_two_backup_nodes_fit_in_7000_characters() {
    let length = sealed().chars().count();
    println!("a full cluster file has {length} characters");
    assert!(length <= 7_000, "{length}");
}

#[test]
fn a_sealed_file_opens_as_what_it_was() {
    let opened = ClusterFile::open(&Sealed::parse(sealed()).unwrap(), &passphrase()).unwrap();
    let full = full();
    assert_eq!(opened.cluster(), full.cluster());
    assert_eq!(opened.hash(), full.hash());
    assert_eq!(opened.keyring().k3s_token(), full.keyring().k3s_token());
}

#[test]
fn the_plain_lines_hold_name_and_generation_and_no_node() {
    let sealed = Sealed::parse(sealed()).unwrap();
    assert_eq!(sealed.cluster(), &name("grandmothers-house"));
    assert_eq!(sealed.generation(), 123_456);
    assert!(!sealed.as_str().contains("cellar"));
}

#[test]
fn the_work_factor_is_always_17() {
    let body: String = sealed().lines().filter(|line| !line.starts_with(['#', '-'])).collect();
    let plain = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let head = String::from_utf8_lossy(&plain[..120]).into_owned();
    let stanza = head.lines().find(|line| line.starts_with("-> scrypt ")).unwrap();
    assert_eq!(stanza.split(' ').next_back(), Some("17"));
}

#[test]
fn a_wrong_passphrase_is_told_from_a_damaged_file() {
    let sealed = Sealed::parse(sealed()).unwrap();
    let wrong = Passphrase::new("correct horse battery stapl").unwrap();
    assert!(matches!(ClusterFile::open(&sealed, &wrong), Err(OpenError::WrongPassphrase)));
}

#[test]
fn a_pasted_file_with_other_line_ends_and_white_space_still_opens() {
    let crlf = sealed().replace('\n', "\r\n");
    let indented = sealed().replace('\n', " \t\n\n   ");
    let marked = format!("\u{feff}\n\n  {}\n\n", sealed().trim_end());
    for text in [crlf, indented, marked] {
        let pasted = Sealed::parse(&text).unwrap();
        assert!(ClusterFile::open(&pasted, &passphrase()).is_ok());
    }
}

#[test]
fn a_file_of_a_newer_format_is_recognised_and_an_edited_format_is_not_taken_for_one() {
    let edited = sealed().replace("# format: 1", "# format: 2");
    assert_eq!(parsed(&edited), Err(OpenError::Edited));
    let newer = envelope::resign(&edited);
    assert_eq!(parsed(&newer), Err(OpenError::NewerFormat { format: 2 }));
}

#[test]
fn plain_lines_that_do_not_fit_what_is_sealed_are_found_by_opening() {
    let other = envelope::resign(&sealed().replace("# generation: 123456", "# generation: 123457"));
    let other = Sealed::parse(&other).unwrap();
    assert!(matches!(ClusterFile::open(&other, &passphrase()), Err(OpenError::Content)));
}

#[test]
fn a_file_cut_off_anywhere_is_truncated_or_no_cairn_file_at_all() {
    let whole = sealed();
    let title = whole.find('\n').unwrap();
    for end in 0..whole.trim_end().len() {
        let expected_foreign = end < title;
        match parsed(&whole[..end]) {
            Err(OpenError::NotACairnFile) => assert!(expected_foreign, "cut at {end}"),
            Err(OpenError::Truncated { .. }) => assert!(!expected_foreign, "cut at {end}"),
            other => panic!("cut at {end}: {other:?}"),
        }
    }
}

#[test]
fn a_file_without_its_middle_is_truncated_and_says_by_how_much() {
    let (head, tail) = (&sealed()[..1_000], &sealed()[1_500..]);
    assert_eq!(parsed(&format!("{head}{tail}")), Err(OpenError::Truncated { missing: Some(500) }));
}

#[test]
fn a_file_without_its_plain_lines_is_no_cairn_file() {
    let armour: String =
        sealed().lines().filter(|it| !it.starts_with('#')).map(|it| format!("{it}\n")).collect();
    assert_eq!(parsed(&armour), Err(OpenError::NotACairnFile));
    assert_eq!(parsed(""), Err(OpenError::NotACairnFile));
    assert_eq!(parsed("hello"), Err(OpenError::NotACairnFile));
}

#[test]
fn every_generation_names_its_parent_and_no_change_makes_none() {
    let first = full();
    let second = first.next(|cluster| cluster.with_node(Role::Backup, None)).unwrap();
    assert_eq!(second.cluster().generation, 123_457);
    assert_eq!(second.cluster().parent.as_deref(), Some(first.hash()));
    assert_ne!(second.hash(), first.hash());
    let same = second.next(Ok).unwrap();
    assert_eq!((same.cluster(), same.hash()), (second.cluster(), second.hash()));
}

#[test]
fn a_refused_change_leaves_the_generation_as_it_was() {
    let file = full();
    assert!(file.next(|cluster| cluster.without_node(&name("nobody"))).is_err());
    assert_eq!(file.cluster().generation, 123_456);
}

#[test]
fn every_node_that_a_network_has_a_number_for_fits_into_what_is_read() {
    let length = largest().chars().count();
    println!("the largest cluster file has {length} characters");
    let sealed = Sealed::parse(&largest().replace('\n', "\r\n")).unwrap();
    let opened = ClusterFile::open(&sealed, &passphrase()).unwrap();
    assert_eq!(opened.cluster().nodes.len(), 245);
    assert!(opened.cluster().clone().with_node(Role::Compute, None).is_err(), "there are more numbers");
    assert!(!sealed.room().fits_a_note());
    assert!(opened.with_text(&opened.text().unwrap()).is_ok());
}

#[test]
fn what_an_enrolled_node_adds_is_foreseen() {
    let places = ClusterFile::new(name("home"), 3, 10, 2).unwrap();
    let enrolled = places.next(|cluster| {
        let first = cluster.nodes[0].name.clone();
        let cluster = cluster.with_enrolled(&first, Fingerprint::from_bytes([1; 32]))?;
        let cluster = cluster.with_node_key(&first, Fingerprint::from_bytes([2; 32]))?;
        cluster.with_volume(&first, Uuid::from_u128(u128::MAX))
    });
    let [before, after] = [places, enrolled.unwrap()].map(|file| file.seal(&passphrase()).unwrap());
    assert!(before.room().with_another_node().left() <= after.room().left());
}

#[test]
fn a_file_longer_than_what_is_read_is_not_sealed() {
    let mut file = full();
    file.cluster.parent = Some("x".repeat(MOST_CHARACTERS));
    assert!(matches!(file.seal(&passphrase()), Err(SealError::TooLong(_))));
}

#[test]
fn no_error_text_holds_the_passphrase() {
    let sealed = Sealed::parse(sealed()).unwrap();
    let Err(error) = ClusterFile::open(&sealed, &Passphrase::new("hunter2 hunter2").unwrap()) else {
        panic!()
    };
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        prop_assert!(parsed(&text).is_err());
    }

    #[test]
    fn any_lines_like_ours_are_read_or_refused(
        lines in proptest::collection::vec("(# (cluster|generation|format|checksum): .{0,50})|(-----.*)|[a-z0-9-]{0,64}", 0..12)
    ) {
        prop_assert!(parsed(&lines.join("\n")).is_err());
    }

    #[test]
    fn any_single_character_put_in_the_place_of_another_is_an_edit(at in 0usize..9_000, put in "[!-~äß€]") {
        let whole = sealed().trim_end();
        let at = at % whole.len();
        // what only parts the lines may change; what stands in them may not
        prop_assume!(whole.as_bytes()[at] != b'\n' && whole[at..=at] != put);
        let edited = format!("{}{put}{}", &whole[..at], &whole[at + 1..]);
        prop_assert_eq!(parsed(&edited), Err(OpenError::Edited));
    }

    #[test]
    fn any_single_character_added_is_an_edit(at in 0usize..9_000, put in "[!-~äß€]") {
        let whole = sealed().trim_end();
        let at = at % whole.len();
        let edited = format!("{}{put}{}", &whole[..at], &whole[at..]);
        prop_assert_eq!(parsed(&edited), Err(OpenError::Edited));
    }

    #[test]
    fn any_characters_taken_out_of_the_sealed_part_are_missed(at in 600usize..5_000, count in 1usize..200) {
        let whole = sealed().trim_end();
        let (head, tail) = (&whole[..at], &whole[at + count..]);
        let cut = parsed(&format!("{head}{tail}"));
        prop_assert!(matches!(cut, Err(OpenError::Truncated { missing: Some(_) })), "{cut:?}");
    }

    /// Whatever is done to a whole file, even by somebody who puts the checksum right: it is refused, or it is
    /// of a form and asks for work that Cairn knows.
    #[test]
    fn any_changes_are_refused_or_leave_a_file_that_can_be_tried(
        changes in proptest::collection::vec((0usize..7_000, 0usize..300, mutation()), 1..6),
        signed in any::<bool>(),
    ) {
        let mut text = sealed().to_owned();
        for (at, length, put) in changes {
            let start = text.floor_char_boundary(at % text.len().max(1));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &put);
        }
        let text = if signed { envelope::resign(&text) } else { text };
        if let Ok(changed) = Sealed::parse(&text) {
            prop_assert!(signed || changed.same_as(&Sealed::parse(sealed()).unwrap()));
            prop_assert_eq!(changed.as_str(), &text);
        }
    }
}

/// What is put into a file: bits of its own kind, anything at all, and much of it.
fn mutation() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[A-Za-z0-9+/]{0,80}",
        "(\n|# |: |-----|-> scrypt |# checksum: |# format: [0-9]{1,20}\n){1,5}",
        (1usize..300).prop_map(|count| "# checksum: 9-9\n".repeat(count)),
    ]
}
