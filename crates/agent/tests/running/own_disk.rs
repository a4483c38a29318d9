//! The disk that a node was started from may take without end to be found; all else goes on.

use crate::{describe, node, serve};
use cairn_agent::boot::BootDisk;
use cairn_agent::running::shelf::Shelf;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn a_node_answers_while_its_disk_is_not_found_and_knows_it_afterwards() {
    let var_lib = tempfile::tempdir().unwrap();
    let node = node(var_lib.path(), Arc::new(Shelf::new(var_lib.path())));
    let (disk, found) = mpsc::channel::<BootDisk>();
    node.find_own_disk(move || found.recv().ok());
    let mut client = serve(Arc::clone(&node)).await;
    let marked = |inventory: cairn_model::inventory::Inventory| {
        inventory.disks.into_iter().filter(|disk| disk.started_from).count()
    };
    let before = describe(&mut client).await.inventory;
    let first =
        before.disks.first().map_or_else(|| "no-such-disk".to_owned(), |disk| disk.kernel_name.clone());
    let expected = before.disks.len().min(1);
    assert_eq!(marked(before), 0);

    disk.send(BootDisk::at(format!("/dev/{first}").into())).unwrap();
    timeout(Duration::from_secs(60), async {
        while node.own_disk().is_none() || marked(describe(&mut client).await.inventory) != expected {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}
