# One image per plane, and one with the command line and all planes in one process:
#
#   docker build --target gateway       -t carillon-gateway .
#   docker build --target control-plane -t carillon-control-plane .
#   docker build --target data-plane    -t carillon-data-plane .
#   docker build --target carillon      -t carillon .
#
# Without a network: `cargo vendor` first (the folder vendor/ is used where it is there), and a BUILDER
# that has protoc already. tests/image/check builds and runs all of them that way.

ARG BUILDER=docker.io/library/rust:1.95-bookworm

FROM ${BUILDER} AS build
# The etcd client's build script runs protoc; its well-known .proto files come with the second package.
# hadolint ignore=DL3008
RUN if ! command -v protoc; then \
        apt-get update && \
        apt-get install -y --no-install-recommends protobuf-compiler libprotobuf-dev && \
        rm -rf /var/lib/apt/lists/*; \
    fi
WORKDIR /source
COPY . .
# Static programs need no files around them. Name resolution is part of glibc since 2.34.
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN --mount=type=cache,id=carillon-target,target=/source/target \
    --mount=type=cache,id=carillon-crates,target=/usr/local/cargo/registry \
    set -eu; \
    if [ -d vendor ]; then \
        set -- --offline \
            --config 'source.crates-io.replace-with="vendored"' \
            --config 'source.vendored.directory="vendor"'; \
    fi; \
    triple=$(rustc --print host-tuple); \
    cargo build --release --locked --target "$triple" "$@" \
        -p gateway -p control-plane -p data-plane -p carillon --bins; \
    mkdir -p /out/etc/ssl/certs; \
    for program in carillon carillon-gateway carillon-control-plane carillon-data-plane; do \
        install -s "target/$triple/release/$program" "/out/$program"; \
    done; \
    cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/; \
    echo 'carillon:x:65532:65532::/:/nonexistent' > /out/etc/passwd

# What every image has: the authorities that webhooks' certificates are checked against.
FROM scratch AS base
COPY --from=build /out/etc /etc
USER 65532:65532

FROM base AS gateway
COPY --from=build /out/carillon-gateway /carillon-gateway
EXPOSE 6001 9601
ENTRYPOINT ["/carillon-gateway"]

FROM base AS control-plane
COPY --from=build /out/carillon-control-plane /carillon-control-plane
EXPOSE 6002 6003 9601
ENTRYPOINT ["/carillon-control-plane"]

FROM base AS data-plane
COPY --from=build /out/carillon-data-plane /carillon-data-plane
EXPOSE 6001 9601
ENTRYPOINT ["/carillon-data-plane"]

FROM base AS carillon
COPY --from=build /out/carillon /carillon
EXPOSE 6001 9601
ENTRYPOINT ["/carillon"]
