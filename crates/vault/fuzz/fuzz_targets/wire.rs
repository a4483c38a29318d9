//! Any text where a node or a person sends one: requests, keys, rosters, join material, recovery keys.

#![no_main]

use cairn_vault::join::JoinMaterial;
use cairn_vault::{PrivateKey, RecoveryKey, SignedRoster, SigningRequest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = SigningRequest::from_pem(text);
    let _ = PrivateKey::from_pem(text);
    let _ = serde_json::from_str::<JoinMaterial>(text);
    if let Ok(key) = RecoveryKey::parse(text) {
        assert!(RecoveryKey::parse(key.expose()).is_ok());
    }
    if let Ok(roster) = serde_json::from_str::<SignedRoster>(text) {
        assert!(roster.verify(text).is_err());
    }
});
