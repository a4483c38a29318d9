use cairn_model::address::Network;
use zeroize::Zeroizing;

use super::*;
use crate::join::{Claim, JoinError, Onto, Use, proof, verify};

const NOW: u64 = 1_800_000_000;

fn seed(byte: u8) -> RootSeed {
    RootSeed::from_bytes(Zeroizing::new([byte; 32]))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn cluster() -> Cluster {
    Cluster::new(name("home"), Network::choose(&[77; 32]), 3, 1, 0).unwrap()
}

mod authorities {
    use super::*;

    #[test]
    fn an_authority_made_again_is_the_same_byte_for_byte() {
        let (seed, cluster) = (seed(7), cluster());
        let keyring = Keyring::new(&seed, &cluster);
        for class in
            [SecretClass::Agents, SecretClass::EtcdPeers, SecretClass::EtcdServers, SecretClass::EtcdClients]
        {
            let first = keyring.authority(class).unwrap();
            let again = keyring.authority(class).unwrap();
            assert_eq!(first.certificate_der(), again.certificate_der());
        }
    }

    #[test]
    fn todays_authority_is_the_one_that_clusters_out_there_trust() {
        // changing this text locks every existing cluster out of its nodes
        let (seed, cluster) = (seed(7), cluster());
        let pem = Keyring::new(&seed, &cluster).agents().unwrap().certificate_pem().to_owned();
        assert_eq!(pem, include_str!("../../tests/known-authority.pem"));
    }

    #[test]
    fn a_leaf_made_again_for_the_same_key_is_the_same_and_for_another_key_has_another_number() {
        let (seed, cluster) = (seed(7), cluster());
        let keyring = Keyring::new(&seed, &cluster);
        let request = || SigningRequest::of(&PrivateKey::generate().unwrap()).unwrap();
        let (mine, other) = (request(), request());
        let issue = |request| keyring.issue(&Leaf::Manager, request).unwrap().certificate_der;
        assert_eq!(issue(&mine), issue(&mine));
        let number = |der: &[u8]| {
            use x509_parser::prelude::*;
            X509Certificate::from_der(der).unwrap().1.raw_serial().to_vec()
        };
        assert_ne!(number(&issue(&mine)), number(&issue(&other)));
        assert!(number(&issue(&mine)).len() <= 20);
    }

    #[test]
    fn rotating_one_authority_leaves_the_others() {
        let (seed, before) = (seed(7), cluster());
        let after = before.clone().with_rotated(SecretClass::EtcdPeers);
        let der = |cluster: &Cluster, class| {
            Keyring::new(&seed, cluster).authority(class).unwrap().certificate_der().to_vec()
        };
        assert_ne!(der(&before, SecretClass::EtcdPeers), der(&after, SecretClass::EtcdPeers));
        assert_eq!(der(&before, SecretClass::Agents), der(&after, SecretClass::Agents));
    }

    #[test]
    fn an_authority_issues_nothing_of_another_kind() {
        let (seed, cluster) = (seed(7), cluster());
        let agents = Keyring::new(&seed, &cluster).agents().unwrap();
        let request = SigningRequest::of(&PrivateKey::generate().unwrap()).unwrap();
        let peer = Leaf::EtcdPeer(name("etcd-1"), [10, 77, 77, 10].into());
        assert!(matches!(agents.issue(&peer, &request), Err(IssueError::WrongAuthority(_))));
        assert!(Keyring::new(&seed, &cluster).authority(SecretClass::Luks).is_err());
    }
}

mod rosters {
    use super::*;

    #[test]
    fn a_signed_roster_verifies_against_its_own_cluster_only() {
        let (own, foreign, cluster) = (seed(7), seed(8), cluster());
        let keyring = Keyring::new(&own, &cluster);
        let signed = keyring.signed_roster().unwrap();
        let own = keyring.agents().unwrap();
        assert_eq!(signed.verify(own.certificate_pem()).unwrap(), Roster::of(&cluster));
        let foreign = Keyring::new(&foreign, &cluster).agents().unwrap();
        let refused = signed.verify(foreign.certificate_pem());
        assert!(matches!(refused, Err(RosterError::WrongSignature)));
    }

    #[test]
    fn a_changed_roster_is_refused() {
        let (seed, cluster) = (seed(7), cluster());
        let keyring = Keyring::new(&seed, &cluster);
        let text = serde_json::to_string(&keyring.signed_roster().unwrap()).unwrap();
        let changed: SignedRoster =
            serde_json::from_str(&text.replace(r#"number\":1"#, r#"number\":9"#)).unwrap();
        assert_ne!(changed, keyring.signed_roster().unwrap());
        let authority = keyring.agents().unwrap();
        assert!(matches!(changed.verify(authority.certificate_pem()), Err(RosterError::WrongSignature)));
    }
}

mod recovery {
    use super::*;

    #[test]
    fn a_reinstalled_volume_has_another_recovery_key() {
        let (seed, cluster) = (seed(7), cluster());
        let keyring = Keyring::new(&seed, &cluster);
        let key = |uuid| keyring.recovery_key_of(Uuid::from_u128(uuid));
        assert_eq!(key(1), key(1));
        assert_ne!(key(1), key(2));
    }

    #[test]
    fn a_volume_keeps_its_key_when_new_ones_are_made() {
        let (seed, volume) = (seed(7), Uuid::from_u128(1));
        let before = cluster().with_enrolled(&name("etcd-1"), Fingerprint::from_bytes([1; 32])).unwrap();
        let before = before.with_volume(&name("etcd-1"), volume).unwrap();
        let after = before.clone().with_rotated(SecretClass::Luks);
        let key = |cluster: &Cluster, uuid| Keyring::new(&seed, cluster).recovery_key_of(uuid);
        assert_eq!(key(&before, volume), key(&after, volume));
        assert_ne!(key(&before, Uuid::from_u128(2)), key(&after, Uuid::from_u128(2)));
    }

    #[test]
    fn an_old_snapshots_token_is_still_known_after_a_rotation() {
        let (seed, before) = (seed(7), cluster());
        let after = before.clone().with_rotated(SecretClass::K3sToken);
        let old = Keyring::new(&seed, &before).k3s_token();
        let tokens: Vec<_> = Keyring::new(&seed, &after).k3s_tokens().collect();
        assert_eq!(tokens.len(), 2);
        assert_eq!(tokens.last(), Some(&old));
        assert_ne!(tokens.first(), Some(&old));
    }
}

mod joining {
    use super::*;

    /// A machine with a medium of cluster 7 asks for the place of `etcd-1`.
    fn judge(change: impl FnOnce(&mut Attempt)) -> Result<(), JoinError> {
        let (own, cluster) = (seed(7), cluster());
        let key = PrivateKey::generate().unwrap().public_key_der();
        let mut attempt =
            Attempt { manager: 7, forge: None, key, nonce: [3; 32], used: Use::Unused, now: NOW };
        change(&mut attempt);
        let medium = Keyring::new(&own, &cluster);
        let mut material =
            medium.join_material(&name("etcd-1"), Uuid::from_u128(5), NOW + 1, Onto::Medium).unwrap();
        if let Some(forge) = attempt.forge {
            forge(&mut material);
        }
        let proof = proof(&material, &attempt.key, &[3; 32]);
        let manager = seed(attempt.manager);
        let manager = Keyring::new(&manager, &cluster);
        let claim = Claim {
            terms: &material.terms,
            public_key_der: &attempt.key,
            nonce: &attempt.nonce,
            proof: &proof,
        };
        let key = manager.join_key(&material.terms);
        verify(&claim, &manager.identity().unwrap(), &key, &attempt.used, attempt.now)
    }

    struct Attempt {
        manager: u8,
        forge: Option<fn(&mut JoinMaterial)>,
        key: Vec<u8>,
        nonce: [u8; 32],
        used: Use,
        now: u64,
    }

    #[test]
    fn an_unused_medium_of_this_cluster_is_let_in() {
        assert_eq!(judge(|_| {}), Ok(()));
    }

    #[test]
    fn a_foreign_medium_is_refused() {
        assert_eq!(judge(|it| it.manager = 8), Err(JoinError::Foreign));
    }

    #[test]
    fn an_expired_medium_is_refused_from_the_second_on_that_it_names() {
        assert_eq!(judge(|it| it.now = NOW + 1), Err(JoinError::Expired(name("etcd-1"))));
    }

    #[test]
    fn a_used_medium_is_refused_unless_the_same_machine_asks_again() {
        let other = Use::By(Fingerprint::from_bytes([1; 32]));
        assert_eq!(judge(|it| it.used = other), Err(JoinError::Used(name("etcd-1"))));
        let again = |it: &mut Attempt| it.used = Use::By(fingerprint_of(&it.key));
        assert_eq!(judge(again), Ok(()));
    }

    #[test]
    fn a_medium_for_a_node_that_the_cluster_does_not_have_is_refused() {
        assert_eq!(judge(|it| it.used = Use::NoSuchNode), Err(JoinError::WrongNode(name("etcd-1"))));
    }

    #[test]
    fn changing_what_the_medium_stands_for_breaks_its_proof() {
        let later: fn(&mut JoinMaterial) = |it| it.terms.expires += 1_000_000;
        assert_eq!(judge(|it| it.forge = Some(later)), Err(JoinError::BadProof(name("etcd-1"))));
        let other: fn(&mut JoinMaterial) = |it| it.terms.node = "etcd-2".parse().unwrap();
        assert_eq!(judge(|it| it.forge = Some(other)), Err(JoinError::BadProof(name("etcd-2"))));
        let fresh: fn(&mut JoinMaterial) = |it| it.terms.key_id = Uuid::from_u128(6);
        assert_eq!(judge(|it| it.forge = Some(fresh)), Err(JoinError::BadProof(name("etcd-1"))));
        let inner: fn(&mut JoinMaterial) = |it| it.terms.onto = Onto::InnerDisk;
        assert_eq!(judge(|it| it.forge = Some(inner)), Err(JoinError::BadProof(name("etcd-1"))));
    }

    #[test]
    fn a_proof_overheard_is_of_no_use_for_another_question() {
        assert_eq!(judge(|it| it.nonce = [4; 32]), Err(JoinError::BadProof(name("etcd-1"))));
    }

    #[test]
    fn join_material_survives_its_file_and_shows_no_key_in_debug() {
        let (seed, cluster) = (seed(7), cluster());
        let keyring = Keyring::new(&seed, &cluster);
        let material = keyring.join_material(&name("etcd-1"), Uuid::from_u128(5), NOW, Onto::Medium).unwrap();
        let text = serde_json::to_string(&material).unwrap();
        assert_eq!(serde_json::from_str::<JoinMaterial>(&text).unwrap(), material);
        assert!(format!("{material:?}").contains("join_key: JoinKey(..)"));
    }
}
