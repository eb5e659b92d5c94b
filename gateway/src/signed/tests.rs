//! Every signing vector of spec/http.md 1.7 and 12, and every way not to pass.

use model::Signature;

use super::*;

const NOW: u64 = 1_700_000_000;

#[derive(Clone, Debug, serde::Deserialize)]
struct Vector {
    id: String,
    key: String,
    secret: String,
    method: String,
    path: String,
    query: String,
    body: Option<String>,
    string_to_sign: String,
    signature: String,
}

fn vectors() -> Vec<Vector> {
    let lines = include_str!("vectors.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn vector(id: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.id == id).unwrap()
}

impl Vector {
    fn app(&self) -> App {
        App {
            key: model::AppKey((*self.key).into()),
            secrets: Secrets::one(AppSecret::new(&self.secret)),
            ..NOBODY.clone()
        }
    }

    fn now(&self) -> u64 {
        Query::parse(&self.query).unwrap().get("auth_timestamp").unwrap().parse().unwrap()
    }

    /// With the signature as the last parameter of the query.
    fn signed(&self) -> String {
        format!("{}&auth_signature={}", self.query, self.signature)
    }

    fn sign(mut self) -> Self {
        let query = Query::parse(&self.query).unwrap();
        let message = string_to_sign(&self.method, &self.path, &query);
        let secret = AppSecret::new(&self.secret);
        self.signature = Signature::sign(&secret, message.as_bytes()).to_string();
        self
    }

    fn verify(&self, raw: &str, authorization: Option<&str>, now: u64) -> Result<(), Rejection> {
        let claim = Claim {
            method: &self.method,
            path: &self.path,
            prefix: None,
            query: Query::parse(raw)?,
            authorization,
        };
        claim.verify(&self.app(), now)?.check(self.body.as_deref().unwrap_or_default().as_bytes())
    }

    fn accepted(&self) -> bool {
        self.verify(&self.signed(), None, self.now()).is_ok()
    }

    /// The reason's text; panics unless it is a failed authentication.
    fn refused(&self, raw: &str, authorization: Option<&str>, now: u64) -> String {
        let rejection = self.verify(raw, authorization, now).expect_err(raw);
        assert_eq!(rejection.reason, Reason::AuthFailed, "{raw}: {rejection}");
        rejection.message.into_owned()
    }
}

#[test]
fn all_vectors_verify() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 23);
    for vector in vectors {
        let query = Query::parse(&vector.query).unwrap();
        let text = string_to_sign(&vector.method, &vector.path, &query);
        assert_eq!(text, vector.string_to_sign, "{}", vector.id);
        assert!(vector.accepted(), "{}", vector.id);
    }
}

#[test]
fn negative_vectors_fail() {
    let v2 = vector("V2");
    let signed = v2.signed();
    let body = v2.body.clone().map(|body| body.replace("room-1", "room-2"));
    Vector { body, ..v2.clone() }.refused(&signed, None, NOW);
    let without_md5 = v2.query.split("&body_md5").next().unwrap().to_owned();
    let without_md5 = Vector { query: without_md5, ..v2.clone() }.sign();
    without_md5.refused(&without_md5.signed(), None, NOW);
    for (now, accepted) in
        [(NOW + 601, false), (NOW + 600, true), (NOW - 600, true), (NOW - 601, false)]
    {
        assert_eq!(v2.verify(&signed, None, now).is_ok(), accepted, "{now}");
    }
    let upper = v2.signature.to_uppercase();
    for signature in [&*upper, &v2.signature[..63], "", &format!("{}0", v2.signature), "x"] {
        v2.refused(&format!("{}&auth_signature={signature}", v2.query), None, NOW);
    }
    v2.refused(&v2.query, None, NOW);
    Vector { path: "/apps/app-2/events".into(), ..v2.clone() }.refused(&signed, None, NOW);
    Vector { key: "other".into(), ..v2.clone() }.refused(&signed, None, NOW);
    Vector { method: "GET".into(), ..v2 }.refused(&signed, None, NOW);
    for signature in [
        "b8b7bde90b5378e1ac44c73fdaf258db23870f384c227f034af0d65f6c84b1aa",
        "d72943da3c799f66cc6ef5c07edd4dbde611277d39513d8cb38b49da8918639e",
    ] {
        let v4 = vector("V4");
        v4.refused(&format!("{}&auth_signature={signature}", v4.query), None, NOW);
    }
}

#[test]
fn timestamps_are_digits_and_the_text_says_both_times() {
    let v2 = vector("V2");
    let text = v2.refused(&v2.signed(), None, NOW + 601);
    assert!(text.contains("1700000000") && text.contains("1700000601"), "{text}");
    for bad in ["", "+1700000000", "-1", "1700000000.0", "1e9", "now", "18446744073709551617"] {
        let query = v2.query.replace("1700000000", &bad.replace('+', "%2B"));
        let changed = Vector { query, ..v2.clone() }.sign();
        let text = changed.refused(&changed.signed(), None, NOW);
        assert!(text.contains("auth_timestamp") && text.contains("1700000000"), "{bad}: {text}");
    }
    let query = v2.query.replace("auth_timestamp=1700000000&", "");
    let absent = Vector { query, ..v2 }.sign();
    assert!(absent.refused(&absent.signed(), None, NOW).contains("missing"));
}

#[test]
fn the_version_must_be_there_and_known() {
    for version in
        ["", "&auth_version=", "&auth_version=1", "&auth_version=1.1", "&auth_version=2.0"]
    {
        let v2 = vector("V2");
        let query = v2.query.replace("&auth_version=1.0", version);
        let changed = Vector { query, ..v2 }.sign();
        assert!(
            changed.refused(&changed.signed(), None, NOW).contains("auth_version"),
            "{version}"
        );
    }
}

#[test]
fn body_md5_by_body() {
    let empty = "d41d8cd98f00b204e9800998ecf8427e";
    let check = |body: &str, md5: &str, accepted: bool| {
        let v5 = vector("V5b");
        let query = format!("{}{md5}", v5.query);
        let changed = Vector { query, body: Some(body.into()), ..v5 }.sign();
        assert_eq!(changed.accepted(), accepted, "{body} {md5}");
    };
    check("", "", true);
    check("", "&body_md5=", true);
    check("", &format!("&body_md5={empty}"), true);
    check("", "&body_md5=99914b932bd37a50b983c5e7c90ae93b", false);
    check("{}", "&body_md5=99914b932bd37a50b983c5e7c90ae93b", true);
    check("{}", "&body_md5=99914B932BD37A50B983C5E7C90AE93B", false);
    check("{}", "&body_md5=99914b932bd37a50b983c5e7c90ae93", false);
    check("{}", &format!("&body_md5={empty}"), false);
    check("{}", "&body_md5=", false);
    check("{}", "", false);
}

#[test]
fn the_authorization_header_is_the_other_form() {
    let v2 = vector("V2");
    let bare = v2.query.replace("auth_key=app-key&", "");
    let header = format!("app-key:{}", v2.signature);
    let both = v2.signed();
    let check = |raw: &str, header: &str, accepted: bool| {
        let verified = v2.verify(raw, Some(header), NOW);
        assert_eq!(verified.is_ok(), accepted, "{raw} {header}");
    };
    check(&bare, &header, true);
    check(&bare, &format!("  {header}\t"), true);
    check(&v2.query, &header, true);
    check(&both, &header, true);
    check(&format!("{bare}&auth_signature={}", v2.signature), &header, true);
    // They contradict.
    check(&both, &format!("other:{}", v2.signature), false);
    check(&both, &format!("app-key:{}", "0".repeat(64)), false);
    check(&bare, &format!("other:{}", v2.signature), false);
    check(&bare.replace("1700000000", "1699990000"), &header, false);
    // Someone else's header, with and without a query that signs.
    for other in ["Bearer abc", "Basic YTpi", "app-key:abc", ":", "Digest realm:x", ""] {
        check(&both, other, true);
        check(&bare, other, false);
    }
    // It replaces neither the timestamp nor the version nor the body's MD5.
    for part in ["auth_timestamp=1700000000&", "&auth_version=1.0", "&body_md5="] {
        let at = bare.find(part).unwrap();
        let end = if part == "&body_md5=" { bare.len() } else { at + part.len() };
        check(&format!("{}{}", &bare[..at], &bare[end..]), &header, false);
    }
}

#[test]
fn a_prefix_may_be_signed_or_not() {
    for (id, path, accepted) in [
        ("V9a", "/ws/apps/app-1/channels", true),
        ("V9b", "/ws/apps/app-1/channels", true),
        ("V9b", "/apps/app-1/channels", true),
        ("V9a", "/apps/app-1/channels", false),
        ("V9b", "/wss/apps/app-1/channels", false),
    ] {
        let vector = vector(id);
        let raw = vector.signed();
        let claim = Claim {
            method: "GET",
            path,
            prefix: Some("/ws"),
            query: Query::parse(&raw).unwrap(),
            authorization: None,
        };
        assert_eq!(claim.verify(&vector.app(), NOW).is_ok(), accepted, "{id} {path}");
    }
}

#[test]
fn a_path_may_be_signed_as_sent_or_decoded() {
    let (raw, encoded) = (vector("V8a"), vector("V8b"));
    assert!(raw.accepted() && encoded.accepted());
    let signed_raw_sent_encoded = Vector { path: encoded.path.clone(), ..raw.clone() };
    assert!(signed_raw_sent_encoded.accepted());
    assert!(!Vector { path: raw.path, ..encoded }.accepted());
    let case = Vector { path: "/apps/APP-1/channels".into(), ..vector("V9b") };
    assert!(!case.accepted());
}

#[test]
fn both_secrets_count_while_they_rotate() {
    let v2 = vector("V2");
    let rotated = App {
        secrets: Secrets {
            current: AppSecret::new("new"),
            previous: Some(AppSecret::new(&v2.secret)),
        },
        ..v2.app()
    };
    let retired = App { secrets: Secrets::one(AppSecret::new("new")), ..v2.app() };
    for (app, accepted) in [(rotated, true), (retired, false)] {
        let raw = v2.signed();
        let query = Query::parse(&raw).unwrap();
        let (method, path) = (&*v2.method, &*v2.path);
        let claim = Claim { method, path, prefix: None, query, authorization: None };
        assert_eq!(claim.verify(&app, NOW).is_ok(), accepted);
    }
}

#[test]
fn no_text_gives_a_secret_away() {
    let v2 = vector("V2");
    let wrong = "0".repeat(64);
    let text = v2.refused(&format!("{}&auth_signature={wrong}", v2.query), None, NOW);
    for hidden in [&*v2.secret, &*v2.signature, "auth_version=1.0"] {
        assert!(!text.contains(hidden), "{text}");
    }
}
