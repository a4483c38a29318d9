use super::*;
use cairn_model::inventory::{Cpu, Disk, DiskContent, Firmware, Interface, Inventory, Product};
use cairn_vault::file::ClusterFile;
use cairn_vault::{PrivateKey, SigningRequest};
use cairn_wire::message::{CertificateRequests, Encryption, Wanted};

pub(crate) fn key(byte: u8) -> Fingerprint {
    Fingerprint::from_bytes([byte; 32])
}

pub(crate) fn cluster() -> Cluster {
    Cluster::new("home".parse().unwrap(), "10.87.33.0/24".parse().unwrap(), 3, 1, 0).unwrap()
}

pub(crate) fn sample_disk(id: &str) -> Disk {
    Disk {
        id: id.to_owned(),
        kernel_name: "vda".into(),
        model: "Model".into(),
        serial: "S1".into(),
        size_bytes: 64_000_000_000,
        rotational: false,
        removable: false,
        started_from: false,
        content: DiskContent::Blank,
    }
}

pub(crate) fn inventory(disks: Vec<Disk>) -> Inventory {
    Inventory {
        firmware: Firmware::Uefi { secure_boot: false },
        architecture: "x86_64".into(),
        product: Product { vendor: "QEMU".into(), name: "Standard PC".into(), serial: String::new() },
        cpu: Cpu { model: "TCG".into(), cores: 1, aes: false },
        memory_mib: 480,
        disks,
        interfaces: vec![Interface {
            name: "eth0".into(),
            mac: "52:54:00:00:00:01".into(),
            link: true,
            addresses: Vec::new(),
        }],
    }
}

pub(crate) fn description(state: AgentState) -> Description {
    Description {
        protocol: PROTOCOL,
        version: "0.1.0+abcd1234".into(),
        state,
        conditions: Vec::new(),
        inventory: inventory(vec![sample_disk("virtio-a")]),
        encryption: Encryption { luks_uuid: Some(LUKS), encrypted: false, unlocked: false },
        requests: None,
        boot_certificate: None,
        wants: Vec::new(),
        keeps: None,
        etcd_healthy: None,
        memory_used: 0,
        agent_resident: 0,
        vitals: None,
    }
}

const LUKS: Uuid = Uuid::from_u128(7);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn boot(node: &str, byte: u8) -> Proven {
    Proven::Boot { node: name(node), key: key(byte) }
}

fn node(node: &str, byte: u8) -> Proven {
    Proven::Node { node: name(node), key: key(byte) }
}

fn enrolled(node: &str, byte: u8) -> Cluster {
    cluster().with_enrolled(&name(node), key(byte)).unwrap().with_volume(&name(node), LUKS).unwrap()
}

/// One row of the tables below; what is not said is as after a restart with an empty working directory.
struct Case {
    cluster: Cluster,
    approval: Option<Approval>,
    exchanged: bool,
    told: Option<u64>,
    runs_elsewhere: bool,
    standing: Standing,
    clock_off: bool,
    may_try: bool,
}

fn with(cluster: Cluster) -> Case {
    Case {
        cluster,
        approval: None,
        exchanged: false,
        told: None,
        runs_elsewhere: false,
        standing: Standing::Known,
        clock_off: false,
        may_try: true,
    }
}

impl Case {
    fn after(&self, proven: &Proven, description: &Description) -> Action {
        decide(&Facts {
            proven,
            description,
            cluster: &self.cluster,
            agents_ca: "",
            approval: self.approval.as_ref(),
            exchanged: self.exchanged,
            told: self.told,
            runs_elsewhere: self.runs_elsewhere,
            standing: self.standing,
            clock_off: self.clock_off,
            may_try: self.may_try,
        })
    }
}

fn reason(action: Action) -> String {
    match action {
        Action::Refuse { reason } => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn ready() -> Description {
    let requests = CertificateRequests { boot: String::new(), node: String::new(), etcd: String::new() };
    Description { requests: Some(requests), ..description(AgentState::Fresh) }
}

fn disk_way() -> Way {
    Way::Disk { id: "virtio-a".into(), wipe: false }
}

#[test]
fn a_machine_that_is_off_the_time_is_told_it_before_anything_that_is_judged_by_date() {
    let off = |cluster| Case { clock_off: true, ..with(cluster) };
    let locked = description(AgentState::Locked { node: "etcd-1".into() });
    assert_eq!(off(enrolled("etcd-1", 1)).after(&boot("etcd-1", 1), &locked), Action::SetClock);
    let joining = description(AgentState::Joining { node: "etcd-1".into() });
    assert_eq!(off(cluster()).after(&Proven::Key(key(1)), &joining), Action::SetClock);
    let runs = enrolled("etcd-1", 1).with_node_key(&name("etcd-1"), key(2)).unwrap();
    let running = description(AgentState::Running { node: "etcd-1".into() });
    let settled = Case { told: Some(runs.generation), ..off(runs) };
    assert_eq!(settled.after(&node("etcd-1", 2), &running), Action::SetClock);
    // nobody whom this cluster does not know, and nobody who failed a moment ago
    assert_eq!(off(cluster()).after(&Proven::Key(key(1)), &ready()), Action::ExchangeCode);
    let tired = Case { may_try: false, ..settled };
    assert_eq!(tired.after(&node("etcd-1", 2), &running), Action::Nothing);
}

#[test]
fn a_machine_that_was_not_approved_gets_nothing_but_a_code() {
    let fresh = ready();
    assert_eq!(with(cluster()).after(&Proven::Key(key(1)), &fresh), Action::ExchangeCode);
    let shown = Case { exchanged: true, ..with(cluster()) };
    assert_eq!(shown.after(&Proven::Key(key(1)), &fresh), Action::AwaitApproval);
    // even when the file has its key, as after a lost journal
    let shown = Case { exchanged: true, ..with(enrolled("etcd-1", 1)) };
    assert_eq!(shown.after(&Proven::Key(key(1)), &fresh), Action::AwaitApproval);
}

#[test]
fn an_approved_machine_is_enrolled_in_its_place_and_no_other() {
    let approved = |cluster, replaces| Case {
        exchanged: true,
        approval: Some(Approval::new(name("etcd-1"), disk_way(), replaces)),
        ..with(cluster)
    };
    let enrol = Action::Enrol { node: name("etcd-1"), way: disk_way() };
    let me = Proven::Key(key(1));
    assert_eq!(approved(cluster(), None).after(&me, &ready()), enrol);
    assert_eq!(approved(enrolled("etcd-1", 1), None).after(&me, &ready()), enrol);
    assert_eq!(approved(enrolled("etcd-1", 2), Some(key(2))).after(&me, &ready()), enrol);
    assert!(
        reason(approved(enrolled("etcd-1", 2), None).after(&me, &ready())).contains("another machine's key")
    );
    let without = cluster().without_node(&name("etcd-1")).unwrap();
    assert!(reason(approved(without, None).after(&me, &ready())).contains("does not have"));
    let early = Case { may_try: false, ..approved(cluster(), None) };
    assert_eq!(early.after(&me, &ready()), Action::Nothing);
    // a manager that restarted shows its key to the machine first
    let restarted = Case { exchanged: false, ..approved(cluster(), None) };
    assert_eq!(restarted.after(&me, &ready()), Action::ExchangeCode);
    let silent = description(AgentState::Fresh);
    assert!(reason(approved(cluster(), None).after(&me, &silent)).contains("no certificate requests"));
}

#[test]
fn a_joining_machine_has_to_prove_its_key_before_anything_else() {
    let joining = |node: &str| description(AgentState::Joining { node: node.into() });
    let me = Proven::Key(key(1));
    let prove = Action::ProveJoin { node: name("etcd-1") };
    assert_eq!(with(cluster()).after(&me, &joining("etcd-1")), prove);
    // whether the place is taken is told to who holds the key alone
    assert_eq!(with(enrolled("etcd-1", 9)).after(&me, &joining("etcd-1")), prove);
    let refused = Case { may_try: false, ..with(cluster()) };
    assert_eq!(refused.after(&me, &joining("etcd-1")), Action::Nothing);
    assert!(reason(with(cluster()).after(&me, &joining("<b>"))).contains("names no node"));
}

#[test]
fn an_installation_is_followed_when_it_is_this_clusters() {
    let installing = description(AgentState::Installing { node: "etcd-1".into() });
    let me = Proven::Key(key(1));
    let follow = Action::Follow { node: name("etcd-1") };
    assert_eq!(with(enrolled("etcd-1", 1)).after(&me, &installing), follow);
    assert!(reason(with(cluster()).after(&me, &installing)).contains("not by this cluster's manager"));
    assert!(
        reason(with(enrolled("etcd-2", 1)).after(&me, &installing)).contains("identity is that of 'etcd-2'")
    );
    let restarting = description(AgentState::Restarting { node: "etcd-1".into() });
    assert_eq!(with(cluster()).after(&me, &restarting), Action::Nothing);
    assert_eq!(with(enrolled("etcd-1", 1)).after(&me, &restarting), follow);
}

#[test]
fn a_copied_boot_identity_gets_no_key_while_the_original_runs() {
    let locked = description(AgentState::Locked { node: "etcd-1".into() });
    let case = Case { runs_elsewhere: true, ..with(enrolled("etcd-1", 1)) };
    assert!(reason(case.after(&boot("etcd-1", 1), &locked)).contains("copied"));
}

#[test]
fn a_locked_node_is_unlocked_when_key_name_and_volume_are_the_enrolled_ones() {
    let locked = |node: &str| description(AgentState::Locked { node: node.into() });
    let file = enrolled("etcd-1", 1);
    let unlock = Action::Unlock { node: name("etcd-1"), luks: LUKS };
    assert_eq!(with(file.clone()).after(&boot("etcd-1", 1), &locked("etcd-1")), unlock);
    assert_eq!(with(file.clone()).after(&Proven::Key(key(1)), &locked("etcd-1")), unlock);
    let wrong_key = Case { may_try: false, ..with(file.clone()) };
    assert_eq!(wrong_key.after(&boot("etcd-1", 1), &locked("etcd-1")), Action::Nothing);

    let adopt = Action::Adopt { node: name("etcd-1"), boot: key(1), running: None, luks: Some(LUKS) };
    assert_eq!(with(cluster()).after(&boot("etcd-1", 1), &locked("etcd-1")), adopt);
    let without_volume = cluster().with_enrolled(&name("etcd-1"), key(1)).unwrap();
    assert_eq!(with(without_volume).after(&boot("etcd-1", 1), &locked("etcd-1")), adopt);

    let no_disk = Description { encryption: Encryption::default(), ..locked("etcd-1") };
    let other_volume = file.clone().with_volume(&name("etcd-1"), Uuid::from_u128(8)).unwrap();
    let removed = cluster().without_node(&name("etcd-1")).unwrap();
    let refused = [
        (&file, boot("etcd-1", 2), locked("etcd-1"), "another machine's key"),
        (&file, boot("etcd-2", 2), locked("etcd-1"), "identity is that of 'etcd-2'"),
        (&file, boot("etcd-2", 2), locked("etcd-2"), "another node's"),
        (&file, Proven::Key(key(3)), locked("etcd-1"), "shows no such identity"),
        (&file, node("etcd-1", 1), locked("etcd-1"), "shows no such identity"),
        (&file, boot("etcd-1", 1), no_disk, "no encrypted data partition"),
        (&other_volume, boot("etcd-1", 1), locked("etcd-1"), "is not the one"),
        (&removed, boot("etcd-1", 1), locked("etcd-1"), "does not have"),
    ];
    for (cluster, proven, description, words) in refused {
        let reason = reason(with(cluster.clone()).after(&proven, &description));
        assert!(reason.contains(words), "{reason} / {words}");
    }
}

#[test]
fn a_running_node_is_told_each_roster_once() {
    let running = description(AgentState::Running { node: "etcd-1".into() });
    let file = enrolled("etcd-1", 1).with_node_key(&name("etcd-1"), key(2)).unwrap();
    let me = node("etcd-1", 2);
    let configure = Action::Configure { node: name("etcd-1") };
    assert_eq!(with(file.clone()).after(&me, &running), configure);
    let told = |number| Case { told: Some(number), ..with(file.clone()) };
    assert_eq!(told(file.generation).after(&me, &running), Action::Nothing);
    assert_eq!(told(file.generation - 1).after(&me, &running), configure);
}

#[test]
fn a_newer_cluster_file_at_a_running_node_comes_before_all_else_even_where_ours_lacks_the_node() {
    let running = |node: &str| description(AgentState::Running { node: node.into() });
    let file = enrolled("etcd-1", 1).with_node_key(&name("etcd-1"), key(2)).unwrap();
    let newer = Case { standing: Standing::Newer, ..with(file) };
    assert_eq!(newer.after(&node("etcd-1", 2), &running("etcd-1")), Action::TakeUp { node: name("etcd-1") });
    assert_eq!(newer.after(&node("attic", 3), &running("attic")), Action::TakeUp { node: name("attic") });
    assert!(reason(newer.after(&boot("attic", 3), &running("attic"))).contains("shows no such identity"));
    let waiting = Case { may_try: false, ..newer };
    assert_eq!(waiting.after(&node("etcd-1", 2), &running("etcd-1")), Action::Nothing);
}

#[test]
fn what_a_running_node_wants_comes_after_the_roster() {
    let wanted = Wanted { name: "k3s".into(), version: "v1".into(), machine: "x86_64".into() };
    let state = AgentState::Running { node: "etcd-1".into() };
    let wants = Description { wants: vec![wanted], ..description(state) };
    let file = enrolled("etcd-1", 1).with_node_key(&name("etcd-1"), key(2)).unwrap();
    let me = node("etcd-1", 2);
    assert_eq!(with(file.clone()).after(&me, &wants), Action::Configure { node: name("etcd-1") });
    let told = Case { told: Some(file.generation), ..with(file) };
    assert_eq!(told.after(&me, &wants), Action::Provide);
    assert_eq!(Case { may_try: false, ..told }.after(&me, &wants), Action::Nothing);
}

#[test]
fn a_running_node_that_the_file_does_not_know_is_adopted_only_with_its_boot_certificate() {
    let issuer = ClusterFile::new(name("home"), 3, 1, 0).unwrap();
    let request = SigningRequest::of(&PrivateKey::generate().unwrap()).unwrap();
    let issued = issuer.keyring().issue(&Leaf::Boot(name("etcd-1")), &request).unwrap();
    let agents_ca = issued.authority_pem.clone();
    let running = |certificate: Option<&str>| Description {
        boot_certificate: certificate.map(str::to_owned),
        ..description(AgentState::Running { node: "etcd-1".into() })
    };
    let decide = |cluster: &Cluster, proven: &Proven, description: &Description| {
        decide(&Facts {
            proven,
            description,
            cluster,
            agents_ca: &agents_ca,
            approval: None,
            exchanged: false,
            told: None,
            runs_elsewhere: false,
            standing: Standing::Known,
            clock_off: false,
            may_try: true,
        })
    };
    let me = node("etcd-1", 2);
    let shown = running(Some(&issued.certificate_pem));
    let adopt = |boot| Action::Adopt { node: name("etcd-1"), boot, running: Some(key(2)), luks: Some(LUKS) };
    assert_eq!(decide(&cluster(), &me, &shown), adopt(request.fingerprint()));
    assert!(reason(decide(&cluster(), &me, &running(None))).contains("no boot certificate"));
    // another cluster's certificate, or another node's, is worth nothing
    let foreign = ClusterFile::new(name("home"), 3, 1, 0).unwrap();
    let foreign = foreign.keyring().issue(&Leaf::Boot(name("etcd-1")), &request).unwrap();
    let other = issuer.keyring().issue(&Leaf::Boot(name("etcd-2")), &request).unwrap();
    for certificate in [foreign.certificate_pem, other.certificate_pem] {
        assert!(
            reason(decide(&cluster(), &me, &running(Some(&certificate)))).contains("no boot certificate")
        );
    }
    // the file knows the boot key and not yet the running one
    let file = enrolled("etcd-1", 1);
    let known = Action::Adopt { node: name("etcd-1"), boot: key(1), running: Some(key(2)), luks: None };
    assert_eq!(decide(&file, &me, &running(None)), known);
    let without_volume = cluster().with_enrolled(&name("etcd-1"), key(1)).unwrap();
    assert_eq!(decide(&without_volume, &me, &running(None)), adopt(key(1)));
    assert!(reason(decide(&file, &me, &shown)).contains("another machine's key"));
    let file = file.with_node_key(&name("etcd-1"), key(5)).unwrap();
    assert!(reason(decide(&file, &me, &running(None))).contains("another machine's key"));
    assert!(
        reason(decide(&file, &node("etcd-2", 2), &running(None))).contains("identity is that of 'etcd-2'")
    );
    assert!(reason(decide(&file, &boot("etcd-1", 1), &running(None))).contains("shows no such identity"));

    // and the same certificate shows that an installation in progress is this cluster's
    let installing = Description { state: AgentState::Installing { node: "etcd-1".into() }, ..shown };
    let me = Proven::Key(request.fingerprint());
    let adopt =
        Action::Adopt { node: name("etcd-1"), boot: request.fingerprint(), running: None, luks: Some(LUKS) };
    assert_eq!(decide(&cluster(), &me, &installing), adopt);
    assert!(reason(decide(&cluster(), &Proven::Key(key(9)), &installing)).contains("not by this cluster's"));
}

#[test]
fn another_protocol_is_refused_in_words() {
    let old = Description { protocol: PROTOCOL + 1, ..description(AgentState::Fresh) };
    assert!(reason(with(cluster()).after(&Proven::Key(key(1)), &old)).contains("same release"));
}
