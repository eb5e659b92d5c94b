//! A listener that nobody came to for a while serves the next who does.

use std::time::Duration;

use tests::{
    process::{Process, free_port},
    quiet::Place,
    rest::get,
};

/// Longer than a connection may take to its first request.
const NOBODY_COMES: Duration = Duration::from_secs(11);

#[tokio::test]
async fn the_first_after_a_pause_is_served() {
    let _place = Place::take(false).await;
    let [public, operations] = [(); 2].map(|()| ([127, 0, 0, 1], free_port()).into());
    let arguments = [format!("--listen={public}"), format!("--operations-listen={operations}")];
    let _gateway = Process::start("carillon-gateway", &arguments);
    let lives = || async { (get(operations, "/livez").await.0 == 200).then_some(()) };
    tests::eventually("the gateway lives", lives).await;
    tokio::time::sleep(NOBODY_COMES).await;
    assert_eq!(get(operations, "/livez").await.0, 200);
    // No app is known to it: an answer, if not a good one.
    assert_eq!(get(public, "/up").await.0, 503);
}
