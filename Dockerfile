# A static binary in an empty image: no shell, no libc, nothing to patch.
# Note: written for Docker and Podman; this file has not been built by our own CI, which has no container engine.
FROM rust:1-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /src
COPY . .
# On Alpine the default target is musl, which links statically.
RUN rm rust-toolchain.toml && cargo build --locked --profile dist --package tsugite \
    && mkdir -p /out/data && cp target/dist/tsugite /out/

FROM scratch
COPY --from=build /out/tsugite /tsugite
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
EXPOSE 8080 4566 9901 8600/udp 8600
# Inside a container the ports listen on every address of the container's own network: publish them to loopback only
# (see compose.yaml), or set a token and turn --insecure off.
ENTRYPOINT ["/tsugite"]
CMD ["up", "--data", "/data", "--insecure", "--gateway", "0.0.0.0:8080", "--aws", "0.0.0.0:4566", \
     "--admin", "0.0.0.0:9901", "--dns", "0.0.0.0:8600"]
HEALTHCHECK --interval=2s --timeout=2s --start-period=2s CMD ["/tsugite", "circuits", "ls"]
