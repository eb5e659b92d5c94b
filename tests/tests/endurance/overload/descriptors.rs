//! A process that runs out of file descriptors.

use std::time::Duration;

use tests::{
    client::{Client, Incoming},
    eventually,
    quiet::Place,
    rest::Credentials,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::Server;
use crate::size::say;

const DESCRIPTORS: u32 = 256;
const PATH: &str = "/app/app-key?protocol=7";

#[tokio::test]
async fn over_the_soft_cap_a_client_is_told_4100_and_nobody_is_left_waiting() {
    let _place = Place::take(false).await;
    let server = Server::start(&[], Some(DESCRIPTORS)).await;
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..600 {
        let mut client = Client::open(server.public, PATH, None).await;
        match client.next().await {
            Incoming::Frame(frame) if frame["event"] == "pusher:connection_established" => {
                open.push(client);
            }
            Incoming::Frame(frame) => {
                assert_eq!(frame["data"]["code"], 4100, "{frame}");
                assert!(matches!(client.next().await, Incoming::Close(4100, _)));
                refused += 1;
            }
            other @ (Incoming::Pong(_) | Incoming::Close(..) | Incoming::End) => {
                panic!("{other:?}")
            }
        }
    }
    say(&format!("{DESCRIPTORS} descriptors: {} open, {refused} told 4100", open.len()));
    assert!(open.len() >= DESCRIPTORS as usize / 2 && refused > 0);
    // Room again for whoever comes when some have gone.
    open.truncate(10);
    let enters = || async {
        let mut client = Client::open(server.public, PATH, None).await;
        let first = client.next().await;
        let enters = matches!(first, Incoming::Frame(frame) if frame["data"]["code"].is_null());
        enters.then_some(())
    };
    eventually("a new socket is let in", enters).await;
}

#[tokio::test]
async fn an_accept_loop_survives_having_none_left() {
    let _place = Place::take(false).await;
    let server = Server::start(&[], Some(DESCRIPTORS)).await;
    let mut member = Client::connect(server.public, &Credentials::default()).await;
    member.subscribe("room").await;
    let backend = server.backend();
    // A connection is open before there is no room for one.
    backend.publish_text("room", "e", "before").await;
    member.expect_event("room", "e", "before").await;

    let mut idle = Vec::new();
    for _ in 0..DESCRIPTORS + 100 {
        idle.push(TcpStream::connect(server.public).await.unwrap());
    }
    // Longer than it is before the emergency descriptor is used.
    sleep(Duration::from_secs(2)).await;
    backend.publish_text("room", "e", "meanwhile").await;
    member.expect_event("room", "e", "meanwhile").await;

    drop(idle);
    let began = Instant::now();
    let mut late = Client::connect(server.public, &Credentials::default()).await;
    say(&format!("let in {:?} after the descriptors were free", began.elapsed()));
    late.subscribe("room").await;
    backend.publish_text("room", "e", "after").await;
    member.expect_event("room", "e", "after").await;
    late.expect_event("room", "e", "after").await;
}
