//! The committed code in `src/generated` is what the `.proto` files say.
//!
//! When it is not, this test writes what it should be and fails: look at the difference, commit it.

use std::{fs, path::Path};

/// Messages that are stored as JSON: part of an app's record.
const STORED: [&str; 13] = [
    "App",
    "AppLimits",
    "MessageRateLimit",
    "AppFeatures",
    "AppWebhook",
    "WebhookFilter",
    "WebhookRetry",
    "ChannelDelta",
    "ChannelNamespace",
    "IdempotencySettings",
    "ConnectionRecoverySettings",
    "HistorySettings",
    "PresenceHistorySettings",
];

fn generate(out: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root]).expect("the proto folder exists");
    compiler.include_source_info(true).include_imports(true);
    for file in [
        "carillon/v1/events.proto",
        "carillon/v1/apps.proto",
        "carillon/internal/v1/dispatch.proto",
        "carillon/internal/v1/peers.proto",
        "carillon/internal/v1/settings.proto",
    ] {
        compiler.open_file(file).expect("the .proto files are valid");
    }
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())
        .expect("the folder is writable");
    let mut config = tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .bytes(".carillon.internal.v1")
        .btree_map(".")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .disable_comments(["."])
        .out_dir(out);
    for message in STORED {
        let path = format!(".carillon.v1.{message}");
        config = config.type_attribute(
            &path,
            "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default, deny_unknown_fields)]",
        );
    }
    for output_only in ["revision", "create_time", "update_time", "previous_secret_valid"] {
        config =
            config.field_attribute(format!(".carillon.v1.App.{output_only}"), "#[serde(skip)]");
    }
    config.compile_fds(compiler.file_descriptor_set()).expect("code can be generated");
    for unused in ["google.rpc.rs", "google.protobuf.rs"] {
        let _ = fs::remove_file(out.join(unused));
    }
}

#[test]
fn generated_code_is_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated");
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh).expect("the target folder is writable");
    fs::create_dir_all(&committed).expect("the source folder is writable");
    generate(&fresh);
    let mut drifted = Vec::new();
    for entry in fs::read_dir(&fresh).expect("it was just made") {
        let file = entry.expect("it was just made").path();
        let kept = committed.join(file.file_name().expect("a file has a name"));
        if fs::read(&kept).ok() != fs::read(&file).ok() {
            fs::copy(&file, &kept).expect("the source folder is writable");
            drifted.push(kept);
        }
    }
    assert!(drifted.is_empty(), "these had drifted and are fresh now, commit them: {drifted:?}");
}
