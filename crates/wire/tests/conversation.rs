//! Real connections over loopback: who gets through, and who does not.

#![cfg(test)]

use cairn_model::log::{LogEntry, LogQuery};
use cairn_vault::PrivateKey;
use cairn_vault::leaf::MANAGER_NAME;
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Peer, Request, Response};
use cairn_wire::server::{self, Handler, LogReceiver};
use cairn_wire::tls::{self, Callers, Expect, Identity};
use cairn_wire::{Fingerprint, code};
use cairn_workflow::{EventLog, What};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn ca() -> Ca {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "test");
    let pem = parameters.self_signed(&key).unwrap().pem();
    Ca { pem, issuer: Issuer::new(parameters, key) }
}

fn issue(ca: &Ca, name: &str) -> Identity {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = parameters.signed_by(&key, &ca.issuer).unwrap();
    Identity::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap()
}

struct Echo {
    log: EventLog,
    /// How many read the journal.
    readers: Arc<watch::Sender<u32>>,
}

impl Handler for Echo {
    async fn answer(self: Arc<Self>, peer: Peer, _: Request) -> Response {
        Response::Refused { reason: peer.fingerprint.to_string() }
    }

    fn job(&self) -> Option<EventLog> {
        Some(self.log.clone())
    }

    /// One bundle per line asked for; a follower waits for ever after that.
    async fn log(self: Arc<Self>, _: Peer, query: LogQuery) -> Result<LogReceiver, String> {
        if query.lines == 0 {
            return Err("nothing asked".into());
        }
        let (sender, receiver) = mpsc::channel(1);
        let readers = Arc::clone(&self.readers);
        readers.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            for number in 0..query.lines {
                if sender.send(Ok(vec![entry(number)])).await.is_err() {
                    break;
                }
            }
            if query.follow {
                sender.closed().await;
            }
            readers.send_modify(|count| *count -= 1);
        });
        Ok(receiver)
    }
}

fn entry(number: u32) -> LogEntry {
    LogEntry {
        cursor: format!("i={number}").parse().unwrap(),
        time_us: 1,
        unit: Some("k3s.service".into()),
        identifier: None,
        priority: Some(6),
        message: "a message".into(),
        cut: false,
    }
}

async fn start(identity: Identity, callers: Callers) -> (SocketAddr, EventLog) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = EventLog::new();
    let handler = Arc::new(Echo { log: log.clone(), readers: Arc::default() });
    serve(listener, identity, callers, handler);
    (address, log)
}

fn serve(listener: TcpListener, identity: Identity, callers: Callers, handler: Arc<Echo>) {
    tokio::spawn(async move { server::serve(listener, &identity, &callers, handler).await.unwrap() });
}

async fn ask(address: SocketAddr, identity: &Identity, expect: &Expect) -> Result<String, ClientError> {
    let mut client = Client::connect(address, identity, expect).await?;
    match client.ask(&Request::Describe).await {
        Err(ClientError::Refused(text)) => Ok(text),
        Err(error) => Err(error),
        Ok(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_fresh_machine_is_reached_by_its_key_and_by_no_other() {
    let machine = Identity::self_signed(&PrivateKey::generate().unwrap()).unwrap();
    let fingerprint = machine.fingerprint().unwrap();
    let (address, _) = start(machine, Callers::Anyone).await;
    let manager = issue(&ca(), MANAGER_NAME);
    let seen = ask(address, &manager, &Expect::Key(fingerprint)).await.unwrap();
    assert_eq!(seen, manager.fingerprint().unwrap().to_string());
    let other = Fingerprint::from_bytes([b'o'; 32]);
    assert!(matches!(ask(address, &manager, &Expect::Key(other)).await, Err(ClientError::Handshake(..))));
}

#[tokio::test]
async fn an_enrolled_node_answers_its_manager_alone() {
    let (ours, theirs) = (ca(), ca());
    let node = issue(&ours, "etcd-1.node.cairn");
    let (address, _) = start(node, Callers::ManagerOf { ca: ours.pem.clone() }).await;
    let expect = Expect::Named { ca: ours.pem.clone(), name: "etcd-1.node.cairn".to_owned() };
    let manager = issue(&ours, MANAGER_NAME);
    assert_eq!(ask(address, &manager, &expect).await.unwrap(), manager.fingerprint().unwrap().to_string());

    let member = issue(&ours, "etcd-2.node.cairn");
    assert_eq!(ask(address, &member, &expect).await.unwrap(), "this certificate is not the manager's");

    let foreigner = issue(&theirs, MANAGER_NAME);
    assert!(ask(address, &foreigner, &expect).await.is_err());

    let wrong_name = Expect::Named { ca: ours.pem.clone(), name: "etcd-2.node.cairn".to_owned() };
    assert!(matches!(ask(address, &manager, &wrong_name).await, Err(ClientError::Handshake(..))));
    let wrong_ca = Expect::Named { ca: theirs.pem, name: "etcd-1.node.cairn".to_owned() };
    assert!(matches!(ask(address, &manager, &wrong_ca).await, Err(ClientError::Handshake(..))));
}

#[tokio::test]
async fn a_running_node_tells_other_nodes_the_time_once_and_nothing_else() {
    let (ours, theirs) = (ca(), ca());
    let node = issue(&ours, "etcd-1.node.cairn");
    let (address, _) = start(node, Callers::MembersOf { ca: ours.pem.clone() }).await;
    let expect = Expect::Named { ca: ours.pem.clone(), name: "etcd-1.node.cairn".to_owned() };
    let manager = issue(&ours, MANAGER_NAME);
    assert_eq!(ask(address, &manager, &expect).await.unwrap(), manager.fingerprint().unwrap().to_string());

    let member = issue(&ours, "etcd-2.node.cairn");
    assert_eq!(ask(address, &member, &expect).await.unwrap(), "this certificate is not the manager's");
    let mut client = Client::connect(address, &member, &expect).await.unwrap();
    let Err(ClientError::Refused(reached)) = client.ask(&Request::Time).await else { panic!() };
    assert_eq!(reached, member.fingerprint().unwrap().to_string());
    assert!(client.ask(&Request::Time).await.is_err(), "it hung up after one answer");

    let foreigner = issue(&theirs, "etcd-2.node.cairn");
    assert!(ask(address, &foreigner, &expect).await.is_err());
}

#[tokio::test]
async fn events_are_followed_to_the_end_and_again_from_any_number() {
    let machine = Identity::self_signed(&PrivateKey::generate().unwrap()).unwrap();
    let expect = Expect::Key(machine.fingerprint().unwrap());
    let (address, log) = start(machine, Callers::Anyone).await;
    log.emit(What::Started { step: "a".into() });
    let manager = issue(&ca(), MANAGER_NAME);
    let mut client = Client::connect(address, &manager, &expect).await.unwrap();
    client.start_following(0).await.unwrap();
    assert_eq!(client.next_event().await.unwrap().unwrap().number, 1);
    log.emit(What::Done { step: "a".into() });
    log.emit(What::Finished);
    assert_eq!(client.next_event().await.unwrap().unwrap().number, 2);
    assert_eq!(client.next_event().await.unwrap().unwrap().number, 3);
    assert!(client.next_event().await.unwrap().is_none());
    client.start_following(2).await.unwrap();
    assert_eq!(client.next_event().await.unwrap().unwrap().what, What::Finished);
}

#[test]
fn a_certificate_counts_only_for_its_ca_and_its_name() {
    let (ours, theirs) = (ca(), ca());
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut parameters = CertificateParams::new(vec!["a.boot.cairn".to_owned()]).unwrap();
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = parameters.signed_by(&key, &ours.issuer).unwrap();
    assert!(tls::issued_for(&ours.pem, leaf.der(), "a.boot.cairn"));
    assert!(!tls::issued_for(&ours.pem, leaf.der(), "b.boot.cairn"));
    assert!(!tls::issued_for(&theirs.pem, leaf.der(), "a.boot.cairn"));
    assert!(!tls::issued_for(&ours.pem, b"nonsense", "a.boot.cairn"));
}

#[test]
fn a_code_can_be_computed_from_what_both_sides_saw() {
    let (machine, ca) = (Fingerprint::from_bytes([b'm'; 32]), Fingerprint::from_bytes([b'c'; 32]));
    let promise = code::commit(&[7; 16], &ca);
    assert_eq!(promise, code::commit(&[7; 16], &ca));
    let shown = code::ShortCode::new(&machine, &ca, &[1; 16], &[7; 16]).to_string();
    assert_eq!(shown.len(), 7);
}

#[tokio::test]
async fn a_log_is_read_to_its_end_and_following_ends_with_the_reader() {
    let machine = Identity::self_signed(&PrivateKey::generate().unwrap()).unwrap();
    let expect = Expect::Key(machine.fingerprint().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = Arc::new(Echo { log: EventLog::new(), readers: Arc::default() });
    let mut readers = handler.readers.subscribe();
    serve(listener, machine, Callers::Anyone, handler);
    let manager = issue(&ca(), MANAGER_NAME);

    let mut client = Client::connect(address, &manager, &expect).await.unwrap();
    let mut query = LogQuery { lines: 3, ..LogQuery::default() };
    client.start_log(&query).await.unwrap();
    for number in 0..3 {
        assert_eq!(client.next_entries().await.unwrap(), Some(vec![entry(number)]));
    }
    assert_eq!(client.next_entries().await.unwrap(), None);
    // the conversation goes on
    query.lines = 0;
    client.start_log(&query).await.unwrap();
    assert!(matches!(client.next_entries().await, Err(ClientError::Refused(_))));
    query = LogQuery { lines: 1, follow: true, ..query };
    client.start_log(&query).await.unwrap();
    assert_eq!(client.next_entries().await.unwrap(), Some(vec![entry(0)]));
    assert_eq!(*readers.borrow_and_update(), 1);
    drop(client);
    readers.wait_for(|count| *count == 0).await.unwrap();
}
