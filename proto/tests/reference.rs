//! `docs/api.md` is what the comments of the public `.proto` files say.
//!
//! When it is not, this test writes what it should be and fails: look at the difference, commit it.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// Public; what planes say to each other is no API.
const FILES: [&str; 2] = ["carillon/v1/events.proto", "carillon/v1/apps.proto"];

const HEAD: &str = "\
# API reference

Made from the comments of `proto/carillon/v1/*.proto` by `cargo test -p proto`; change it there. The same
texts are served by reflection: `grpcurl HOST:PORT describe carillon.v1.App`. What backends call over REST has the
same names and limits: README.md, \"What backends call\".
";

/// Where something stands in a file, as descriptors number it.
type Place = Vec<i32>;

/// Comments by place.
#[derive(Debug)]
struct Comments(BTreeMap<Place, String>);

impl Comments {
    fn of(file: &FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let text = |leading: &str, detached: &[String]| {
            let all = detached.iter().map(String::as_str).chain([leading]);
            let lines = all.flat_map(|comment| comment.lines().chain([""]));
            let plain: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
            plain.join("\n").trim_matches('\n').to_owned()
        };
        let commented = locations.map(|one| {
            // Only a file's own comment is set apart from what follows it.
            let detached =
                if one.path == [SYNTAX] { &one.leading_detached_comments[..] } else { &[] };
            (one.path.clone(), text(one.leading_comments(), detached))
        });
        Self(commented.collect())
    }

    fn at(&self, place: &[i32]) -> &str {
        self.0.get(place).map_or("", String::as_str)
    }

    /// On one line, for a table.
    fn in_cell(&self, place: &[i32]) -> String {
        self.at(place).replace('\n', " ").replace('|', "\\|")
    }
}

// The numbers of descriptor.proto.
const SYNTAX: i32 = 12;
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
const METHODS: i32 = 2;
const FIELDS: i32 = 2;
const VALUES: i32 = 2;

fn reference() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root]).expect("the proto folder exists");
    compiler.include_source_info(true);
    for file in FILES {
        compiler.open_file(file).expect("the .proto files are valid");
    }
    let mut files = compiler.file_descriptor_set().file;
    files.retain(|file| FILES.contains(&file.name()));
    files.sort_by_key(|file| FILES.iter().position(|name| *name == file.name()));
    let mut page = HEAD.to_owned();
    for file in &files {
        describe(&mut page, file);
    }
    page
}

fn describe(page: &mut String, file: &FileDescriptorProto) {
    let comments = Comments::of(file);
    line(page, &format!("\n## {}\n\n{}", file.name(), indented(comments.at(&[SYNTAX]))));
    for (service, number) in file.service.iter().zip(0..) {
        describe_service(page, service, &comments, number);
    }
    for (message, number) in file.message_type.iter().zip(0..) {
        describe_message(page, message, &comments, &[MESSAGES, number]);
    }
    for (values, number) in file.enum_type.iter().zip(0..) {
        describe_enum(page, values, &comments, number);
    }
}

fn describe_service(
    page: &mut String,
    service: &ServiceDescriptorProto,
    comments: &Comments,
    number: i32,
) {
    let name = service.name();
    line(page, &format!("\n### service {name}\n\n{}\n", comments.at(&[SERVICES, number])));
    line(page, "| call | takes | answers | |\n|---|---|---|---|");
    for (method, position) in service.method.iter().zip(0..) {
        let streamed = |is: bool| if is { "stream of " } else { "" };
        line(
            page,
            &format!(
                "| `{}` | {}{} | {}{} | {} |",
                method.name(),
                streamed(method.client_streaming()),
                linked(method.input_type()),
                streamed(method.server_streaming()),
                linked(method.output_type()),
                comments.in_cell(&[SERVICES, number, METHODS, position]),
            ),
        );
    }
}

fn describe_message(
    page: &mut String,
    message: &DescriptorProto,
    comments: &Comments,
    place: &[i32],
) {
    line(page, &format!("\n### {}\n", message.name()));
    let comment = comments.at(place);
    if !comment.is_empty() {
        line(page, &format!("{comment}\n"));
    }
    if message.field.is_empty() {
        return line(page, "No fields.");
    }
    line(page, "| field | type | |\n|---|---|---|");
    for (field, number) in message.field.iter().zip(0..) {
        let comment = comments.in_cell(&[place, &[FIELDS, number]].concat());
        let alternative = field.oneof_index.filter(|_| !field.proto3_optional());
        let alternative = alternative.map(|one| {
            format!("one of `{}`. ", message.oneof_decl[usize::try_from(one).unwrap_or(0)].name())
        });
        line(
            page,
            &format!(
                "| `{}` | {} | {}{comment} |",
                field.name(),
                type_of(field, message),
                alternative.unwrap_or_default(),
            ),
        );
    }
    for (nested, number) in message.nested_type.iter().zip(0..) {
        if !nested.options.as_ref().is_some_and(|options| options.map_entry()) {
            describe_message(page, nested, comments, &[place, &[3, number]].concat());
        }
    }
}

fn describe_enum(
    page: &mut String,
    values: &EnumDescriptorProto,
    comments: &Comments,
    number: i32,
) {
    line(page, &format!("\n### {}\n\n{}\n", values.name(), comments.at(&[ENUMS, number])));
    line(page, "| value | |\n|---|---|");
    for (value, position) in values.value.iter().zip(0..) {
        let comment = comments.in_cell(&[ENUMS, number, VALUES, position]);
        line(page, &format!("| `{}` = {} | {comment} |", value.name(), value.number()));
    }
}

/// `repeated string`, `map of string to X`, with a link where it is one of ours.
fn type_of(field: &FieldDescriptorProto, within: &DescriptorProto) -> String {
    let entry = within.nested_type.iter().find(|nested| {
        let is_map = nested.options.as_ref().is_some_and(|options| options.map_entry());
        is_map && field.type_name().ends_with(&format!(".{}", nested.name()))
    });
    if let Some(entry) = entry {
        let [key, value] = [0, 1].map(|number| type_of(&entry.field[number], entry));
        return format!("map of {key} to {value}");
    }
    let name = match field.r#type() {
        Type::Message | Type::Enum => linked(field.type_name()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    match field.label() {
        Label::Repeated => format!("repeated {name}"),
        Label::Optional | Label::Required if field.proto3_optional() => format!("optional {name}"),
        Label::Optional | Label::Required => name,
    }
}

/// A type's name; a link where the page has it.
fn linked(name: &str) -> String {
    let name = name.trim_start_matches('.');
    match name.strip_prefix("carillon.v1.") {
        Some(own) => {
            let own = own.rsplit('.').next().unwrap_or(own);
            format!("[{own}](#{})", own.to_lowercase())
        }
        None => format!("`{name}`"),
    }
}

/// Lines that are set off by blanks are examples.
fn indented(comment: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("  ") { format!("  {line}") } else { line.to_owned() }
    };
    let mut lines: Vec<String> = Vec::new();
    for one in comment.lines() {
        let was_example = lines.last().is_some_and(|last| last.starts_with("    "));
        if one.starts_with("  ") != was_example && !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(line(one));
    }
    lines.join("\n")
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a string grows");
}

#[test]
fn the_api_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let fresh = reference();
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if kept != fresh {
        fs::write(&path, fresh).expect("the docs folder is writable");
        panic!("docs/api.md had drifted and is fresh now, commit it");
    }
}
