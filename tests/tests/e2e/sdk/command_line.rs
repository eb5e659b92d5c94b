//! The command line of the all-in-one, as the first page of the documentation uses it.

use serde_json::{Value, json};
use tests::{process::Process, rest::Credentials};

use super::{
    libraries::{Backend, Tabs},
    planes::{Layout, Planes, address},
};

#[tokio::test]
async fn the_command_line_publishes_and_manages() {
    let planes = Planes::start(Layout::OneProcess, json!({})).await;
    let url = format!("http://{}", address(planes.rest));
    let backend = Backend::node(&planes).await;
    let mut tabs = Tabs::of_key(&planes, &Credentials::default().key, &backend);
    tabs.open("ann", "ann").await;
    tabs.subscribe("ann", "my-channel").await;
    let trigger = ["trigger", "my-channel", "hello", r#"{"text":"hi"}"#, "--url", &url];
    let printed = Process::output("carillon", &trigger).await;
    assert_eq!(printed.trim(), r#"{"ok":true}"#);
    tabs.expect("ann", "my-channel", "hello", json!({ "text": "hi" })).await;

    let created = apps(&planes, &["create", "shop"]).await;
    let created: Value = serde_json::from_str(&created).unwrap();
    assert_eq!(created["app_id"], "shop");
    let updated = apps(&planes, &["update", "shop", r#"{"enabled":false}"#]).await;
    assert!(updated.contains(r#""enabled":false"#), "{updated}");
    assert_eq!(apps(&planes, &["list"]).await.lines().count(), 3);
    apps(&planes, &["delete", "shop"]).await;
    assert_eq!(apps(&planes, &["list"]).await.lines().count(), 2);
}

/// Whoever mixes up what is encrypted and what is not is told so.
#[tokio::test]
async fn the_command_line_says_how_to_reach_the_operations_listener() {
    let planes = Planes::start(Layout::OneProcess, json!({})).await;
    let folder = planes.folder.path().join("certificates").display().to_string();
    Process::output("carillon", &["certificates", "--out", &folder]).await;
    let file = |option: &str, name: &str| format!("--admin-{option}={folder}/{name}.pem");
    let own = [file("certificate", "admin"), file("key", "admin-key"), file("ca", "ca")];
    let admin = |scheme: &str| format!("--admin={scheme}://{}", address(planes.operations));
    for (scheme, own, expected) in [
        ("http", &own[..], "a certificate goes with https:// only"),
        ("https", &[][..], "https:// needs --admin-certificate"),
        ("https", &own[..], "is it encrypted as --admin says"),
    ] {
        let admin = admin(scheme);
        let given = ["apps", "list", "--admin-token=none", &admin].into_iter();
        let given: Vec<_> = given.chain(own.iter().map(String::as_str)).collect();
        let said = Process::try_output("carillon", &given).await.unwrap_err();
        assert!(said.contains(expected), "{given:?}: {said}");
    }
}

async fn apps(planes: &Planes, arguments: &[&str]) -> String {
    let admin = format!("http://{}", address(planes.operations));
    let data = planes.folder.path().display().to_string();
    let where_they_are = ["--admin", &*admin, "--data", &*data];
    Process::output("carillon", &[&["apps"], arguments, &where_they_are].concat()).await
}
