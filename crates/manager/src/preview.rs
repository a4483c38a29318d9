//! The page with something on it, to look at in a browser:
//! `cargo test -p cairn-manager preview -- --ignored --nocapture`.

use crate::api::router;
use crate::decide::tests::sample_disk;
use crate::etcd::{EtcdView, Member};
use crate::network::CableView;
use crate::simulation::{Agent, Lab, name, new_file_for};
use axum::extract::Request;
use axum::http::header;
use cairn_model::inventory::{Disk, DiskContent};
use cairn_wire::message::AgentState;
use cairn_workflow::{Plan, Step, What};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "serves a page for a minute"]
async fn preview() {
    let folder = tempfile::tempdir().unwrap();
    let file = new_file_for(folder.path(), 3, 2);
    let lab = Lab::start(folder.path(), "work");
    let medium =
        |node: &str, expires| file.keyring().join_material(&name(node), Uuid::new_v4(), expires).unwrap();

    let first = Agent::blank(Some(medium("etcd-1", u64::MAX)));
    let power = first.power_on(&lab).await;
    first.until(|state| matches!(state, AgentState::Installing { .. })).await;
    power.cut(&lab);
    for state in [(|node| AgentState::Locked { node }) as fn(String) -> AgentState, |node| {
        AgentState::Running { node }
    }] {
        first.restart_into(state);
        let power = first.power_on(&lab).await;
        if matches!(first.state(), AgentState::Locked { .. }) {
            first.until(|state| matches!(state, AgentState::Starting { .. })).await;
            power.cut(&lab);
        }
    }
    let second = Agent::blank(Some(medium("etcd-2", u64::MAX)));
    second.power_on(&lab).await;
    let late = Agent::blank(Some(medium("etcd-3", 1)));
    late.power_on(&lab).await;
    let photos = Disk {
        content: DiskContent::Holds("GPT with 2 partitions: EFI system, ext4 'family <photos>'".into()),
        model: "WDC WD40EFAX".into(),
        rotational: true,
        ..sample_disk("ata-WDC_WD40EFAX-68JH4N1_WD-WX12D1234567")
    };
    let fresh = Agent::new(None, vec![photos, sample_disk("nvme-Samsung_SSD_980_S64ANS0T123456")]);
    fresh.power_on(&lab).await;

    let refused =
        "another DHCP server, 192.168.1.1, answers on eth0: this looks like a home network".to_owned();
    // somewhere in the middle of a step that reports progress
    let copying = Plan::new(
        "install",
        "etcd-2",
        vec![Step::new("encrypt", "Encrypt it (LUKS2)"), Step::new("copy", "Copy the system")],
    );
    second.until(|state| matches!(state, AgentState::Installing { .. })).await;
    lab.core.jobs.plan(copying);
    lab.core.jobs.done(&name("etcd-2"), "encrypt");
    lab.core.jobs.started(&name("etcd-2"), "copy");
    let progress = What::Progress { step: "copy".into(), done: 3, total: 7, unit: "bytes".into() };
    lab.core.jobs.report(&name("etcd-2"), progress);
    let retried = What::Retried { step: "copy".into(), attempt: 2, reason: "the connection broke".into() };
    lab.core.jobs.report(&name("etcd-2"), retried);

    lab.core.network().cable = CableView::Refused { interface: "eth0".into(), reason: refused };
    let member = |name: &str, error: Option<&str>| Member {
        name: name.into(),
        id: None,
        peer_url: None,
        error: error.map(str::to_owned),
    };
    let members =
        vec![member("etcd-1", None), member("etcd-2", Some("it does not answer: connection refused"))];
    *lab.core.etcd() = EtcdView { members };

    let listener = TcpListener::bind("127.0.0.1:4299").await.unwrap();
    let bound = listener.local_addr().unwrap();
    let cookie = format!("cairn_session={}", lab.core.token.cookie());
    let logged_in = axum::middleware::map_request(move |mut request: Request| {
        request.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
        std::future::ready(request)
    });
    let seconds =
        std::env::var("CAIRN_PREVIEW_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let serve = axum::serve(listener, router(Arc::clone(&lab.core), bound).layer(logged_in));
    println!("look at http://{bound}/");
    let _ = tokio::time::timeout(Duration::from_secs(seconds), async { serve.await }).await;
}
