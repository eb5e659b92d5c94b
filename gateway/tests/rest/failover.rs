//! Several control planes: the owner is called, and another one when it dies.

use std::{net::SocketAddr, time::Duration};

use gateway::{Gateway, config::Options};
use model::{AppId, ShardId, replica};
use proto::{internal::Replica, replicas::Replicas};
use tokio::time::Instant;

use crate::{
    control_plane::{ControlPlane, Says},
    fixture::{Fixture, NOW, replicas, serve, start},
};

/// Two control planes that know each other, and a gateway that was told of the first.
struct Two {
    fixture: Fixture,
    planes: [ControlPlane; 2],
    replicas: Replicas,
}

const NAMES: [&str; 2] = ["cp-0", "cp-1"];

async fn two() -> Two {
    let (fixture, planes) = (start().await, [ControlPlane::default(), ControlPlane::default()]);
    let addresses = [planes[0].listen().await, planes[1].listen().await];
    let told = |place: usize| Replica {
        name: NAMES[place].into(),
        address: format!("http://{}", addresses[place]),
        owner: planes[place].owner(),
        eligible: true,
    };
    for plane in &planes {
        *plane.replicas.lock().unwrap() = vec![told(0), told(1)];
    }
    let replicas = replicas(&addresses[..1]);
    let alive = |known: &proto::replicas::Known| known.iter().all(|one| one.life.is_some());
    let both = |known: &proto::replicas::Known| known.len() == 2 && alive(known);
    replicas.follow().wait_for(both).await.unwrap();
    let apps = fixture.apps.subscribe();
    let gateway = Gateway::with_clock(Options::default(), apps, replicas.clone(), || NOW);
    let fixture = Fixture { address: serve(&gateway).await, gateway, ..fixture };
    Two { fixture, planes, replicas }
}

fn owner_of(channel: &str) -> usize {
    let shard = ShardId::of(&AppId::parse("app-1").unwrap(), channel);
    let owner = replica::owner(NAMES, shard);
    NAMES.iter().position(|name| Some(*name) == owner).unwrap()
}

fn body(channel: &str) -> String {
    format!(r#"{{"name":"a","channel":"{channel}","data":"c"}}"#)
}

#[tokio::test]
async fn each_publish_goes_to_the_owner_of_its_channel() {
    let two = two().await;
    for number in 0..20 {
        let channel = format!("room-{number}");
        assert_eq!(two.fixture.publish(&body(&channel)).await.status, 200);
        let owner = owner_of(&channel);
        assert_eq!(two.planes[owner].published().len(), 1, "{channel}");
        assert!(two.planes[1 - owner].published().is_empty());
    }
    let owner = owner_of("the-key");
    let keyed = r#"{"name":"a","channel":"b","data":"c","idempotency_key":"the-key"}"#;
    assert_eq!(two.fixture.publish(keyed).await.status, 200);
    assert_eq!(two.planes[owner].published().len(), 1, "a key has its home");
}

#[tokio::test]
async fn a_call_is_taken_away_from_one_that_falls_silent() {
    let two = two().await;
    let owner = owner_of("room");
    two.planes[owner].say(Says::Nothing);
    let began = Instant::now();
    let publish = body("room");
    let silence = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        *two.planes[owner].silent.lock().unwrap() = true;
    };
    let (response, ()) = tokio::join!(two.fixture.publish(&publish), silence);
    assert_eq!(response.status, 200);
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    let (first, second) = (two.planes[owner].published(), two.planes[1 - owner].published());
    assert_eq!(first, second, "it is the same publish");
    *two.planes[owner].silent.lock().unwrap() = false;
    let alive = |known: &proto::replicas::Known| known.iter().all(|one| one.life.is_some());
    two.replicas.follow().wait_for(alive).await.unwrap();
    assert_eq!(two.fixture.publish(&publish).await.status, 200);
    assert_eq!(two.planes[owner].published().len(), 1, "it is back");
}

#[tokio::test]
async fn with_none_left_the_answer_comes_at_once() {
    let fixture = start().await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let addresses: [SocketAddr; 1] = [gone];
    let replicas = replicas(&addresses);
    let apps = fixture.apps.subscribe();
    let gateway = Gateway::with_clock(Options::default(), apps, replicas, || NOW);
    let fixture = Fixture { address: serve(&gateway).await, gateway, ..fixture };
    let began = Instant::now();
    fixture.publish(&body("b")).await.refused(503, "service_unavailable", None);
    assert!(began.elapsed() < Duration::from_millis(1_300), "one may come within a second");
    for _ in 0..10 {
        let began = Instant::now();
        let response = fixture.publish(&body("b")).await;
        response.refused(503, "service_unavailable", None);
        assert_eq!(response.header("retry-after"), Some("1"));
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    }
}
