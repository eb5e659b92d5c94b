//! Certificates, and even the authority, are exchanged while calls are under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use proto::{
    link,
    plane::{identity::Role, mtls::Mtls},
};

use crate::{
    authority::Authority,
    planes::{Planes, READ, call},
};

#[tokio::test]
async fn a_new_authority_is_taken_up_by_both_ends_and_no_call_fails() {
    let planes = Planes::start().await;
    let place = |name: &str| planes.folder.path().join(name);
    let files = planes.authority.write(&place("gateway"), Role::Gateway);
    let mtls = Mtls::follow(files).unwrap();
    let connect = || link::secure(&planes.url(), &mtls).unwrap();
    // Somebody who keeps to the first authority.
    let old = planes.authority.write(&place("old"), Role::Gateway);
    let old = Mtls::follow(old).unwrap();

    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let traffic = tokio::spawn({
        let (link, stop, calls) = (connect(), Arc::clone(&stop), Arc::clone(&calls));
        async move {
            while !stop.load(Ordering::Relaxed) {
                call(&link, READ).await.expect("a connection that stands goes on");
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    tests::soon("the first calls", async {
        while calls.load(Ordering::Relaxed) < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    let second = Authority::new();
    second.write(&place("control"), Role::Control);
    second.write(&place("gateway"), Role::Gateway);
    tests::soon("both ends take up the new certificates", async {
        let refused = || async {
            let link = link::secure(&planes.url(), &old).unwrap();
            call(&link, READ).await.is_err()
        };
        while !refused().await || call(&connect(), READ).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let before = calls.load(Ordering::Relaxed);
    tests::soon("calls after the exchange", async {
        while calls.load(Ordering::Relaxed) < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    traffic.await.unwrap();
}

#[tokio::test]
async fn files_that_make_no_sense_leave_the_certificate_as_it_is() {
    let planes = Planes::start().await;
    let folder = planes.folder.path().join("control");
    for file in ["certificate.pem", "key.pem", "ca.pem"] {
        std::fs::write(folder.join(file), "nonsense").unwrap();
    }
    // Longer than it takes to notice.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let link = planes.link("gateway", Role::Gateway);
    assert!(call(&link, READ).await.is_ok());
}
