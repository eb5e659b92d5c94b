//! The package as it would be published.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/js")
}

/// Runs a command there; fails where it fails.
async fn run(place: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(place).output().await.unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    out.into_owned()
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect();
    files.sort();
    files
}

/// Decoders against their referees, filters, types.
#[tokio::test]
async fn its_own_tests_pass() {
    run(&folder(), "npm", &["test"]).await;
}

/// `dist` is committed, since the all-in-one serves it and is built without npm.
#[tokio::test]
async fn dist_is_what_the_compiler_makes_of_the_sources() {
    let fresh = TempDir::new().unwrap();
    let out = fresh.path().to_str().unwrap();
    run(&folder(), "node_modules/.bin/tsc", &["--outDir", out]).await;
    let [made, committed] = [fresh.path(), &folder().join("dist")].map(files);
    let names = |files: &[(String, String)]| files.iter().map(|(name, _)| name.clone()).collect();
    let [of_made, of_committed]: [Vec<String>; 2] = [names(&made), names(&committed)];
    assert_eq!(of_made, of_committed, "run `npm run build` in clients/js");
    for (made, committed) in made.iter().zip(&committed) {
        assert!(made == committed, "{} is old: run `npm run build` in clients/js", made.0);
    }
}

#[tokio::test]
async fn it_can_be_packed_installed_and_imported() {
    let app = TempDir::new().unwrap();
    let place = app.path();
    let into = ["pack", "--silent", "--pack-destination", place.to_str().unwrap()];
    let packed = run(&folder(), "npm", &into).await;
    std::fs::write(place.join("package.json"), r#"{"type":"module","private":true}"#).unwrap();
    let archive = format!("./{}", packed.trim());
    run(place, "npm", &["install", "--offline", "--silent", &archive]).await;
    let installed = place.join("node_modules/@carillon/client");
    let mut names: Vec<_> =
        files(&installed.join("dist")).into_iter().map(|(name, _)| name).collect();
    names.retain(|name| name == "index.js" || name == "index.d.ts");
    assert_eq!(names, ["index.d.ts", "index.js"]);
    assert!(installed.join("README.md").exists() && !installed.join("src").exists());
    let program = r#"
        import { eq, withCarillon } from "@carillon/client";
        import { Deltas } from "@carillon/client/deltas";
        const { kind } = new Deltas().receive("{}");
        console.log(typeof withCarillon, JSON.stringify(eq("a", 1)), kind);
    "#;
    let said = run(place, "node", &["--input-type=module", "--eval", program]).await;
    assert_eq!(said.trim(), r#"function {"key":"a","cmp":"eq","val":1} frame"#);
}
